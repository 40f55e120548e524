"""The results of a build on their way from the slave into the librarian, and whether they hang together.

Part of `actors.core.builder.attempt.in_hand`.  Files come one after the other, each resumed at its offset after a
reconnect; the master believes only what it receives.  Then the `.changes` file is read, and of each `.deb` what package
it is.  Answers with an `Ending` once all is in and verified, or when it can't go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from actors.core.builder.attempt.binary_control import read_control, too_much
from actors.core.builder.attempt.ending import Ending, lost, slave_failed
from actors.core.builder.attempt.results import CHANGES_LIMIT, find_changes, objection
from actors.core.builder.events import ChangesRead, ControlRead, ResultKept, ResultSpoilt
from actors.core.builder.orders import KeepResult, OpenResult, Order, ReadChanges, ReadControl, Send, WriteResult
from actors.core.builder.session import Session
from actors.messages import ResultStored
from protocol.errors import RemoteProtocolError
from protocol.messages import Fetch, FetchData, Rejected, ResultFile
from protocol.transfer import Incoming
from storage.records import BinaryPackage, BuildOrder, Outcome, StoredFile

_SHA1_DIGITS = 40
RESULTS_LIMIT = 64 * 1024**3  #: bytes of all results of one build; a slave that announces more is not served


@dataclass(slots=True)
class Gathering:
    """The results of one attempt."""

    order: BuildOrder
    files: tuple[ResultFile, ...]  #: as the slave announced them
    no_progress: float  #: seconds of a stall before it is resumed, and before it is given up
    _kept: dict[str, StoredFile] = field(default_factory=dict)
    _packages: dict[str, BinaryPackage] = field(default_factory=dict)  # by filename
    _incoming: Incoming | None = None  # of the file being fetched; None: none was opened
    _request: int | None = None  # number of the running `Fetch`
    _pause_until: float | None = None  # our own disk refused something
    _resumed: bool = False
    _moved_at: float = 0.0

    def results(self) -> tuple[ResultStored, ...]:
        """Return what is in the librarian, in the order announced."""
        return tuple(ResultStored(file.name, self._kept[file.name]) for file in self.files if file.name in self._kept)

    def packages(self) -> tuple[BinaryPackage, ...]:
        """Return the packages among the results, in the order announced."""
        return tuple(self._packages.values())

    def objection(self) -> Ending | None:
        """Return why what was announced can't be results, before any of it is fetched."""
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            return _unverified("the slave announced two results of one name")
        if find_changes(names) is None:
            return _unverified(f"there must be one .changes file among the results: {', '.join(names) or 'none'}")
        changes = next(file for file in self.files if file.name.endswith(".changes"))
        if changes.size > CHANGES_LIMIT:
            return _unverified(f"{changes.name} has {changes.size} bytes, more than {CHANGES_LIMIT}")
        announced = sum(file.size for file in self.files)
        if announced > RESULTS_LIMIT:
            return _unverified(f"the slave announced {announced} bytes of results, more than {RESULTS_LIMIT}")
        return None

    def resume(self, at: float, session: Session, out: list[Order]) -> None:
        """Fetch what has not come yet; also after a reconnect, a stall, a pause."""
        self._moved_at, self._pause_until = at, None
        self._request = None
        file = self._current()
        if file is None:
            self._read_changes(out)
            return
        if self._incoming is None:
            self._incoming = Incoming(file.size)
            out.append(OpenResult(self.order.attempt, file.name, file.sha256, file.size))
        elif self._incoming.complete:
            return  # it is being stored
        self._request = session.next_id()
        out.append(Send(Fetch(self._request, str(self.order.attempt), file.name, self._incoming.offset)))

    def disconnected(self) -> None:
        """Forget the running request; its bytes so far stay."""
        self._request = None

    def arrived(self, at: float, data: FetchData, out: list[Order]) -> Ending | None:
        """Take bytes of the file being fetched."""
        file = self._current()
        if file is None or self._incoming is None or data.id != self._request:
            return None  # of a request that was given up
        try:
            self._incoming.accept(data.offset, data.data, last=data.last)
        except RemoteProtocolError as error:
            return _unverified(f"the slave's {file.name} is not what it announced: {error}")
        self._moved_at, self._resumed = at, False
        if data.data:
            out.append(WriteResult(self.order.attempt, file.name, data.data))
        if data.last:
            self._request = None
            out.append(KeepResult(self.order.attempt, file.name))
        return None

    def refused(self, answer: Rejected) -> Ending | None:
        """Take the refusal of the running request."""
        file = self._current()
        if file is None or answer.id != self._request:
            return None
        return slave_failed(f"the slave does not hand out {file.name}, which it announced: {answer.code.value}")

    def stored(
        self, event: ResultKept | ResultSpoilt | ChangesRead | ControlRead, session: Session, out: list[Order]
    ) -> Ending | None:
        """Take the answer of this machine's own disk."""
        match event:
            case ResultKept():
                return self._result_kept(event, session, out)
            case ResultSpoilt():  # what arrived is not what was announced
                return _unverified(f"{event.name}: {event.text}")
            case ChangesRead():
                return self._changes_read(event, out)
            case ControlRead():
                return self._control_read(event, out)
            case _:
                assert_never(event)

    def _result_kept(self, event: ResultKept, session: Session, out: list[Order]) -> Ending | None:
        """Go on with the next file."""
        file = self._current()
        if file is None or event.name != file.name:
            return None
        by_sha1 = file.sha256 == event.content.sha1  # of a slave that knows no other hash
        if event.content.size != file.size or not (by_sha1 or event.content.sha256 == file.sha256):
            known = event.content.sha1 if len(file.sha256) == _SHA1_DIGITS else event.content.sha256
            return _unverified(f"{file.name} has the hash {known}, the slave announced {file.sha256}")
        self._kept[file.name], self._incoming = event.content, None
        if self._current() is None or session.open:
            self.resume(event.at, session, out)
        return None

    def _changes_read(self, event: ChangesRead, out: list[Order]) -> Ending | None:
        """Compare the `.changes` file with what arrived and what was ordered; go on with the packages."""
        why = objection(self.order, event.content, self._kept)
        return _unverified(why) if why else self._read_package(out)

    def _control_read(self, event: ControlRead, out: list[Order]) -> Ending | None:
        """Take what a `.deb` says of its package; go on with the next."""
        if event.name != self._unread():
            return None  # asked for twice, because a session ended meanwhile
        found = event.why or read_control(self.order, event.content)
        if isinstance(found, str):
            return _unverified(f"{event.name} {found}")
        self._moved_at, self._resumed = event.at, False
        self._packages[event.name] = found
        why = too_much(self.packages())
        return _unverified(why) if why else self._read_package(out)

    def pause(self, at: float, seconds: float) -> None:
        """Wait for our own disk; what arrived of the file being fetched is gone."""
        self._incoming, self._request, self._pause_until = None, None, at + seconds

    @property
    def deadline(self) -> float:
        """Second at which `overdue` has something to do."""
        return self._moved_at + self.no_progress if self._pause_until is None else self._pause_until

    def overdue(self, at: float, session: Session, out: list[Order]) -> Ending | None:
        """Act on the end of a pause, or on a stall: resume once, then give up."""
        if self._pause_until is None:
            if self._resumed:
                file = self._current()
                what = file.name if file else "results"
                return lost(f"fetching {what}: no progress for {self.no_progress:g} seconds, twice")
            self._resumed = True
        self.resume(at, session, out)
        return None

    def _current(self) -> ResultFile | None:
        return next((file for file in self.files if file.name not in self._kept), None)

    def _unread(self) -> str | None:
        """Return the first `.deb` of which it is not known what package it is."""
        packages = (file.name for file in self.files if file.name.endswith(".deb"))
        return next((name for name in packages if name not in self._packages), None)

    def _read_package(self, out: list[Order]) -> Ending | None:
        name = self._unread()
        if name is None:
            return Ending(Outcome.OK, "")
        out.append(ReadControl(self.order.attempt, name, self._kept[name].sha256))
        return None

    def _read_changes(self, out: list[Order]) -> None:
        name = find_changes(self._kept)
        if name is not None:
            out.append(ReadChanges(self.order.attempt, self._kept[name].sha256))


def _unverified(text: str) -> Ending:
    return Ending(Outcome.UNVERIFIED, text)

"""What a slave must have before it is asked to build: the chroot first, then the source files, pushed where missing.

Part of `actors.core.builder.attempt.in_hand`.  All files are asked for at once and pushed one after the other; a push
that makes no progress is resumed once.  Answers with an `Ending` when the attempt can't go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from actors.core.builder.attempt.ending import Ending, lost, slave_failed
from actors.core.builder.orders import Order, Send, SendChunk, ShowPush
from actors.core.builder.session import Session
from protocol.errors import RemoteProtocolError
from protocol.messages import ChunkAck, EnsurePresent, Present, PushFailed, Rejected
from protocol.transfer import Push
from storage.records import BuildOrder, NamedFile


@dataclass(slots=True)
class Preparation:
    """The files of one attempt on their way to the slave, within one session."""

    attempt: UUID
    wanted: tuple[NamedFile, ...]  #: in the order to push them, no content twice
    no_progress: float  #: seconds of a stall before it is resumed, and before it is given up
    _asked: dict[int, NamedFile] = field(default_factory=dict)  # request → file, unanswered
    _missing: dict[str, tuple[NamedFile, int]] = field(default_factory=dict)  # sha256 → file, where to go on
    _push: Push | None = None
    _resumed: bool = False
    _moved_at: float = 0.0

    @classmethod
    def of(cls, order: BuildOrder, no_progress: float, *, with_chroot: bool) -> Preparation:
        """Return what must be done for `order`; `with_chroot` is False for a backend that uses none."""
        files = ((order.chroot,) if with_chroot else ()) + order.files
        return cls(order.attempt, tuple({file.sha256: file for file in files}.values()), no_progress)

    @property
    def done(self) -> bool:
        """True once the slave has everything."""
        return not self._asked and not self._missing

    @property
    def deadline(self) -> float:
        """Second at which a stall is acted on."""
        return self._moved_at + self.no_progress

    def begin(self, at: float, session: Session, out: list[Order]) -> None:
        """Ask for every file; also after a reconnect."""
        self._asked, self._missing, self._push, self._moved_at = {}, {}, None, at
        for file in self.wanted:
            number = session.next_id()
            self._asked[number] = file
            out.append(Send(EnsurePresent(number, file.sha256, file.size)))

    def answered(
        self, at: float, answer: Present | ChunkAck | PushFailed, session: Session, out: list[Order]
    ) -> Ending | None:
        """Take what the slave says of a file."""
        match answer:
            case Present():
                return self._present(at, answer, out)
            case ChunkAck():
                return self._acked(at, answer, out)
            case PushFailed():
                return self._failed(at, answer, session, out)
            case _:
                assert_never(answer)

    def _present(self, at: float, answer: Present, out: list[Order]) -> Ending | None:
        """Take an answer; when all have come, push what is missing."""
        file = self._asked.pop(answer.id, None)
        if file is None:
            return None
        self._moved_at = at
        if not answer.have:
            self._missing[file.sha256] = (file, answer.offset)
        return None if self._asked else self._next(out)

    def refused(self, answer: Rejected) -> Ending | None:
        """Take the refusal of a request that is ours."""
        file = self._asked.get(answer.id)
        return None if file is None else slave_failed(f"the slave does not take {file.filename}: {_said(answer)}")

    def _acked(self, at: float, ack: ChunkAck, out: list[Order]) -> Ending | None:
        """Take an acknowledgement, and go on; one of a file that is asked for: the slave is fetching it by itself."""
        if self._asked and any(file.sha256 == ack.sha256 for file in self._asked.values()):
            self._moved_at = at
            return None
        if self._push is None or ack.sha256 != self._push.sha256:
            return slave_failed(f"the slave acknowledged {ack.sha256}, which is not being pushed", believed=False)
        try:
            self._push.acked(ack.offset)
        except RemoteProtocolError as error:
            return slave_failed(f"the slave broke the protocol: {error}", believed=False)
        self._moved_at, self._resumed = at, False
        file, _ = self._missing[ack.sha256]
        out.append(ShowPush(self.attempt, file.filename, ack.offset, file.size))
        if self._push.done:
            del self._missing[ack.sha256]
            self._push = None
            return self._next(out)
        self._fill(out)
        return None

    def _failed(self, at: float, failure: PushFailed, session: Session, out: list[Order]) -> Ending | None:
        """Take the slave's word that a file will not arrive: try once more, then give up."""
        entry = self._missing.get(failure.sha256)
        if entry is None:
            return None
        if self._resumed:
            return slave_failed(f"pushing {entry[0].filename} failed: {_said(failure)}")
        self._resumed = True
        self.begin(at, session, out)
        return None

    def overdue(self, at: float, session: Session, out: list[Order]) -> Ending | None:
        """Act on a stall: ask anew once, then give up."""
        if self._resumed:
            name = self._push and self._missing[self._push.sha256][0].filename
            return lost(f"pushing {name or 'files'}: no progress for {self.no_progress:g} seconds, twice")
        self._resumed = True
        self.begin(at, session, out)
        return None

    def _next(self, out: list[Order]) -> Ending | None:
        for file, offset in self._missing.values():
            try:
                self._push = Push(file.sha256, file.size, offset)
            except RemoteProtocolError as error:
                return slave_failed(f"the slave broke the protocol: {error}", believed=False)
            self._fill(out)
            return None
        return None

    def _fill(self, out: list[Order]) -> None:
        push = self._push
        while push is not None and (span := push.take()) is not None:
            out.append(SendChunk(self.attempt, push.sha256, span.offset, span.length))


def _said(answer: Rejected | PushFailed) -> str:
    return f"{answer.code.value}: {answer.text}" if answer.text else answer.code.value

"""What is downloaded from a launchpad-buildd slave: the log by offset, and results, whose sizes must be asked for first.

Part of `actors.core.launchpad.link`.  Hazard 6: the log is a file of its own, and is gone after `clean()`, which comes
only when all of it is here.  Hazard 7: while a private archive's build runs its log may show a password, so it is read
when it has ended, and what we know to be secret is blotted out of every log.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from actors.core.launchpad.build import scrub
from actors.core.launchpad.calls import Numbers
from actors.core.launchpad.events import Download, DropCall, FileEnded, LinkOrder, Say
from protocol.launchpad_buildd.answers import Said
from protocol.launchpad_buildd.calls import LOG
from protocol.messages import CHUNK, LOG_BYTES, FetchData, Log, Rejected, RejectionCode, WireOutcome

LOG_AT_ONCE = 4 * CHUNK  #: bytes of a log in one download


@dataclass(slots=True)
class _Result:
    """The result that is being fetched."""

    number: int
    request: int  #: number of the `Fetch`
    offset: int
    size: int


@dataclass(slots=True)
class Downloads:
    """All that is downloaded within one connection."""

    numbers: Numbers
    log_size: int = 0  #: bytes of the whole log, once `measured`
    measured: bool = False  #: the build has ended, and how much there is to fetch is known
    more: bool = False  #: the log goes on after what was read last
    broken: str = ""  #: what the slave said that can't be
    _secrets: tuple[bytes, ...] = ()
    _live: bool = True  # the log may be read before its build has ended
    _log_at: int | None = None  # where the log goes on; None: nobody follows it
    _log_held: bytes = b""  # of the running download: what may be the beginning of a secret
    _log_number: int | None = None
    _log_came: bool = False
    _log_attempt: str = ""
    _measuring: str = ""  # the build's id
    _to_measure: deque[tuple[str, str, str]] = field(default_factory=deque)  # what, SHA-1, path
    _measure_number: int | None = None
    _sizes: dict[str, tuple[str, int]] = field(default_factory=dict)  # name → SHA-1, bytes
    _result: _Result | None = None

    def guard(self, secrets: tuple[bytes, ...], *, live: bool) -> None:
        """Keep what is secret out of the log.

        Args:
            secrets: what must not stand in it.
            live: it may be read before the build has ended.
        """
        self._secrets, self._live = secrets, live

    def forget(self) -> None:
        """Forget a build that the slave has forgotten."""
        self._log_at, self._log_number, self._result = None, None, None
        self.measured, self._measuring, self._measure_number = False, "", None

    def knows(self, number: int) -> bool:
        """Return whether this download is under way."""
        result = None if self._result is None else self._result.number
        return number in {self._log_number, self._measure_number, result}

    # --- how much there is ------------------------------------------------------------------------

    def measure(self, said: Said, idle_seconds: float) -> list[LinkOrder]:
        """Ask how long the log and the results are, once a build; then `measured` is true."""
        if self._measuring == said.build_id:
            return []
        self.measured, self._measuring = False, said.build_id
        files = said.files if said.outcome is WireOutcome.OK else ()
        self._sizes = {}
        self._to_measure = deque([("", "", LOG), *((name, sha1, f"/filecache/{sha1}") for name, sha1 in files)])
        return self._measure_next(idle_seconds)

    def results(self) -> tuple[tuple[str, str, int], ...]:
        """Return name, SHA-1 and size of every result."""
        return tuple((name, sha1, size) for name, (sha1, size) in self._sizes.items())

    def _measure_next(self, idle_seconds: float) -> list[LinkOrder]:
        if not self._to_measure:
            self._measure_number, self.measured = None, True
            return []
        self._measure_number = self.numbers.next()
        return [Download(self._measure_number, self._to_measure[0][2], 0, 1, idle_seconds)]

    def _was_measured(self, event: FileEnded, idle_seconds: float) -> list[LinkOrder]:
        name, sha1, path = self._to_measure.popleft()
        if name and not event.there:
            self.broken = f"it announces {name}, and has no {path}"
            return []
        size = event.total if event.there else self._log_at or 0  # a log that is not there has no more to come
        if size is None:
            self.broken = f"it does not say how long {path} is"
            return []
        if name:
            self._sizes[name] = (sha1, size)
        else:
            self.log_size = min(size, LOG_BYTES + 1)
        return self._measure_next(idle_seconds)

    # --- the log ----------------------------------------------------------------------------------

    def follow(self, offset: int) -> None:
        """Read the log from `offset` on, when there is something."""
        self._log_at, self._log_number, self._log_held = offset, None, b""

    def read_log(self, attempt: str, idle_seconds: float) -> list[LinkOrder]:
        """Read on, if somebody follows the log and it may be read."""
        at = self._log_at
        if at is None or self._log_number is not None or not (self._live or self.measured):
            return []
        if self.measured and at >= self.log_size:
            return []
        most = LOG_AT_ONCE if not self.measured else min(LOG_AT_ONCE, self.log_size - at)
        self._log_number, self._log_came, self._log_attempt = self.numbers.next(), False, attempt
        self._log_held = b""
        return [Download(self._log_number, LOG, at, most, idle_seconds)]

    def _log_piece(self, data: bytes) -> list[LinkOrder]:
        if self._log_at is None:
            return []
        whole = self._log_held + data
        last = self.measured and self._log_at + len(whole) >= self.log_size
        said, self._log_held = scrub(whole, self._secrets, last=last)
        if not said:
            return []
        at, self._log_at, self._log_came = self._log_at, self._log_at + len(said), True
        return [Say(Log(self._log_attempt, at, said))]

    # --- results ----------------------------------------------------------------------------------

    def fetch(self, request: int, name: str, offset: int, idle_seconds: float) -> list[LinkOrder]:
        """Fetch a result from `offset` on; the one before is given up."""
        dropped: list[LinkOrder] = [] if self._result is None else [DropCall(self._result.number)]
        self._result = None
        if name not in self._sizes:
            return [*dropped, Say(Rejected(request, RejectionCode.NO_SUCH_FILE, "it was not announced"))]
        sha1, size = self._sizes[name]
        if not 0 <= offset <= size:
            return [*dropped, Say(Rejected(request, RejectionCode.BAD_OFFSET, f"it has {size} bytes"))]
        if offset == size:
            return [*dropped, Say(FetchData(request, offset, b"", last=True))]
        self._result = _Result(self.numbers.next(), request, offset, size)
        return [*dropped, Download(self._result.number, f"/filecache/{sha1}", offset, size - offset, idle_seconds)]

    def _result_piece(self, result: _Result, data: bytes) -> list[LinkOrder]:
        at, result.offset = result.offset, result.offset + len(data)
        if result.offset >= result.size:
            self._result = None
        return [Say(FetchData(result.request, at, data, last=result.offset >= result.size))]

    # --- both -------------------------------------------------------------------------------------

    def came(self, number: int, data: bytes) -> list[LinkOrder]:
        """Take bytes of a download."""
        if number == self._log_number:
            return self._log_piece(data)
        if self._result is not None and number == self._result.number:
            return self._result_piece(self._result, data)
        return []

    def ended(self, event: FileEnded, idle_seconds: float) -> list[LinkOrder]:
        """Take the end of a download."""
        self.more = False
        if event.number == self._measure_number:
            return self._was_measured(event, idle_seconds)
        if event.number == self._log_number:
            self._log_number = None
            self.more = self._log_came and event.total is not None and event.total > (self._log_at or 0)
            return []
        if self._result is not None and event.number == self._result.number:
            result, self._result = self._result, None
            words = f"it ended at byte {result.offset} of {result.size}" if event.there else "it is not there"
            return [Say(Rejected(result.request, RejectionCode.NO_SUCH_FILE, words))]
        return []

"""The log of one attempt, as it comes from the slave: in order, nothing twice, not without end.

Part of `actors.core.builder.attempt.in_hand`.  After a reconnect, or in a new life of the actor, it goes on where the
local file ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from actors.core.builder.attempt.ending import Ending, slave_failed
from actors.core.builder.orders import AppendLog, OpenLog, Order, Send
from protocol.messages import LOG_BYTES, Log, LogFrom


@dataclass(slots=True)
class LogFollowing:
    """How much of the log is here, and how much there is."""

    attempt: UUID
    limit: int = LOG_BYTES
    offset: int | None = None  #: bytes that are here; None: the file was not opened yet
    announced: int | None = None  #: bytes of the whole; None: the build has not ended
    moved_at: float = 0.0
    pause_ends: float | None = None  #: second at which to call `resume`: our own disk refused something
    _asked: bool = False  # in this session
    _resuming: bool = False  # what was on its way before a pause may still come, and is dropped

    @property
    def complete(self) -> bool:
        """True once the build has ended and all of its log is here."""
        return self.announced is not None and self.offset is not None and self.offset >= self.announced

    def opened(self, size: int) -> None:
        """Note how much is here."""
        self.offset = size

    def follow(self, at: float, out: list[Order]) -> None:
        """Ask the slave for the log, once a session, from where it ends here."""
        if self.offset is None or self._asked:
            return
        self._asked, self.moved_at = True, at
        if not self.complete:
            out.append(Send(LogFrom(str(self.attempt), self.offset)))

    def disconnected(self) -> None:
        """Note that a new session must ask anew."""
        self._asked = self._resuming = False

    def pause(self, at: float, seconds: float) -> None:
        """Wait for our own disk."""
        self.offset, self.pause_ends, self._asked, self._resuming = None, at + seconds, False, True

    def resume(self, out: list[Order]) -> None:
        """Look again at what is here: `opened` and `follow` go on from there."""
        self.pause_ends = None
        out.append(OpenLog(self.attempt, fresh=False))

    def arrived(self, at: float, log: Log, out: list[Order]) -> Ending | None:
        """Take bytes of the log; what is here already is dropped."""
        if self.offset is None or not self._asked:
            return None  # it will be asked for again
        end = log.offset + len(log.data)
        if log.offset > self.offset:
            if self._resuming:
                return None
            return slave_failed(f"the slave's log jumped from byte {self.offset} to {log.offset}", believed=False)
        if end > self.limit:
            return slave_failed(f"the slave's log is longer than {self.limit} bytes", believed=False)
        if end > self.offset:
            out.append(AppendLog(self.attempt, self.offset, log.data[self.offset - log.offset :]))
            self.offset, self.moved_at, self._resuming = end, at, False
        return None

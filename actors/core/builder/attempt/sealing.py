"""The log of an attempt: followed while it runs, waited for when it has ended, and stored once no more of it will come.

Part of `actors.core.builder.attempt.in_hand`, for the stage SEALING; how the bytes come is `log_following`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.core.builder.attempt.log_following import LogFollowing
from actors.core.builder.orders import KeepLog, Order
from actors.messages import ResultStored


@dataclass(slots=True)
class Sealing:
    """What has become of the log."""

    log: LogFollowing
    kept: ResultStored | None = None  #: as it is in the librarian
    _storing: bool = False

    def waits(self, at: float, transfer: float) -> bool:
        """Return whether more of the log is to come, and has not been waited for too long.

        Args:
            at: now.
            transfer: seconds without progress that are borne.
        """
        more_to_come = self.log.announced is not None and not self.log.complete
        return more_to_come and at < self.log.moved_at + transfer

    def store(self, name: str, out: list[Order]) -> None:
        """Store the log under this filename, unless it is being stored."""
        if not self._storing:
            self._storing = True
            out.append(KeepLog(self.log.attempt, name))

    def stored(self, log: ResultStored | None) -> bool:
        """Take it that the log was stored; return whether it is all of it."""
        if self.log.pause_ends is not None:
            return False  # it lacks what could not be written
        self.kept = log
        return True

    def resume(self, at: float, out: list[Order]) -> None:
        """Go on when a pause for our own disk has come to its end."""
        if self.log.pause_ends is not None and at >= self.log.pause_ends:
            self._storing = False
            self.log.resume(out)

    def deadline(self, transfer: float) -> float:
        """Return the second at which the rest of the log is not waited for any longer."""
        waits = self.log.offset is not None and not self._storing
        return self.log.moved_at + transfer if waits else float("inf")

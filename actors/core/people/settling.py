"""Up to where the event log is complete, for whoever reads it as it grows.

Events are numbered before they are committed: while a transaction is open, an event may still turn up *behind* others
that were seen.  Pure; `storage.events.log` tells the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Horizon:
    """What can still turn up in the event log, as one snapshot has it."""

    last: int  #: the newest event's id
    oldest: int  #: transaction: all before it are over
    following: int  #: transaction: the next one that begins


@dataclass(slots=True)
class Settling:
    """No event up to `upto` can turn up any more."""

    upto: int = 0
    _mark: Horizon | None = field(
        default=None, init=False
    )  #: once the transactions of that moment are over, its events are all

    def see(self, horizon: Horizon) -> None:
        """Take in what was so before the log was read."""
        if horizon.oldest == horizon.following:  # nobody writes
            self.upto = max(self.upto, horizon.last)
        if self._mark is None or horizon.oldest >= self._mark.following:
            self.upto = max(self.upto, self._mark.last if self._mark else 0)
            self._mark = horizon

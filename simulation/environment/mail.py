"""Messages between actors: soon, in order, once; unless something is wrong with that, too.

While `troubled`, some come late, and some come twice (architecture §4), the second time late, too; those behind them on
the same way come after them.  What is said again until it is acknowledged may also not come at all.  Messages of an earlier life of an actor, whose way was another, may come after all that the
next life says.  Notifications of the database are late then, too: the queue actor decides by what is no longer so.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from simulation.environment.agenda import Agenda

DELAY: Final = 0.0004  #: seconds
LATE: Final = 4.0  #: seconds, at most
_SHARE: Final = 0.15  #: of the messages that come late, and of those that come twice
_LOST: Final = 0.05  #: of those that are said again, that do not come


class Mail:
    """The post between actors."""

    def __init__(self, agenda: Agenda, chance: Random) -> None:
        """Begin; `chance` says which messages come late or twice."""
        self.troubled = 0
        self._agenda = agenda
        self._chance = chance
        self._clear_at: dict[str, float] = {}  # way → when what was sent last on it arrives

    def send(self, way: str, deliver: Callable[..., object], *what: Any) -> None:  # noqa: ANN401 - what `deliver` takes
        """Call `deliver` in a moment, after all that was sent the same way before."""
        if not self.troubled and not self._clear_at:
            self._agenda.after(DELAY, deliver, *what)
            return
        self._send_troubled(way, deliver, *what)

    def try_to_send(self, way: str, deliver: Callable[..., object], *what: Any) -> None:  # noqa: ANN401 - as above
        """Send what is said again until it is acknowledged: it may be lost."""
        if not self.troubled or self._chance.random() >= _LOST:
            self.send(way, deliver, *what)

    def lateness(self) -> float:
        """Return by how many seconds something is late that comes another way."""
        return self._chance.random() * LATE if self.troubled else 0.0

    def _send_troubled(self, way: str, deliver: Callable[..., object], *what: Any) -> None:  # noqa: ANN401
        now = self._agenda.now
        when = now + DELAY
        if self.troubled and self._chance.random() < _SHARE:
            when += self._chance.random() * LATE
        when = max(when, self._clear_at.get(way, 0.0))
        self._agenda.at(when, deliver, *what)
        if self.troubled and self._chance.random() < _SHARE:
            when += self._chance.random() * LATE
            self._agenda.at(when, deliver, *what)
        self._clear_at[way] = when
        if not self.troubled and max(self._clear_at.values()) <= now:
            self._clear_at.clear()

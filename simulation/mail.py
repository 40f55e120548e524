"""Messages between actors: soon, in order, once; unless something is wrong with that, too.

While `troubled`, some come late, and some come twice (architecture §4), the second time late, too; those behind them on
the same way come after them.  Messages of an earlier life of an actor, whose way was another, may come after all that the
next life says.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from simulation.agenda import Agenda

DELAY: Final = 0.0004  #: seconds
LATE: Final = 4.0  #: seconds, at most
_SHARE: Final = 0.15  #: of the messages that come late, and of those that come twice


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

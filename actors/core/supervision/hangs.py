"""Who hangs: no sign of life for too long, and nothing that excuses it (architecture §4, dispatch-rules §8).

A watcher (a nursery, the supervisor, `run_master`) looks at the signs of those below it, every `HangWatch.every` seconds,
and kills whom it is ordered to.  Where signs come from is `actors.system.signs`' business.  Times are CLOCK_MONOTONIC's, which
all processes share, which nobody sets, and which stands still while the machine sleeps.

A watcher is a process like the others: if *it* was stopped, starved or frozen, the others may have been, too, and their
old signs prove nothing.  So after a pause of its own it gives everybody the whole time again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

SIGNS: Final = 3  #: that an idle process gives in the time after which it would hang
LOOKS: Final = 5  #: of a watcher in that time
_PAUSE: Final = 2.5  #: looks that come later than so many intervals after the last: the watcher itself did not run


class Excuse(StrEnum):
    """What an actor may wait for as long as it takes: killing it would mend nothing."""

    NONE = ""
    DISK = "a disk"


@dataclass(frozen=True, slots=True)
class Sign:
    """The last that was seen of one life of one actor."""

    name: str
    generation: int
    at: float  #: monotonic seconds of its last sign of life, or of its fork
    excuse: Excuse = Excuse.NONE  #: what it said it waits for
    stopped: bool = False  #: by a signal or a debugger: it does not wait for anything, whatever it said


@dataclass(frozen=True, slots=True)
class Looked:
    """The watcher has looked at everybody whom it watches."""

    at: float  #: monotonic seconds, never before the last
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """The settings say otherwise from now on."""

    at: float
    limit: float


@dataclass(frozen=True, slots=True)
class EndHung:
    """Kill the actor's process with a signal that it can't ignore; it is a crash of that actor."""

    name: str
    generation: int
    reason: str  #: one line, for fail notes


Event = Looked | LimitChanged


class HangWatch:
    """One watcher's judgement."""

    def __init__(self, limit: float) -> None:
        """Watch nobody yet.

        Args:
            limit: seconds without a sign of life after which an actor hangs.
        """
        self.limit = limit
        self._last_look: float | None = None
        self._fair_from = 0.0  # silence before this is nobody's fault

    @property
    def every(self) -> float:
        """Return the seconds between two looks."""
        return self.limit / LOOKS

    def handle(self, event: Event) -> tuple[EndHung, ...]:
        """Return the orders that `event` calls for; one is repeated at each look while its actor is there."""
        match event:
            case LimitChanged(at, limit):
                # Whoever sleeps now was told to give signs as often as the old limit wanted.
                self._fair_from, self.limit = at + self.limit, limit
                return ()
            case Looked(at, signs):
                if self._last_look is not None and at - self._last_look > _PAUSE * self.every:
                    self._fair_from = max(self._fair_from, at)
                self._last_look = at
                return tuple(self._judge(sign) for sign in signs if self._hangs(sign, at))
            case _:
                assert_never(event)

    def _hangs(self, sign: Sign, at: float) -> bool:
        excused = sign.excuse is not Excuse.NONE and not sign.stopped
        return not excused and at - max(sign.at, self._fair_from) >= self.limit

    def _judge(self, sign: Sign) -> EndHung:
        stopped = " (it was stopped: SIGSTOP?)" if sign.stopped else ""
        return EndHung(sign.name, sign.generation, f"hung: no sign of life for {self.limit:g} s{stopped}")

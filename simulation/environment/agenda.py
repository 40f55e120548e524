"""Virtual time: what happens when, one thing after the other.

Things that are due at the same second happen in the order in which they were put down, so that a run is the same every
time.  Nothing here knows what it is that happens.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Agenda:
    """What is still to happen.

    Attributes:
        now: seconds since the beginning, by a clock that never jumps.
        steps: how many things have happened.
    """

    __slots__ = ("_count", "_entries", "now", "steps")

    def __init__(self) -> None:
        """Begin at second 0 with nothing to do."""
        self.now = 0.0
        self.steps = 0
        self._entries: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, act: Callable[..., object], *args: Any) -> None:  # noqa: ANN401 - what `act` takes
        """Call `act` at second `when`; if that is over, as soon as what is going on is done."""
        self._count += 1
        heappush(self._entries, (when, self._count, act, args))

    def after(self, seconds: float, act: Callable[..., object], *args: Any) -> None:  # noqa: ANN401 - what `act` takes
        """Call `act` in so many seconds."""
        self._count += 1
        heappush(self._entries, (self.now + seconds, self._count, act, args))

    def run(self, until: float, after_step: Callable[[], object] | None = None) -> None:
        """Let happen what is due before second `until`, and come to that second.

        Args:
            until: seconds.
            after_step: called after each thing that happened.
        """
        entries = self._entries
        while entries and entries[0][0] < until:
            when, _, act, args = heappop(entries)
            self.now = max(self.now, when)
            act(*args)
            self.steps += 1
            if after_step is not None:
                after_step()
        self.now = max(self.now, until)

    @property
    def next(self) -> float | None:
        """Return when the next thing happens; None: never."""
        return self._entries[0][0] if self._entries else None

"""How often something may fail before it is left alone for a while (dispatch-rules §6): more than `limit` times in `window`.

The supervisor counts the crashes of each actor so, `run_master` the fresh starts of the whole farm.  Knows no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Intensity:
    """The times of late failures of one thing."""

    times: deque[float] = field(default_factory=deque)  #: monotonic seconds, rising

    def too_often(self, at: float, *, limit: int, window: float) -> bool:
        """Count a failure at `at`; return whether it is more than the limit's in the window that ends with it.

        Args:
            at: monotonic seconds, never before the last.
            limit: so many are borne …
            window: … in so many seconds; one that is exactly so old is out of it.
        """
        self.times.append(at)
        while self.times[0] <= at - window:
            self.times.popleft()
        return len(self.times) > limit

    def forget(self) -> None:
        """Begin anew."""
        self.times.clear()

"""The master's own disk: while it refuses something, dispatch pauses, and nobody is blamed (dispatch-rules §5, last row).

What is refused waits at the slaves and is tried again by the builders' actors (`actors.core.builder.attempt.in_hand`);
here stands when nothing new is given away.  The pause is the farm's own row, so that everybody sees why; a person's
pause goes before it.  Tried out by `actors.queue.own_disk`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PREFIX: Final = "the master's own disk: "
WAITS_SECONDS: Final = 600.0  #: what waits for the disk has its deadline at least so far ahead


def pause_words(refusal: str) -> str:
    """Return what the pause of the farm says of `refusal`."""
    return PREFIX + " ".join(refusal.split())


def is_own(paused: str) -> bool:
    """Return whether this is a pause of ours, which ends by itself."""
    return paused.startswith(PREFIX)


def way_out(paused: str) -> str:
    """Return how a pause ends, for people."""
    return "goes on by itself when that is mended" if is_own(paused) else "`buildd-master farm resume` goes on"


@dataclass(slots=True)
class OwnDisk:
    """When the disk is tried out."""

    tried: float = float("-inf")  #: monotonic seconds

    def due(self, paused: str, at: float, every: float) -> bool:
        """Return whether the disk is to be tried now, and count it as tried.

        Args:
            paused: what the farm's row says.
            at: monotonic seconds.
            every: seconds between two tries.
        """
        if not is_own(paused) or at - self.tried < every:
            return False
        self.tried = at
        return True

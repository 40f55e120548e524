"""What a builder was assigned and has not begun, and what is over: whatever comes for these again comes twice.

Part of `actors.core.builder.slave_in_hand`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from storage.records import BuildOrder

REMEMBERED = 16  #: attempts that are over, or were refused


@dataclass(frozen=True, slots=True)
class Held:
    """An order that does not fit yet."""

    order: BuildOrder
    until: float
    why: str = ""


@dataclass(slots=True)
class Assigned:
    """The order that is held, and the attempts that are over."""

    held: Held | None = None
    over: deque[UUID] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def holds(self, attempt: UUID) -> bool:
        """Return whether the order of `attempt` is held."""
        return self.held is not None and self.held.order.attempt == attempt

    def knows(self, attempt: UUID) -> bool:
        """Return whether `attempt` is held or over."""
        return self.holds(attempt) or attempt in self.over

    def drop(self) -> None:
        """Count what is held as over."""
        if self.held is not None:
            self.over.append(self.held.order.attempt)
            self.held = None

"""The processes that a supervisor or nursery has forked: who they are, and the last words of each.

Thespian may tell of one end twice, and never says why; `Crashed` says why, and comes before the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.core.supervision.lives import WITHOUT_A_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thespian.actors import ActorAddress

    from actors.messages import Crashed


@dataclass(slots=True)
class Child:
    """One life of one actor."""

    name: str
    generation: int
    address: ActorAddress
    slot: int  #: in the page of signs of life
    reason: str = WITHOUT_A_WORD  #: of its end


@dataclass(slots=True)
class Children:
    """Living children, and those whose end was not told yet."""

    _living: list[Child] = field(default_factory=list)

    def __iter__(self) -> Iterator[Child]:
        """Iterate in order of birth."""
        return iter(self._living)

    def __len__(self) -> int:
        """Return how many live."""
        return len(self._living)

    def born(self, child: Child) -> None:
        """Note a child just forked."""
        self._living.append(child)

    def named(self, name: str) -> Child | None:
        """Return the latest life of `name`."""
        return next((child for child in reversed(self._living) if child.name == name), None)

    def life(self, name: str, generation: int) -> Child | None:
        """Return this very life of `name`."""
        return next((one for one in self._living if (one.name, one.generation) == (name, generation)), None)

    def last_words(self, words: Crashed) -> None:
        """Note why a child is about to end."""
        child = self.life(words.name, words.generation)
        if child is not None:
            child.reason = words.reason

    def gone(self, address: ActorAddress) -> Child | None:
        """Strike the child at `address` off; None if that was done before."""
        child = next((one for one in self._living if one.address == address), None)
        if child is not None:
            self._living.remove(child)
        return child

"""Forks up to 32 builders' actors and watches them (thespian-notes: a flat parent of 1,000 takes 76 s to start).

Never opens a database or slave socket: its children would inherit it.  Decides nothing: `actors.core.supervision`,
in the supervisor, does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.children import Children
from actors.farm_actor import FarmActor, Fork, Here, QueueMoved, SettingsChanged, Start
from actors.messages import BuilderChanged, ChildGone, Crashed, Retire

if TYPE_CHECKING:
    from thespian.actors import ActorAddress


class BuilderNursery(FarmActor):
    """Parent of builders' actors."""

    exit_within = 3.0

    def begin(self, start: Start) -> None:
        """Wait for orders from the supervisor."""
        self._cast = start.cast
        self._children = Children()

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002 - the base's signature
        """Pass orders down and news up."""
        match message:
            case Fork(start):
                address = self.createActor(self._cast.builder)
                self._children.born(start.name, start.generation, address)
                self.tell(address, start)
            case BuilderChanged(builder):
                self._tell_child(builder.name, message)
            case Retire(builder):
                self._tell_child(builder, message)
            case QueueMoved() | SettingsChanged():
                for child in self._children:
                    self.tell(child.address, message)
            case Here():
                self.tell(self.parent, message)
            case Crashed():
                self._children.last_words(message)
            case _:
                self.log.warning("%s is not for a nursery", type(message).__name__)

    def child_gone(self, address: ActorAddress) -> None:
        """Tell the supervisor which builder's actor ended."""
        child = self._children.gone(address)
        if child is not None:
            self.tell(self.parent, ChildGone(child.name, child.generation, child.reason))

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return the children."""
        return tuple((child.name, f"generation {child.generation}") for child in self._children)

    def _tell_child(self, name: str, message: object) -> None:
        child = self._children.named(name)
        if child is not None:
            self.tell(child.address, message)

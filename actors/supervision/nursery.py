"""Forks up to 32 builders' actors and watches them (thespian-notes: a flat parent of 1,000 takes 76 s to start).

Never opens a database or slave socket: its children would inherit it.  Decides nothing:
`actors.core.supervision.lives`, in the supervisor, and `actors.core.supervision.hangs` do.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from actors.addressed import Fork, Here, QueueMoved, SettingsChanged, Start
from actors.messages import BuilderChanged, ChildGone, Crashed, Retire
from actors.supervision.parent import Parent

if TYPE_CHECKING:
    from thespian.actors import ActorAddress

    from actors.supervision.children import Child

_STAND_BACK: Final = 5  #: niceness; a third of the weight (docs/adr/0179)


class BuilderNursery(Parent):
    """Parent of builders' actors."""

    exit_within = 3.0

    def begin(self, start: Start) -> None:
        """Stand back, with all that is forked here, behind those that everybody waits for: queue actor and supervisor."""
        super().begin(start)
        os.nice(_STAND_BACK)

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002 - the base's signature
        """Pass orders down and news up."""
        self._notes.heard(time.monotonic(), message)
        match message:
            case Fork(start):
                self.fork(self._cast.builder, start)
            case BuilderChanged(builder):
                self.tell_child(builder.name, message)
            case Retire(builder):
                self.tell_child(builder, message)
            case QueueMoved():
                self.tell_all(message)
            case SettingsChanged():
                self.change_settings(message)
            case Here():
                self.tell(self.parent, message)
            case Crashed():
                self.children.last_words(message)
            case _:
                self.log.warning("%s is not for a nursery", type(message).__name__)

    def child_ended(self, child: Child) -> None:
        """Tell the supervisor which builder's actor ended."""
        gone = ChildGone(child.name, child.generation, child.reason)
        self._notes.heard(time.monotonic(), gone)
        self.tell(self.parent, gone)

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return the children."""
        return tuple((child.name, f"generation {child.generation}") for child in self.children)

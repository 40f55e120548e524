"""What supervisor and nurseries share: they fork actors, see them die, and kill those that hang.

Whoever forks is who watches: it is told of its children's ends, and only it can be sure whose number a process has.
Who hangs is decided in `actors.core.supervision.hangs`, what an end means in `actors.core.supervision.lives`.  Never
opens a database or slave socket: the children would inherit it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from actors.addressed import SettingsChanged, Start
from actors.console.notes import Notes
from actors.core.supervision.hangs import HangWatch, LimitChanged, Looked
from actors.farm_actor import FarmActor
from actors.supervision.children import Child, Children
from actors.system import signs

if TYPE_CHECKING:
    from thespian.actors import ActorAddress

_LOOK: Final = "look"


class Parent(FarmActor):
    """An actor with children."""

    children: Children

    def begin(self, start: Start) -> None:
        """Begin to watch."""
        self._cast = start.cast
        self.children = Children()
        self._notes = Notes()
        self._watch = HangWatch(start.settings.timers.hung)
        self.wake_after(self._watch.every, _LOOK)

    # --- hooks ------------------------------------------------------------------------------------

    def child_ended(self, child: Child) -> None:
        """Act on the end of a child; comes once."""

    def time_came(self) -> None:
        """Act on a timer of `wake_after` without payload."""

    # --- for subclasses ---------------------------------------------------------------------------

    def fork(self, actor: str, start: Start) -> ActorAddress:
        """Fork an actor by its class's dotted name, and tell it who it is."""
        signs.reserve(start.slot)
        address = self.createActor(actor)
        self.children.born(Child(start.name, start.generation, address, start.slot))
        self.tell(address, start)
        return address

    def tell_child(self, name: str, message: object) -> None:
        """Tell the latest life of `name`, if there is one."""
        child = self.children.named(name)
        if child is not None:
            self.tell(child.address, message)

    def tell_all(self, message: object) -> None:
        """Tell every child."""
        for child in self.children:
            self.tell(child.address, message)

    def change_settings(self, changed: SettingsChanged) -> None:
        """Take them, and pass them on."""
        self._watch.handle(LimitChanged(time.monotonic(), changed.settings.timers.hung))
        self.tell_all(changed)

    # --- the base's hooks -------------------------------------------------------------------------

    def story(self) -> tuple[str, ...]:
        """Return what was heard, and what came of it."""
        return self._notes.lines()

    def child_gone(self, address: ActorAddress) -> None:
        """Find out whose end it was."""
        child = self.children.gone(address)
        if child is not None:
            self.child_ended(child)

    def woken(self, payload: object) -> None:
        """Look at the children, or do what the subclass planned."""
        if payload == _LOOK:
            self._look()
            self.wake_after(self._watch.every, _LOOK)
        else:
            self.time_came()

    def _look(self) -> None:
        page = signs.page()
        if page is None:
            return
        now = time.monotonic()
        seen = tuple(page.sign(child.slot, child.name, child.generation) for child in self.children)
        for hung in self._watch.handle(Looked(now, seen)):
            self._notes.heard(now, hung)
            child = self.children.life(hung.name, hung.generation)
            if child is None:
                continue
            pid = page.pid(child.slot)
            if not signs.kill_child(pid):  # killed as it was born, or the fork failed: Thespian does not tell of that
                self.child_gone(child.address)
            elif child.reason != hung.reason:  # else it is told again, until the kernel has it ended
                child.reason = hung.reason
                self.log.error(
                    "%s, generation %d, pid %d, is killed: %s", child.name, child.generation, pid, child.reason
                )

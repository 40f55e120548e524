"""The mailbox of an actor that is frozen at the debug console.

Says what is held and in which order it is handled afterwards; `actors.farm_actor` holds and handles.  Knows no clock:
an actor that is frozen goes on giving signs of life (`actors.system.signs`), because its loop turns.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, WakeupMessage, WatchMessage

from actors.console.orders import ConsoleOrder
from actors.messages import Crash, Describe

if TYPE_CHECKING:
    from collections.abc import Iterator

Letter = tuple[object, ActorAddress]

#: What a frozen actor handles all the same: its end, who asks how it is, and the console.
_NEVER_HELD = (ActorExitRequest, ChildActorExited, Describe, ConsoleOrder, Crash)


class Mailbox:
    """What came and was not handled."""

    def __init__(self, until: float) -> None:
        """Hold from now on; `until` is the monotonic second of the thaw that comes by itself."""
        self.until = until
        self._letters: deque[Letter] = deque()

    def hold(self, message: object, inner: object, sender: ActorAddress) -> bool:
        """Keep a letter; return False if it must be handled at once.

        Args:
            message: as it came.
            inner: what is in it, where the console wrapped it.
            sender: of the message.
        """
        if isinstance(inner, _NEVER_HELD):
            return False
        if not isinstance(message, WatchMessage):  # what is readable now will be so later
            self._letters.append((message, sender))
        return True

    def waiting(self) -> tuple[str, ...]:
        """Return the types of what is held, the oldest first."""
        return tuple(called(message) for message, _ in self._letters)

    def next(self) -> Letter | None:
        """Take out the oldest letter."""
        return self._letters.popleft() if self._letters else None

    def empty(self) -> Iterator[Letter]:
        """Take out everything: messages as they came, then timers.

        What happened meanwhile is to be known before anybody finds that it did not happen in time.
        """
        timers = [letter for letter in self._letters if is_timer(letter[0])]
        messages = [letter for letter in self._letters if not is_timer(letter[0])]
        self._letters.clear()
        yield from (*messages, *timers)


def called(message: object) -> str:
    """Return what a message is called: its type, also where the console wrapped it."""
    return "a timer" if is_timer(message) else type(getattr(message, "message", message)).__name__


def is_timer(message: object) -> bool:
    """Return whether nobody said this: a time has come."""
    return isinstance(message, WakeupMessage)

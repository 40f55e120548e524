"""An actor while the debug console has it frozen or tapped; no actor has this at any other time.

`actors.farm_actor` asks it what to hold, and tells it what was handled and sent.  What is held is
`actors.console.mailbox`' business, where copies go `actors.console.tap`'s.  Decides nothing about the farm: that a
frozen builder gets no work is the row's saying (`builder_runtime.frozen_until`), which the console writes before.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.console.mailbox import Mailbox, called, is_timer
from actors.console.orders import ConsoleOrder, Freeze, Held, OfTheConsole, StepOn, Tap, TellStory, Thaw, Told, Untap
from actors.console.tap import Taps
from actors.messages import Description
from buildd_master import __version__

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    from thespian.actors import ActorAddress

LONGEST: Final = 600.0  #: seconds that an actor can be frozen at once
_FLUSH_SECONDS: Final = 0.02  #: between two tries to send what a slow console did not take


@dataclass(frozen=True, slots=True)
class Due:
    """Payload of a wake-up that is for the examination, and not for the actor."""

    until: float = 0.0  #: of the freeze that ends; 0: copies wait to be sent


class Actor(Protocol):
    """What is examined: a `FarmActor`."""

    name: str
    generation: int
    freezable: bool
    watched: set[int]
    log: logging.LoggerAdapter[logging.Logger]

    def tell(self, address: ActorAddress, message: object) -> None:
        """Send."""

    def wake_after(self, seconds: float, payload: object = None) -> None:
        """Set a timer."""

    def readable(self, descriptors: tuple[int, ...]) -> None:
        """Read."""

    def story(self) -> Sequence[str]:
        """Tell."""

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """Wrap."""

    def handle(self, message: object, sender: ActorAddress) -> None:
        """Hand a message to its hook."""


class Examined:
    """What the console does to one actor."""

    def __init__(self, actor: Actor) -> None:
        """Change nothing yet."""
        self._actor = actor
        self._mailbox: Mailbox | None = None
        self._taps = Taps(actor.name, actor.generation, os.getpid(), __version__)
        self._flushing = False

    @property
    def frozen(self) -> bool:
        """Whether the mailbox is held."""
        return self._mailbox is not None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do here."""
        return self._mailbox is None and not self._taps

    def words(self) -> str:
        """Return for how long the mailbox is held, and what is in it; empty if it is not."""
        if self._mailbox is None:
            return ""
        left = max(0.0, self._mailbox.until - time.monotonic())
        return f"for {left:.0f} s more, {_messages(len(self._mailbox.waiting()))} held"

    def obey(self, order: ConsoleOrder, sender: ActorAddress) -> None:
        """Do what the console asks, and answer."""
        match order:
            case Freeze():
                self._actor.tell(sender, self._freeze(order))
            case Thaw():
                handled = self._thaw() if self._mailbox is not None else ""
                self._actor.tell(sender, self._held(handled, "" if handled else "it is not frozen"))
            case StepOn():
                self._actor.tell(sender, self._step())
            case TellStory():
                lines = tuple(self._actor.story())
                self._actor.tell(sender, Told(self._actor.name, self._actor.generation, time.monotonic(), lines))
            case Tap():
                self._taps.open(order)
            case Untap(port):
                self._taps.close(port, "it was asked to")
            case _:
                self._actor.log.warning("%s is not for an actor", type(order).__name__)

    # --- what the actor tells ---------------------------------------------------------------------

    def holds(self, message: object, inner: object, sender: ActorAddress) -> bool:
        """Return whether a message must not be handled now; it is kept."""
        if self._mailbox is None or isinstance(getattr(message, "payload", None), Due):
            return False
        if not self._mailbox.hold(message, inner, sender):
            return False
        if self._taps:
            self._taps.message("held", inner, sender)
        return True

    def handled(self, message: object, sender: ActorAddress) -> None:
        """Copy what is about to be handled."""
        if self._taps and not isinstance(message, OfTheConsole):
            self._taps.message("handled", message, sender)

    def sent(self, message: object, address: ActorAddress) -> None:
        """Copy what is sent."""
        if self._taps and not isinstance(message, OfTheConsole | Description):
            self._taps.message("sent", message, address)

    def turned(self) -> None:
        """Look after the taps when a message was handled: cores may be new ones, copies may wait."""
        self._actor.wrap_cores(self._taps.wrap)
        if self._taps.behind and not self._flushing:
            self._flushing = True
            self._actor.wake_after(_FLUSH_SECONDS, Due())

    def woken(self, due: Due) -> None:
        """Act on a timer of our own."""
        if not due.until:
            self._flushing = False
            self._taps.flush()
        elif self._mailbox is not None and self._mailbox.until == due.until:
            self._actor.log.warning("thaws by itself")
            self._thaw()

    def ended(self, why: str) -> None:
        """Say good-bye to who listens; the actor ends."""
        self._taps.close(None, why)

    # --- freezing ---------------------------------------------------------------------------------

    def _freeze(self, order: Freeze) -> Held:
        if not self._actor.freezable:
            return self._held(refused="only builders' actors can be frozen; `farm pause` holds the queue")
        if not 0 < order.seconds <= LONGEST:
            return self._held(refused=f"it can be frozen for up to {LONGEST:g} s")
        until = time.monotonic() + order.seconds
        if self._mailbox is None:
            self._mailbox = Mailbox(until)
        self._mailbox.until = until
        self._actor.wake_after(order.seconds, Due(until))
        self._actor.log.warning("frozen by %s for %g s", order.who, order.seconds)
        return self._held()

    def _thaw(self) -> str:
        """Handle everything that was held; return what that was."""
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is None:
            return ""
        # What the slave said meanwhile comes first: a timer must not find it silent that was not listened to.
        self._actor.readable(tuple(self._actor.watched))
        letters = tuple(mailbox.empty())
        for message, sender in letters:
            self._actor.handle(message, sender)
        return _messages(len(letters))

    def _step(self) -> Held:
        if self._mailbox is None:
            return self._held(refused="it is not frozen")
        letter = self._mailbox.next()
        if letter is None:
            self._actor.readable(tuple(self._actor.watched))
            return self._held(handled="what its sockets had")
        message, sender = letter
        if is_timer(message):
            self._actor.readable(tuple(self._actor.watched))  # first, as when it thaws
        self._actor.handle(message, sender)
        return self._held(handled=called(message))

    def _held(self, handled: str = "", refused: str = "") -> Held:
        left: float | None = None
        waiting: tuple[str, ...] = ()
        if self._mailbox is not None:
            left, waiting = max(0.0, self._mailbox.until - time.monotonic()), self._mailbox.waiting()
        return Held(self._actor.name, self._actor.generation, left, waiting, handled, refused)


def _messages(number: int) -> str:
    return f"{number} message{'' if number == 1 else 's'}"

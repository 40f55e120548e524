"""A master whose actors can't be tapped or frozen: what the console costs an actor is left out, and nothing else.

`python -m bench.bare --state-directory DIR` is `run_master.py` with these actors.  For `bench.taps`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from actors import wiring
from actors.builder import BuilderActor
from actors.farm_actor import Cast, FarmActor, Injected
from actors.messages import Describe
from actors.nursery import BuilderNursery
from actors.queue import QueueActor
from run_master import main

from thespian.actors import (  # isort: skip - after `actors.transport`, which loads it without a warning
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

if TYPE_CHECKING:
    from thespian.actors import ActorAddress

    from actors.settings import Settings


class Bare(FarmActor):
    """`FarmActor` as it was before there was a console that taps: its three methods on the way of every message."""

    def tell(self, address: ActorAddress, message: object) -> None:
        """Send `message`."""
        self._messages_out += 1
        self.send(address, message)

    def receiveMessage(self, message: object, sender: ActorAddress) -> ThespianWatch | None:  # noqa: N802
        """Hand `message` to its hook."""
        if self._dying:
            return None
        try:
            self.handle(message, sender)
        except Exception as error:  # noqa: BLE001 - as in the base
            self._die(error)
            return None
        return ThespianWatch(list(self.watched))

    def handle(self, message: object, sender: ActorAddress) -> None:
        """Hand `message` to its hook."""
        match message:
            case WatchMessage():
                self.readable(tuple(message.ready))
            case WakeupMessage():
                self.woken(message.payload)
            case ActorExitRequest() | ChildActorExited() | PoisonMessage() | DeadEnvelope() | Injected() | Describe():
                super().handle(message, sender)
            case _:
                self._messages_in += 1
                self._last_message = type(message).__name__
                self._handle_farm_message(message, sender)


class BareQueue(Bare, QueueActor):
    """The queue actor without the console's seams."""


class BareNursery(Bare, BuilderNursery):
    """A nursery without the console's seams."""


class BareBuilder(Bare, BuilderActor):
    """A builder's actor without the console's seams."""


class BareFarm(wiring.Farm):
    """A farm of these."""

    def __init__(self, settings: Settings, **more: Any) -> None:  # noqa: ANN401 - the product's
        """Describe it."""
        cast = Cast("bench.bare.BareQueue", "bench.bare.BareNursery", "bench.bare.BareBuilder")
        super().__init__(settings, cast, **more)


if __name__ == "__main__":
    wiring.Farm = BareFarm  # type: ignore[assignment, misc]  # where `run_master` looks for it
    sys.exit(main())

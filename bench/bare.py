"""A master whose builders' actors can do without the console's seams, while a byte says so: what they cost is left out.

`BENCH_BARE=FILE python -m bench.bare --state-directory DIR` is `run_master.py` with these actors.  Each of them looks
at one of the first two bytes of FILE, which all processes map, whenever it handles or sends a message: 0 is the
product, 1 the product without what the console needs to tap and freeze.  Which of the two, its name says (`half_of`):
so halves of one farm work side by side and are compared, whatever else the machine is busy with.  For `bench.taps`.
"""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors import wiring
from actors.addressed import Cast, Start
from actors.builder.actor import BuilderActor
from actors.console.orders import ConsoleOrder, Injected
from actors.farm_actor import FarmActor
from actors.messages import Describe
from run_master import main

from thespian.actors import (  # isort: skip - after `actors.system.transport`, which loads it without a warning
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

ENVIRONMENT: Final = "BENCH_BARE"  #: names the file


def half_of(builder: str) -> int:
    """Return which half of the farm a builder belongs to, 0 or 1: by its number."""
    return int("".join(filter(str.isdigit, builder))) % 2


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
                FarmActor.handle(self, message, sender)
            case ConsoleOrder():
                FarmActor.handle(self, message, sender)
            case _:
                self._messages_in += 1
                self._last_message = type(message).__name__
                self._handle_farm_message(message, sender)


class SwitchedBuilder(Bare, BuilderActor):
    """A builder's actor, `Bare` while its byte says so."""

    bytes: tuple[int, int] | mmap.mmap = (0, 0)  #: whoever runs a farm of these maps a file here
    half = 0  #: which of them is its own

    def begin(self, start: Start) -> None:
        """Take up work."""
        self.half = half_of(start.name)
        super().begin(start)

    def tell(self, address: ActorAddress, message: object) -> None:
        """Send `message`."""
        (Bare if self.bytes[self.half] else FarmActor).tell(self, address, message)

    def receiveMessage(self, message: object, sender: ActorAddress) -> ThespianWatch | None:  # noqa: N802
        """Hand `message` to its hook."""
        return (Bare if self.bytes[self.half] else FarmActor).receiveMessage(self, message, sender)

    def handle(self, message: object, sender: ActorAddress) -> None:
        """Hand `message` to its hook."""
        (Bare if self.bytes[self.half] else FarmActor).handle(self, message, sender)


class SwitchedFarm(wiring.Farm):
    """A farm of these."""

    def __init__(self, settings: Settings, **more: Any) -> None:  # noqa: ANN401 - the product's
        """Describe it."""
        super().__init__(settings, Cast(builder="bench.bare.SwitchedBuilder"), **more)


if ENVIRONMENT in os.environ:
    with Path(os.environ[ENVIRONMENT]).open("rb") as _file:
        SwitchedBuilder.bytes = mmap.mmap(_file.fileno(), 2, access=mmap.ACCESS_READ)

if __name__ == "__main__":
    wiring.Farm = SwitchedFarm  # type: ignore[assignment, misc]  # where `run_master` looks for it
    sys.exit(main())

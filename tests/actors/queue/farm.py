"""A farm in a process of its own: the real queue actor, and stand-ins for builders' actors that only carry letters.

Each stand-in passes on what a test injects for the queue actor, and tells what it heard when it is asked to describe
itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.addressed import Cast, Start
from actors.farm_actor import FarmActor
from actors.messages import Assign, BuilderChanged, Recorded, Retire
from actors.settings import Settings
from actors.wiring import Farm

if TYPE_CHECKING:
    from thespian.actors import ActorAddress


@dataclass(frozen=True, slots=True)
class PassOn:
    """From a test: say these to the queue actor, one right after the other."""

    messages: tuple[object, ...]


class StandIn(FarmActor):
    """Stands where a builder's actor would."""

    def begin(self, start: Start) -> None:  # noqa: ARG002 - the base's signature
        """Wait for the test."""
        self.heard: list[tuple[str, str]] = []

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002 - the base's signature
        """Pass on, or remember."""
        match message:
            case PassOn(messages):
                for one in messages:
                    self.tell(self.queue, one)
            case Assign():
                self._remember(message, str(message.order.attempt))
            case Recorded():
                self._remember(message, str(message.next.attempt) if message.next else "")
            case BuilderChanged(builder):
                self._remember(message, "trusted" if builder.trusted else "untrusted")
            case Retire():
                self.end()
            case _:
                self._remember(message, "")

    def _remember(self, message: object, what: str) -> None:
        self.heard.append((type(message).__name__, f"{time.time():.6f} {what}"))

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what was heard, in order: type, and wall-clock time with what matters."""
        return tuple(self.heard)


def main() -> None:
    """Run until the standard input ends."""
    settings = Settings(**json.loads(sys.argv[1]))
    farm = Farm(settings, Cast(builder="tests.actors.queue.farm.StandIn"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    farm.start()
    os.write(1, b"READY\n")
    farm.watch(0)
    farm.stop()


if __name__ == "__main__":
    main()

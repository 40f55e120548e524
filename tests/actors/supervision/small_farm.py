"""A farm of doubles in a process of its own: real supervisor, nurseries and wiring, but no queue and no slaves.

The double of the queue actor reads the builders from a file in the state directory, one name a line.  Both doubles
tell what they heard when they are asked to describe themselves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from actors.addressed import Cast, QueueMoved, SettingsChanged, Start
from actors.core.supervision.hangs import Excuse
from actors.farm_actor import FarmActor
from actors.messages import BuilderChanged, BuilderGone, BuildersKnown, Disown, GoneNoted, Ready, Retire
from actors.settings import Settings
from actors.system import signs
from actors.wiring import Farm, Halt
from storage.records import Builder

if TYPE_CHECKING:
    from thespian.actors import ActorAddress


def builder(name: str, *, trusted: bool = True) -> Builder:
    """Return a builder's row."""
    return Builder(
        id=1,
        name=name,
        url="buildd://127.0.0.1:9",
        families=("x86",),
        trusted=trusted,
        builderok=True,
        failnotes="",
        notok_by=None,
        notok_kind=None,
        manual=False,
        tags=(),
        architectures=("i386",),
    )


SLOW_DISK = "slow-disk"  #: a FIFO in the state directory


class DoubleQueue(FarmActor):
    """Knows builders from a file; remembers who was reported gone and who reported."""

    def begin(self, start: Start) -> None:
        self.facts: list[tuple[str, str]] = []
        if (start.settings.state_directory / "queue-fails").exists():
            message = "no such table: buildqueue"
            raise RuntimeError(message)
        self._read()

    def _read(self) -> None:
        names = (self.settings.state_directory / "builders").read_text().split()
        self.tell(self.supervisor, BuildersKnown(tuple(builder(name) for name in names)))

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002
        match message:
            case BuilderGone(name, generation, failnotes):
                self.facts.append((f"gone {name} {generation}", failnotes))
                self.tell(self.supervisor, GoneNoted(name, generation))
            case Ready(name, generation):
                self.facts.append((f"ready {name}", str(generation)))
            case _:
                message_name = type(message).__name__
                self.facts.append(("odd", message_name))

    def described(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.facts)


class DoubleBuilder(FarmActor):
    """Reports `Ready` to the queue actor, again when that moved."""

    freezable = True

    def begin(self, start: Start) -> None:
        assert start.builder is not None
        self.builder = start.builder
        self.moved = 0
        self._report()

    def _report(self) -> None:
        self.tell(self.queue, Ready(self.name, self.generation, 1))

    def receive(self, message: object, sender: ActorAddress) -> None:  # noqa: ARG002
        match message:
            case QueueMoved():
                self.moved += 1
                self._report()
            case BuilderChanged(changed):
                self.builder = changed
            case Retire():
                self.end()
            case Disown(why="loop for ever"):
                while True:
                    pass
            case Disown(why="wait for a disk"):
                with signs.waiting(Excuse.DISK):  # the other end is opened by the test
                    (self.settings.state_directory / SLOW_DISK).read_bytes()
            case SettingsChanged():
                pass  # the base took them
            case _:
                raise TypeError(type(message).__name__)

    def occupation(self) -> str:
        return "attempt 42"

    def described(self) -> tuple[tuple[str, str], ...]:
        return (
            ("stage", "IDLE"),
            ("trusted", str(self.builder.trusted)),
            ("moved", str(self.moved)),
            ("crashes", str(self.settings.crashes)),
        )


def die_at_birth(settings: Settings) -> None:
    """Have the next actor that is forked be killed as its life begins, once for each time that the file is there."""
    born, file = signs.born, settings.state_directory / "dies-at-birth"

    def dies(slot: int | None) -> None:
        if slot is not None and slot > signs.SUPERVISOR and file.exists():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        born(slot)

    signs.born = dies


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    here = "tests.actors.supervision.small_farm"
    farm = Farm(settings, Cast(queue=f"{here}.DoubleQueue", builder=f"{here}.DoubleBuilder"))
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    die_at_birth(settings)
    farm.start()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while (halt := farm.watch(wake)) is Halt.ASKED and signal.SIGTERM not in os.read(wake, 100):
        farm.reload(farm.settings.model_copy(update={"crashes": farm.settings.crashes + 1}))
    farm.stop()
    sys.stdout.write(f"{halt.name}\n")


if __name__ == "__main__":
    main()

"""A builder's actor without an actor system: the real shell, its real socket and files, and a test for a queue actor."""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from actors.addressed import Start
from actors.builder.actor import BuilderActor
from actors.core.builder.events import FromQueueMessage
from actors.core.timers import Timers
from actors.messages import BuilderChanged, RuntimeChanged, SessionOpened, SessionWanted
from actors.settings import Settings
from simulation.slaves.buildd.host import TOKEN, SlaveHost
from storage.files.librarian import Librarian
from storage.records import Builder, BuildOrder, NamedFile
from tests.fix_builder import FARM, an_order, bob
from tests.waiting import wait_until

QUEUE = "the queue actor's address"
T = TypeVar("T")


class StagedBuilder(BuilderActor):
    """The shell as it is, with a plain loop in the place of Thespian."""

    obeys_sigterm = True  # it lives in the test's own process, whose signals it leaves alone

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Any] = []
        self.left = False
        self._timers: list[tuple[float, object]] = []
        self._epoch_from: Callable[[], int] = lambda: 1

    def start_in(self, settings: Settings, row: Builder, generation: int, epoch: Callable[[], int]) -> None:
        """Begin, as `FarmActor` would have it on `Start`."""
        self.name, self.kind, self.generation = row.name, "builder", generation
        self.settings, self.queue, self._epoch_from = settings, QUEUE, epoch
        self.begin(Start(row.name, "builder", generation, settings, builder=row))

    def tell(self, address: object, message: object) -> None:
        assert address is QUEUE
        self.said.append(message)

    def wake_after(self, seconds: float, payload: object = None) -> None:
        self._timers.append((time.monotonic() + seconds, payload))

    def end(self) -> None:
        self.left = True

    def turn(self, patience: float = 0.02) -> None:
        """Let a little of what is due happen; sessions are granted as they are wished for."""
        granted = [message for message in self.said if isinstance(message, SessionWanted)]
        self.said = [message for message in self.said if not isinstance(message, SessionWanted)]
        if granted:
            self.hear(SessionOpened(self.name, self.generation, self._epoch_from(), FARM))
        now = time.monotonic()
        due = [payload for at, payload in self._timers if at <= now]
        self._timers = [(at, payload) for at, payload in self._timers if at > now]
        for payload in due:
            self.woken(payload)
        ready, _, _ = select.select(list(self.watched), [], [], 0 if due or granted else patience)
        if ready:
            self.readable(tuple(ready))

    def hear(self, message: FromQueueMessage) -> None:
        self.receive(message, QUEUE)

    def change(self, row: Builder) -> None:
        """Hear that the builder's row has changed."""
        self.receive(BuilderChanged(row), QUEUE)

    def heard(self, kind: type[T], which: Callable[[T], bool] = lambda _: True) -> list[T]:
        """Return what the queue actor was told."""
        return [message for message in self.said if isinstance(message, kind) and which(message)]

    def wait_told(self, kind: type[T], which: Callable[[T], bool] = lambda _: True) -> T:
        """Turn until the queue actor was told this; return it and forget it and everything of its kind."""
        self.wait_until(lambda: bool(self.heard(kind, which)), kind.__name__)
        found = self.heard(kind, which)[-1]
        self.said = [message for message in self.said if not isinstance(message, kind)]
        return found

    def wait_until(self, fact: Callable[[], bool], what: str = "") -> None:
        """Turn until `fact`."""

        def _story() -> str:
            others = [message for message in self.said if not isinstance(message, RuntimeChanged)]
            return f"{what or fact}; was told {others}; thinks {self.described()}"

        wait_until(fact, _story, meanwhile=self.turn)


class BuilderStage:
    """A state directory, a librarian, slaves in a thread, and builders' actors that share them."""

    def __init__(self, directory: Path, slaves: SlaveHost) -> None:
        self.slaves = slaves
        self.settings = Settings(state_directory=directory)
        self.settings.logs_directory.mkdir(parents=True)
        self.settings.token_file.write_text(TOKEN + "\n")
        self.librarian = Librarian(self.settings.librarian_directory)
        self.epoch = 0
        self.builders: list[StagedBuilder] = []

    def use(self, **timers: float) -> None:
        """Set some timers."""
        self.settings = self.settings.model_copy(update={"timers": Timers(**timers)})

    def builder(self, url: str, *, generation: int = 1, **row: Any) -> StagedBuilder:
        """Return an actor that has begun."""
        builder = StagedBuilder()
        builder.start_in(self.settings, bob(url=url, **row), generation, self._next_epoch)
        self.builders.append(builder)
        return builder

    def _next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def order(self, chroot: bytes = b"a chroot", **fields: Any) -> BuildOrder:
        """Return an order whose files are in the librarian."""
        dsc = b"Source: foo\nVersion: 1.0-1\n"
        given = {"chroot": self._filed("chroot.tar.zst", chroot), "files": (self._filed("foo_1.0-1.dsc", dsc),)}
        return an_order(**(given | fields))

    def _filed(self, name: str, content: bytes) -> NamedFile:
        kept = self.librarian.add_bytes(content)
        return NamedFile(name, kept.sha256, kept.size, kept.sha1)

    def log_file(self, order: BuildOrder) -> Path:
        return self.settings.logs_directory / f"{order.attempt}.log"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def builder_stage(tmp_path: Path, slave_host: SlaveHost) -> Iterator[BuilderStage]:
    """Everything a builder's shell needs, but an actor system and a database."""
    stage = BuilderStage(tmp_path / "state", slave_host)
    yield stage
    for builder in stage.builders:
        builder.ended()
        builder._link.release()

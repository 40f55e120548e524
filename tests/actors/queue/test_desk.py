"""The queue actor without its actor, on a real database that goes away, comes back, or answers and can't write."""

from __future__ import annotations

import heapq
import itertools
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
import pytest

from actors.core.attempts.verdict import VerdictRules
from actors.core.supervision.lives import MOST_UNRECORDED
from actors.core.timers import Timers
from actors.messages import Assign, BuilderGone, Finished, GoneNoted, Ready, Recorded, RuntimeChanged
from actors.queue.database import QueueDatabase
from actors.queue.desk import Payload, QueueDesk
from actors.queue.letters import Letter
from storage.database.repository import in_words
from storage.dependency_waits import DependencyWaits
from storage.errors import DatabaseUnreachable
from storage.records import BinaryPackage, BuildState, Limits, Outcome, RuntimeState, Settled
from tests.fix_desk import NOW
from tests.fix_storage import Farm
from tests.waiting import wait_until

TIMERS = Timers(batch=0.001, librarian_retry=10.0, deadlines=10.0, deadline_grace=1.0)
NO_ROOM = "could not extend file: No space left on device"


class _NoRoom(QueueDatabase):
    """Answers, and takes nothing."""

    full = False

    def transaction(self, why: str = "") -> AbstractContextManager[object]:
        return self._transaction(why)

    @contextmanager
    def _transaction(self, why: str) -> Iterator[None]:
        with super().transaction(why):
            yield
            if _NoRoom.full and not why:  # reading everything writes nothing
                with in_words():
                    raise psycopg.errors.DiskFull(NO_ROOM)


@dataclass
class World:
    """The desk's surroundings, with a clock that tests wind."""

    dsn: str
    at: float = 1000.0
    away: bool = False
    full: bool = False
    disk: str = ""
    letters: list[object] = field(default_factory=list)
    pauses: list[str] = field(default_factory=list)
    connections: int = 0
    listening: list[int] = field(default_factory=list)
    tried: int = 0
    _timers: list[tuple[float, int, Payload]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.desk = QueueDesk(Limits(wall_seconds=3600), TIMERS, VerdictRules(), self)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and every timer with it."""
        until = self.at + seconds
        while self._timers and self._timers[0][0] <= until:
            self.at, _, payload = heapq.heappop(self._timers)
            self.desk.woken(payload)
        self.at = until

    def lose_database(self) -> None:
        """Have the database go away, and the desk notice."""
        self.away = True
        with psycopg.connect(self.dsn, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name ~ '^queue'"
            )
        self.pass_time(1.0)

    def now(self) -> float:
        return self.at

    def time_of_day(self) -> datetime:
        return NOW

    def connect(self) -> QueueDatabase:
        self.connections += 1
        if self.away:
            raise DatabaseUnreachable("can't reach the database: it was taken away")
        database = _NoRoom(self.dsn)
        self.listening = [database.fileno()]
        return database

    def disconnected(self) -> None:
        self.listening = []

    def post(self, letters: Sequence[Letter]) -> None:
        self.letters += [letter.message for letter in letters]

    def paused(self, why: str) -> None:
        self.pauses.append(why)

    def own_disk_refuses(self) -> str:
        self.tried += 1
        return self.disk

    def wake_after(self, seconds: float, payload: Payload) -> None:
        heapq.heappush(self._timers, (self.at + seconds, next(self._numbers), payload))


@pytest.fixture
def world(farm: Farm, shared_database: str) -> Iterator[World]:
    farm.builder("bob")
    made = World(shared_database)
    made.desk.begin()
    yield made
    _NoRoom.full = made.away = False
    made.desk.end()


def assigned(world: World, farm: Farm, name: str = "foo") -> Assign:
    """Have bob get a job."""
    farm.job(name)
    world.desk.receive(Ready("bob", 1, 1))
    world.pass_time(0.1)
    # a notification takes its own time from one connection to the other
    return wait_until(
        lambda: [message for message in world.letters if isinstance(message, Assign)], meanwhile=world.desk.notified
    )[0]


def test_a_database_that_comes_back_takes_what_came_meanwhile_and_people_are_told_both_times(
    world: World, farm: Farm
) -> None:
    order = assigned(world, farm).order
    world.lose_database()
    assert "it was taken away" in world.pauses[-1] or "does not answer" in world.pauses[-1]
    world.desk.receive(Finished("bob", 1, 1, order.attempt, Outcome.OK))
    world.pass_time(60.0)
    assert not any(isinstance(message, Recorded) for message in world.letters)
    assert len(world.pauses) == 1
    world.away = False
    world.pass_time(TIMERS.database_retry_limit)
    assert any(isinstance(message, Recorded) for message in world.letters)
    assert farm.queue.attempt(order.attempt).outcome is Outcome.OK
    assert world.pauses[1:] == [""]


def test_a_database_without_room_is_tried_less_and_less_often_and_said_to_be_back_when_it_takes_something(
    world: World, farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    order = assigned(world, farm).order
    _NoRoom.full = True
    before = world.connections
    world.desk.receive(Finished("bob", 1, 1, order.attempt, Outcome.OK))
    world.pass_time(60.0)
    assert world.connections - before < 20
    assert len(world.pauses) == 1
    assert NO_ROOM in world.pauses[0]
    assert "is back" not in caplog.text
    _NoRoom.full = False
    world.pass_time(TIMERS.database_retry_limit)
    assert farm.queue.attempt(order.attempt).outcome is Outcome.OK
    assert world.pauses[1:] == [""]
    assert "is back" in caplog.text


def test_every_crash_that_was_told_while_the_database_was_away_is_recorded_and_acknowledged(
    world: World, farm: Farm
) -> None:
    world.lose_database()
    for generation in (1, 2, 2):
        world.desk.receive(BuilderGone("bob", generation, f"crash {generation}"))
    world.away = False
    world.pass_time(TIMERS.database_retry_limit)
    noted = [message for message in world.letters if isinstance(message, GoneNoted)]
    assert noted == [GoneNoted("bob", 1), GoneNoted("bob", 2)]
    assert farm.builders.get("bob").failnotes == "crash 2"


def test_of_many_crashes_that_were_told_while_the_database_was_away_the_last_are_kept(world: World) -> None:
    world.lose_database()
    for generation in range(1, MOST_UNRECORDED + 4):
        world.desk.receive(BuilderGone("bob", generation, f"crash {generation}"))
    world.away = False
    world.pass_time(TIMERS.database_retry_limit)
    noted = [message.generation for message in world.letters if isinstance(message, GoneNoted)]
    assert noted == list(range(4, MOST_UNRECORDED + 4))


def test_nobody_is_late_who_could_not_say_anything_while_the_database_was_away(world: World, farm: Farm) -> None:
    order = assigned(world, farm).order
    world.lose_database()
    world.pass_time(100.0)
    farm.sql("UPDATE attempt SET deadline = now() - interval '1 hour'")
    world.away = False
    world.pass_time(TIMERS.database_retry_limit + 2.0)
    world.desk.receive(Finished("bob", 1, 1, order.attempt, Outcome.OK))  # said again, every two seconds
    world.pass_time(20.0)
    assert farm.queue.attempt(order.attempt).outcome is Outcome.OK


def test_a_pause_for_the_own_disk_ends_when_it_takes_something_even_after_a_restart(world: World, farm: Farm) -> None:
    farm.sql("UPDATE farm SET paused = %s", "the master's own disk: full")
    world.disk = "still full"
    farm.job()
    world.desk.receive(Ready("bob", 1, 1))
    world.pass_time(35.0)
    assert 3 <= world.tried <= 4
    assert not any(isinstance(message, Assign) for message in world.letters)
    world.disk = ""
    world.pass_time(11.0)
    assert any(isinstance(message, Assign) for message in world.letters)
    world.pass_time(60.0)
    assert world.tried <= 5


def test_what_an_earlier_life_of_an_actor_says_late_does_not_hide_what_the_present_one_says(
    world: World, farm: Farm
) -> None:
    farm.job()
    world.desk.receive(RuntimeChanged("bob", 1, RuntimeState.IDLE, connected=True))  # a turn begins at once,
    world.desk.receive(Ready("bob", 2, 1))  # ... and the next one finds both
    world.desk.receive(Ready("bob", 1, 1))
    world.pass_time(1.0)
    assert [one.generation for one in world.letters if isinstance(one, Assign)] == [2]


# --- builds that wait for dependencies --------------------------------------------------------------


def lacking(world: World, farm: Farm, *dependencies: str) -> int:
    """Let a build end for want of these; return it."""
    order = assigned(world, farm).order
    lacks = Finished("bob", 1, 1, order.attempt, Outcome.DEPFAIL, dependencies=dependencies, slave_usable=False)
    world.desk.receive(lacks)
    world.pass_time(5.0)
    return order.build


def publish(farm: Farm, *packages: BinaryPackage) -> None:
    with farm.acting("me"):
        farm.packages.import_index(farm.archives.get("ubuntu", "primary"), "hoary", "i386", packages)


def hear_until(world: World, fact: Callable[[], bool]) -> None:
    """Let the desk hear what is on its way to it, until a fact; its own clock all but stands still."""

    def _hear() -> None:
        select.select(world.listening, [], [], 0.05)
        world.desk.notified()
        world.pass_time(0.001)

    wait_until(fact, meanwhile=_hear)


LIBFOO = BinaryPackage("libfoo", "1", "i386")


def test_what_is_published_is_looked_at_as_soon_as_it_is_heard_of(world: World, farm: Farm) -> None:
    build = lacking(world, farm, "libfoo")
    publish(farm, LIBFOO)
    began = world.at
    hear_until(world, lambda: farm.builds.get(build).state is BuildState.NEEDSBUILD)
    assert world.at - began < 5.0


def test_everybody_who_waits_is_looked_at_every_five_minutes(world: World, farm: Farm) -> None:
    build = lacking(world, farm, "libfoo")
    farm.conn.execute("ALTER TABLE binary_package DISABLE TRIGGER tell_inserted")
    try:
        publish(farm, LIBFOO)
    finally:
        farm.conn.execute("ALTER TABLE binary_package ENABLE TRIGGER tell_inserted")
    world.pass_time(TIMERS.dependency_sweep - 20.0)
    assert farm.builds.get(build).state is BuildState.MANUALDEPWAIT
    world.pass_time(20.0)
    assert farm.builds.get(build).state is BuildState.NEEDSBUILD


def test_what_was_published_while_the_database_was_away_is_looked_at_when_it_is_back(world: World, farm: Farm) -> None:
    build = lacking(world, farm, "libfoo")
    world.lose_database()
    publish(farm, LIBFOO)
    world.away = False
    world.pass_time(10.0)
    assert farm.builds.get(build).state is BuildState.NEEDSBUILD


def test_a_look_that_takes_the_database_too_long_does_not_keep_dispatch_from_its_work(
    world: World, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = lacking(world, farm, "libfoo")
    too_long = DatabaseUnreachable("the database can't do that now: canceling statement due to statement timeout")

    def settle(_: object, __: object) -> tuple[Settled, ...]:
        raise too_long

    with monkeypatch.context() as patch:
        patch.setattr(DependencyWaits, "settle", settle)
        publish(farm, LIBFOO)
        before = world.connections
        hear_until(world, lambda: bool(world.pauses))
        world.pass_time(180.0)
        assert world.connections - before <= 4
        world.letters.clear()
        assert assigned(world, farm, "other").order.build != build
    world.pass_time(70.0)
    assert farm.builds.get(build).state is not BuildState.MANUALDEPWAIT

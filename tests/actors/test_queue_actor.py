"""The queue actor as a process, with the real database, between the supervisor and stand-ins for builders."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from actors.attach import Attached
from actors.farm_actor import Here
from actors.messages import Crash, Finished, Ready, Recorded, RuntimeChanged, SessionWanted
from actors.settings import Settings
from storage.records import BuildState, Outcome, RuntimeState
from tests.actors.queue_farm import PassOn
from tests.fix_storage import Stage

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 15.0  #: seconds


class QueueFarm:
    """A running farm of stand-ins, and the stage of its database."""

    def __init__(self, farm: Stage, dsn: str, state_directory: Path) -> None:
        self.stage, self.dsn = farm, dsn
        given = {
            "state_directory": str(state_directory),
            "database": dsn,
            "user": "",
            "timers": {"resend": 0.3, "database_retry": 0.1, "database_retry_limit": 0.2},
        }
        self.settings = Settings(**given)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.queue_farm", json.dumps(given)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"READY\n"
        self.attached = Attached(self.settings)

    def close(self) -> None:
        self.attached.close()
        self.process.communicate(timeout=PATIENCE)  # the end of its input ends it

    def here(self, name: str) -> Here:
        """Wait until the actor runs."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [here for here in self.attached.census().here if here.name == name]
            if found:
                return found[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def say(self, *messages: object, by: str = "bob") -> None:
        """Have a stand-in say these to the queue actor."""
        self.attached.inject(self.here(by), PassOn(messages), None)

    def heard(self, kind: str, by: str = "bob") -> list[str]:
        """Return what a stand-in heard of this kind."""
        description = self.attached.describe((self.here(by),)).get(by)
        return [text for name, text in description.state if name == kind] if description else []

    def wait_heard(self, kind: str, count: int = 1, by: str = "bob") -> list[tuple[float, str]]:
        """Wait until it heard so many; return for each when (wall clock), and what matters of it."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.heard(kind, by)) < count:
            assert time.monotonic() < deadline, (kind, count, found)
            time.sleep(0.01)
        return [(float(text.split(" ")[0]), text.split(" ")[1]) for text in found]

    def queue_says(self, name: str) -> str:
        """Return one line of what the queue actor is thinking."""
        description = self.attached.describe((self.here("queue"),)).get("queue")
        return dict(description.state).get(name, "") if description else ""

    def wait_queue_says(self, name: str, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in (said := self.queue_says(name)):
            assert time.monotonic() < deadline, said
            time.sleep(0.01)


@pytest.fixture
def queue_farm(farm: Stage, farm_database: str, state_directory: Path) -> Iterator[QueueFarm]:
    farm.builder("bob")
    made = QueueFarm(farm, farm_database, state_directory)
    yield made
    made.close()


def acknowledge(name: str = "bob") -> RuntimeChanged:
    return RuntimeChanged(name, 1, RuntimeState.PREPARING, connected=True)


def test_a_job_is_assigned_within_milliseconds_and_its_end_is_answered_with_the_next(queue_farm: QueueFarm) -> None:
    queue_farm.say(SessionWanted("bob", 1))
    queue_farm.wait_heard("SessionOpened")
    queue_farm.say(Ready("bob", 1, 1))
    queue_farm.wait_queue_says("ready", "bob")
    first, second = queue_farm.stage.job("one"), queue_farm.stage.job("two")
    ((_, attempt),) = queue_farm.wait_heard("Assign")
    queue_farm.say(acknowledge())
    claimed = queue_farm.stage.builds.attempts(first.build)[0]
    assert str(claimed.id) == attempt
    queue_farm.say(Finished("bob", 1, 1, claimed.id, Outcome.OK))
    ((_, following),) = queue_farm.wait_heard(Recorded.__name__)
    assert following == str(queue_farm.stage.builds.attempts(second.build)[0].id)
    assert queue_farm.stage.builds.get(first.build).state is BuildState.FULLYBUILT


def test_an_assignment_that_is_not_acknowledged_is_repeated_until_it_is(queue_farm: QueueFarm) -> None:
    queue_farm.stage.job()
    queue_farm.say(Ready("bob", 1, 1))
    said = queue_farm.wait_heard("Assign", 2)
    assert len({attempt for _, attempt in said}) == 1
    queue_farm.say(acknowledge())
    queue_farm.wait_queue_says("unacknowledged", "0")


def test_a_change_of_trust_by_plain_sql_reaches_builder_and_waiting_job_at_once(queue_farm: QueueFarm) -> None:
    queue_farm.say(Ready("bob", 1, 1))
    queue_farm.stage.job(archive="cprov/ppa")
    queue_farm.wait_queue_says("ready", "bob")
    before = time.time()
    queue_farm.stage.conn.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
    ((changed, trust),) = queue_farm.wait_heard("BuilderChanged")
    assert trust == "untrusted"
    ((assigned, _),) = queue_farm.wait_heard("Assign")[:1]
    assert max(changed, assigned) - before < 1.0


def test_while_the_database_is_away_dispatch_pauses_and_reports_wait_for_it(
    queue_farm: QueueFarm, postgres_dsn: str
) -> None:
    job = queue_farm.stage.job()
    queue_farm.say(Ready("bob", 1, 1))
    queue_farm.wait_heard("Assign")
    attempt = queue_farm.stage.builds.attempts(job.build)[0].id
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        name = conninfo_to_dict(queue_farm.dsn)["dbname"]
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # type: ignore[arg-type]
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name ~ 'queue'",
            (name,),
        )
        queue_farm.wait_queue_says("database", "away")
        queue_farm.say(Finished("bob", 1, 1, attempt, Outcome.OK))
        queue_farm.wait_queue_says("reports waiting", "1")
        assert queue_farm.heard("Recorded") == []
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")  # type: ignore[arg-type]
    queue_farm.wait_heard("Recorded")
    assert queue_farm.stage.builds.get(job.build).state is BuildState.FULLYBUILT
    assert queue_farm.stage.builders.get("bob").builderok
    queue_farm.say(Ready("bob", 1, 1))
    queue_farm.stage.job("next")
    queue_farm.wait_heard("Assign", 2)


def test_a_new_life_of_the_queue_actor_assigns_what_is_open_to_the_builder_that_has_nothing(
    queue_farm: QueueFarm,
) -> None:
    queue_farm.stage.job()
    queue_farm.say(Ready("bob", 1, 1))
    ((_, attempt), *_) = queue_farm.wait_heard("Assign")
    queue_farm.say(acknowledge())
    queue_farm.wait_queue_says("unacknowledged", "0")
    before = queue_farm.here("queue")
    queue_farm.attached.inject(before, Crash("for the test"), None)
    queue_farm.wait_heard("QueueMoved")
    assert queue_farm.here("queue").generation == before.generation + 1
    heard = len(queue_farm.heard("Assign"))
    queue_farm.say(Ready("bob", 1, 2))
    assert queue_farm.wait_heard("Assign", heard + 1)[-1][1] == attempt


def test_reports_that_come_together_share_commits(queue_farm: QueueFarm) -> None:
    stage = queue_farm.stage
    names = [f"b{number:02}" for number in range(20)]
    for name in names:
        stage.builder(name)
        stage.job(f"pkg-{name}")
    for name in names:
        queue_farm.here(name)
    queue_farm.say(*(Ready(name, 1, 1) for name in names), by="b00")  # it speaks for all
    queue_farm.wait_heard("Assign", 20, by="b00")
    attempts = stage.queue.open_attempts()
    turns = int(queue_farm.queue_says("turns"))
    queue_farm.say(*(Finished(one.builder, 1, 1, one.id, Outcome.OK) for one in attempts), by="b00")
    queue_farm.wait_heard("Recorded", 20, by="b00")
    assert int(queue_farm.queue_says("turns")) - turns < 15
    committed = psycopg.connect(make_conninfo(queue_farm.dsn))
    with committed:
        row = committed.execute("SELECT count(DISTINCT xmin::text) FROM attempt").fetchone()
    assert row is not None
    assert row[0] < 15

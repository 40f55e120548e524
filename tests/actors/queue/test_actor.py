"""The queue actor as a process, with the real database, between the supervisor and stand-ins for builders."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from actors.addressed import Here, SettingsChanged
from actors.console.attach import Attached
from actors.messages import Crash, Finished, Ready, RuntimeChanged, SessionWanted
from actors.settings import Settings
from storage.database.connection import connect
from storage.records import Attempt, BuildState, Job, Limits, Outcome, RuntimeState
from tests.actors.queue.farm import PassOn
from tests.fix_postgres import new_database
from tests.fix_storage import Farm, on_postgresql
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

PROJECT = Path(__file__).resolve().parents[3]

_numbers = itertools.count(1)


class QueueFarm:
    """A running farm of stand-ins, and the stage of its database; each test has a builder of its own."""

    def __init__(self, farm: Farm, dsn: str, state_directory: Path) -> None:
        self.stage, self.dsn, self.name = farm, dsn, ""
        timers = {"batch": 0.1, "resend": 0.3, "database_retry": 0.1, "database_retry_limit": 0.2}
        given = {"state_directory": str(state_directory), "database": dsn, "user": "", "timers": timers}
        self.settings = Settings.model_validate(given)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.queue.farm", json.dumps(given)],
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

    def wait_ready(self) -> None:
        """Have the test's builder wait for a job."""
        self.say(Ready(self.name, 1, 1))
        self.wait_queue_says("ready", self.name)

    def job(self, name: str = "foo", archive: str = "primary") -> Job:
        """Queue a build of a source that no other test has."""
        return self.stage.job(f"{name}-{self.name}", archive)

    def acknowledge(self) -> None:
        """Show that what was assigned has been heard."""
        self.say(RuntimeChanged(self.name, 1, RuntimeState.PREPARING, connected=True))

    def attempt(self, job: Job) -> Attempt:
        return self.stage.builds.attempts(job.build)[0]

    def here(self, name: str) -> Here:
        """Wait until the actor runs."""
        return wait_until(lambda: [here for here in self.attached.census().here if here.name == name])[0]

    def say(self, *messages: object, by: str = "") -> None:
        """Have a stand-in say these to the queue actor."""
        self.attached.inject(self.here(by or self.name), PassOn(messages), None)

    def heard(self, kind: str, by: str = "") -> list[str]:
        """Return what a stand-in heard of this kind."""
        description = self.attached.describe((self.here(by or self.name),)).get(by or self.name)
        return [text for name, text in description.state if name == kind] if description else []

    def wait_heard(self, kind: str, count: int = 1, by: str = "") -> list[tuple[float, str]]:
        """Wait until it heard so many; return for each when (wall clock), and what matters of it."""
        wait_until(lambda: len(self.heard(kind, by)) >= count, lambda: f"{kind} {count} times: {self.heard(kind, by)}")
        found = self.heard(kind, by)
        return [(float(text.split(" ")[0]), text.split(" ")[1]) for text in found]

    def queue_says(self, name: str) -> str:
        """Return one line of what the queue actor is thinking."""
        description = self.attached.describe((self.here("queue"),)).get("queue")
        return dict(description.state).get(name, "") if description else ""

    def wait_queue_says(self, name: str, text: str) -> None:
        wait_until(lambda: text in self.queue_says(name), lambda: f"{name} is {text}: {self.queue_says(name)}")


@pytest.fixture(scope="module")
def _running(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueFarm]:
    with (
        contextmanager(new_database)(postgres_dsn, _template) as dsn,
        connect(dsn, application="test") as connection,
    ):
        running = QueueFarm(on_postgresql(connection), dsn, tmp_path_factory.mktemp("farm"))
        yield running
        running.close()


@pytest.fixture
def queue_farm(_running: QueueFarm) -> Iterator[QueueFarm]:
    _running.name = f"bob{next(_numbers)}"
    _running.stage.builder(_running.name)
    _running.here(_running.name)
    yield _running
    _running.stage.sql("DELETE FROM buildqueue")
    _running.stage.sql("DELETE FROM builder")


def test_a_job_is_assigned_and_its_end_is_answered_with_the_next(queue_farm: QueueFarm) -> None:
    bob = queue_farm.name
    queue_farm.say(SessionWanted(bob, 1))
    queue_farm.wait_heard("SessionOpened")
    queue_farm.wait_ready()
    first, second = queue_farm.job("one"), queue_farm.job("two")
    (_, attempt), *_ = queue_farm.wait_heard("Assign")
    queue_farm.acknowledge()
    assert attempt == str(queue_farm.attempt(first).id)
    queue_farm.say(Finished(bob, 1, 1, queue_farm.attempt(first).id, Outcome.OK))
    ((_, following),) = queue_farm.wait_heard("Recorded")
    assert following == str(queue_farm.attempt(second).id)
    assert queue_farm.stage.builds.get(first.build).state is BuildState.FULLYBUILT


def test_an_assignment_that_is_not_acknowledged_is_repeated_until_it_is(queue_farm: QueueFarm) -> None:
    queue_farm.wait_ready()
    queue_farm.job()
    said = queue_farm.wait_heard("Assign", 2)
    assert len({attempt for _, attempt in said}) == 1
    queue_farm.acknowledge()
    queue_farm.wait_queue_says("unacknowledged", "0")


def test_a_change_of_trust_by_plain_sql_reaches_builder_and_waiting_job_at_once(queue_farm: QueueFarm) -> None:
    queue_farm.wait_ready()
    queue_farm.job(archive="cprov/ppa")
    before = time.time()
    queue_farm.stage.sql("UPDATE builder SET trusted = false WHERE name = %s", queue_farm.name)
    ((changed, trust),) = queue_farm.wait_heard("BuilderChanged")
    assert trust == "untrusted"
    (assigned, _), *_ = queue_farm.wait_heard("Assign")
    assert max(changed, assigned) - before < 1.0


def test_while_the_database_is_away_dispatch_pauses_and_reports_wait_for_it(
    queue_farm: QueueFarm, postgres_dsn: str
) -> None:
    bob = queue_farm.name
    queue_farm.wait_ready()
    job = queue_farm.job()
    queue_farm.wait_heard("Assign")
    attempt = queue_farm.attempt(job).id
    name = sql.Identifier(str(conninfo_to_dict(queue_farm.dsn)["dbname"]))
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        queue_farm.stage.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ '^queue'"
        )
        queue_farm.wait_queue_says("database", "away")
        queue_farm.say(Finished(bob, 1, 1, attempt, Outcome.OK))
        queue_farm.wait_queue_says("reports waiting", "1")
        assert queue_farm.heard("Recorded") == []
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    queue_farm.wait_heard("Recorded")
    assert queue_farm.stage.builds.get(job.build).state is BuildState.FULLYBUILT
    assert queue_farm.stage.builders.get(bob).builderok, "nobody is blamed"
    queue_farm.wait_ready()
    heard = len(queue_farm.heard("Assign"))
    queue_farm.job("next")
    queue_farm.wait_heard("Assign", heard + 1)


def test_a_new_life_of_the_queue_actor_assigns_what_is_open_to_the_builder_that_has_nothing(
    queue_farm: QueueFarm,
) -> None:
    queue_farm.wait_ready()
    queue_farm.job()
    (_, attempt), *_ = queue_farm.wait_heard("Assign")
    queue_farm.acknowledge()
    queue_farm.wait_queue_says("unacknowledged", "0")
    before = queue_farm.here("queue")
    queue_farm.attached.inject(before, Crash("for the test"), None)
    queue_farm.wait_heard("QueueMoved")
    assert queue_farm.here("queue").generation == before.generation + 1
    heard = len(queue_farm.heard("Assign"))
    queue_farm.say(Ready(queue_farm.name, 1, 2))
    assert queue_farm.wait_heard("Assign", heard + 1)[-1][1] == attempt


def test_reports_that_come_together_share_commits(queue_farm: QueueFarm) -> None:
    stage = queue_farm.stage
    names = [f"{queue_farm.name}-{number}" for number in range(10)]
    for name in names:
        stage.builder(name)
        stage.job(name)
    queue_farm.say(*(Ready(name, 1, 1) for name in names))  # the test's builder speaks for all
    queue_farm.wait_heard("Assign", 10)
    attempts = stage.queue.open_attempts()
    assert len(attempts) == 10
    queue_farm.say(*(Finished(one.builder, 1, 1, one.id, Outcome.OK) for one in attempts))
    queue_farm.wait_heard("Recorded", 10)
    ((commits,),) = stage.sql(
        "SELECT count(DISTINCT xmin::text) FROM attempt WHERE id = ANY (%s)", [one.id for one in attempts]
    )
    assert commits < 6


def test_changed_settings_count_for_the_next_claim(queue_farm: QueueFarm) -> None:
    changed = queue_farm.settings.model_copy(update={"limits": Limits(wall_seconds=77)})
    queue_farm.attached.inject(queue_farm.here("queue"), SettingsChanged(changed), None)
    queue_farm.wait_ready()
    job = queue_farm.job()
    queue_farm.wait_heard("Assign")
    assert queue_farm.stage.sql("SELECT wall_seconds FROM attempt WHERE job = %s", job.id) == [(77.0,)]
    queue_farm.attached.inject(queue_farm.here("queue"), SettingsChanged(queue_farm.settings), None)

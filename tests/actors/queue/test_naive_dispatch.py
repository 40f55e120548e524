"""The queue actor's books against the naive reading of the rules (`tests.naive_explain`), step by step.

Whatever is changed by plain SQL, and whoever becomes ready: what the books give away in their next turn is what the
naive farm says, from the rows alone, that it should.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg
import pytest

from actors.messages import Assign, Ready
from actors.queue.letters import Letter
from storage.records import Outcome
from tests.farm_of_everything import BUILDERS, OWNERS, FarmOfEverything
from tests.fix_desk import Desk, finished
from tests.fix_storage import over
from tests.naive_explain import NaiveFarm

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

STEPS: Final = 60

#: some rows, by what a test draws, become something else
CHANGES: Final[Sequence[LiteralString]] = (
    "UPDATE builder SET builderok = NOT builderok, failnotes = 'by hand' WHERE id = %(builder)s",
    "UPDATE builder SET trusted = NOT trusted WHERE id = %(builder)s",
    "UPDATE builder SET manual = NOT manual WHERE id = %(builder)s",
    "UPDATE builder SET tags = %(tags)s WHERE id = %(builder)s",
    "UPDATE builder SET restricted_tags = %(few)s WHERE id = %(builder)s",
    "UPDATE builder SET families = %(families)s WHERE id = %(builder)s",
    "UPDATE builder_runtime SET quarantined_until = %(until)s WHERE builder = %(name)s",
    "UPDATE builder_runtime SET frozen_until = %(until)s WHERE builder = %(name)s",
    "UPDATE buildqueue SET manual_score = %(score)s WHERE id = %(job)s",
    "UPDATE buildqueue SET assigned = %(name)s WHERE id = %(job)s",
    "UPDATE buildqueue SET assigned = NULL WHERE id = %(job)s",
    "UPDATE buildqueue SET cooling_until = %(until)s WHERE id = %(job)s",
    "DELETE FROM buildqueue WHERE id = %(job)s",
    "UPDATE build SET tags = %(few)s WHERE id = %(job)s",
    "UPDATE archive SET enabled = NOT enabled WHERE id = %(archive)s",
    "UPDATE archive SET private = NOT private WHERE id = %(archive)s",
    "UPDATE archive SET relative_score = %(score)s WHERE id = %(archive)s",
    "UPDATE archive SET tags = %(few)s WHERE id = %(archive)s",
    "UPDATE archive SET owner = %(person)s WHERE purpose = 'PPA' AND id %% 3 = %(n)s %% 3",
    "UPDATE person SET name = name || 'x' WHERE id = %(person)s",
    "UPDATE publication SET status = 'SUPERSEDED' WHERE id = %(publication)s",
    "UPDATE publication SET component = 'partner' WHERE id = %(publication)s",
    "DELETE FROM publication WHERE id = %(publication)s",
    "UPDATE source_release SET urgency = 'emergency' WHERE id = %(publication)s",
    "UPDATE chroot SET held_back = 'nothing can be installed in it' WHERE id %% 5 = %(n)s %% 5",
    "UPDATE chroot SET held_back = '' WHERE id %% 5 = %(n)s %% 5",
    "DELETE FROM chroot WHERE id %% 5 = %(n)s %% 5",
    """INSERT INTO chroot (distroarchseries, pocket, alias)
       SELECT id, 'RELEASE', (SELECT min(id) FROM library_alias) FROM distroarchseries ON CONFLICT DO NOTHING""",
    "UPDATE distroseries SET status = %(status)s WHERE id %% 6 = %(n)s %% 6",
    "UPDATE distroarchseries SET family = %(family)s WHERE id %% 6 = %(n)s %% 6",
    "DELETE FROM library_content WHERE sha256 IN (SELECT sha256 FROM source_file WHERE source %% 9 = %(n)s %% 9)",
    """INSERT INTO library_content (sha256, sha1, size)
       SELECT sha256, left(sha256, 40), 10 FROM source_file ON CONFLICT DO NOTHING""",
    "UPDATE attempt SET excluded_until = %(until)s WHERE outcome IS NOT NULL AND build %% 4 = %(n)s %% 4",
    "UPDATE farm SET minimum_score = %(score)s",
    "UPDATE farm SET minimum_score = NULL",
    "UPDATE processor_family SET minimum_score = %(score)s WHERE name = %(family)s",
    "UPDATE processor_family SET minimum_score = NULL",
    "UPDATE farm SET paused = 'a while'",
    "UPDATE farm SET paused = ''",
    "UPDATE farm SET paused = ''",
)


class Walk:
    """A farm with a bit of everything, the books over it, and random steps."""

    def __init__(self, connection: psycopg.Connection[Any], dsn: str, seed: int) -> None:
        FarmOfEverything(connection, seed, jobs=70)
        self.connection, self.random = connection, random.Random(seed)
        self.desk = Desk(over(connection), dsn)
        self.desk.open()
        self.sql(  # their actors have nothing new to say
            "UPDATE builder_runtime SET state = 'BUILDING' FROM buildqueue WHERE buildqueue.builder = builder_runtime.builder"
        )
        ready = connection.execute(
            "SELECT name FROM builder JOIN builder_runtime ON builder = name WHERE state = 'IDLE' AND connected"
            " AND NOT EXISTS (SELECT FROM buildqueue WHERE builder = name)"
        ).fetchall()
        self.step("everybody is ready", *(Ready(name, 1, 1) for (name,) in ready))

    def step(self, what: str, *reports: Any) -> None:
        """Take a turn that has heard of all changes; those that get a job are busy from then on."""
        expected = NaiveFarm(self.connection).gets
        given = assigned(self.desk.take(*reports))
        assert given == expected, what
        for name in given:
            self.sql("UPDATE builder_runtime SET state = 'BUILDING' WHERE builder = %(name)s", name=name)

    def change(self) -> None:
        statement = self.random.choice(CHANGES)
        n = self.random.randrange(1, 1000)
        values = {
            "n": n,
            "builder": n % len(BUILDERS) + 1,
            "name": self.one_of("SELECT name FROM builder"),
            "job": self.one_of("SELECT id FROM buildqueue"),
            "archive": n % 22 + 1,
            "publication": n % 70 + 1,
            "person": n % len(OWNERS) + 1,
            "score": self.random.choice([-500, 0, 1_000, 1_200, 2_000]),
            "tags": self.random.choice([[], ["big"], ["big", "gpu"]]),
            "few": self.random.choice([[], [], ["gpu"]]),
            "family": self.random.choice(["x86", "amd64", "arm64"]),
            "families": self.random.choice([["x86"], ["amd64"], ["arm64", "x86", "amd64"]]),
            "until": self.random.choice([None, datetime.now(UTC) + timedelta(days=1)]),
            "status": self.random.choice(["DEVELOPMENT", "FROZEN", "SUPPORTED", "OBSOLETE"]),
        }
        self.sql(statement, **values)
        self.step(f"{statement} with {values}")

    def end_a_build(self) -> None:
        """Let a build end, or a slave be clean again after somebody else ended it."""
        busy = self.connection.execute(
            "SELECT runtime.builder, attempt.id FROM builder_runtime AS runtime"
            " LEFT JOIN attempt ON attempt.builder = runtime.builder AND outcome IS NULL"
            " WHERE connected AND state <> 'IDLE' ORDER BY runtime.builder"
        ).fetchall()
        if not busy:
            return
        name, attempt = self.random.choice(busy)
        if attempt is not None:
            outcome = self.random.choice([Outcome.PACKAGEFAIL, Outcome.PACKAGEFAIL, Outcome.GIVENBACK, Outcome.LOST])
            paused = self.one_of("SELECT paused FROM farm")
            self.sql("UPDATE farm SET paused = 'so that the naive farm sees the rows before anything is given away'")
            assert assigned(self.desk.take(finished(attempt, outcome, name, slave_usable=False))) == {}
            self.sql("UPDATE farm SET paused = %(paused)s", paused=paused)
            self.step(f"{name} has ended its build: {outcome}")
        self.sql("UPDATE builder_runtime SET state = 'IDLE' WHERE builder = %(name)s", name=name)
        self.step(f"{name} is ready", Ready(name, 1, 1))

    def one_of(self, query: LiteralString) -> Any:
        rows = self.connection.execute(query).fetchall()
        return self.random.choice(sorted(rows))[0] if rows else None

    def sql(self, statement: LiteralString, **values: object) -> None:
        self.connection.execute(statement, values)


def assigned(letters: Sequence[Letter]) -> dict[str, int]:
    """Return builder → job, of the jobs that are given away."""
    return {each.message.builder: each.message.order.job for each in letters if isinstance(each.message, Assign)}


@pytest.fixture(params=range(8))
def walk(request: pytest.FixtureRequest, connection: psycopg.Connection[Any], farm_database: str) -> Iterator[Walk]:
    made = Walk(connection, farm_database, request.param)
    yield made
    made.desk.close()


def test_what_the_books_give_away_is_what_the_text_of_the_rules_says_whatever_changes(walk: Walk) -> None:
    for _ in range(STEPS):
        walk.random.choice([walk.change, walk.change, walk.end_a_build])()

"""Each invariant of architecture §9 is broken by force, and found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import pytest

from storage.build_queue import BuildQueue
from storage.check import INVARIANTS, check
from storage.files.librarian import Librarian
from storage.records import BuildState, Outcome, Violation
from tests.fix_storage import Farm, Left, on_postgresql

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

Checked = Callable[[], tuple[Violation, ...]]


@pytest.fixture
def checked(farm: Farm, librarian: Librarian) -> Checked:
    """Return the check, after a life in which every kind of row came to be and nothing was broken."""
    farm.builder("bob")
    farm.builder("eve", trusted=False)
    built = farm.claim(farm.job("built"), "bob")
    with farm.acting("queue"):
        deb = Left("built.deb", librarian.add_bytes(b"a package"))
        farm.queue.record(
            built.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False, results=(deb,), log=deb
        )
    gone = farm.job("gone")
    with farm.acting("cli"):
        farm.queue.remove(gone.id)
    farm.claim(farm.job("running"), "bob")
    farm.claim(farm.job("untrusted", "cprov/ppa"), "eve")
    waiting = farm.job("waiting")
    with farm.acting("ann"):
        farm.builders.quarantine("eve", 600.0, "smells of smoke")
        farm.builders.quarantine("bob", 600.0, "so does this")
        farm.builders.release("bob")
        farm.builds.assign(waiting.build, "bob")
        farm.builds.rescore(waiting.build, 7)
    with farm.acting("queue"):
        farm.verdicts.count_failure("eve", 2, None, "")
    return lambda: check(farm.conn, librarian)


def force(farm: Farm, *statements: LiteralString) -> None:
    """Run SQL with all triggers and foreign keys off."""
    with farm.conn.transaction():
        farm.conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            farm.conn.execute(statement)


def numbers(violations: tuple[Violation, ...]) -> list[int]:
    return [violation.number for violation in violations]


def test_nothing_is_found_where_nothing_is_wrong(checked: Checked) -> None:
    assert checked() == ()


def test_two_open_attempts_are_found(connection: psycopg.Connection[Any], librarian: Librarian) -> None:
    farm = on_postgresql(connection)  # a database of its own: its indexes go
    farm.claim(farm.job(), farm.builder("bob"))
    force(
        farm,
        "DROP INDEX attempt_open_build",
        "DROP INDEX attempt_open_builder",
        """INSERT INTO attempt (build, job, builder, session, trusted, chroot, wall_seconds, deadline)
           SELECT build, job, builder, session, trusted, chroot, wall_seconds, deadline FROM attempt""",
    )
    found = check(connection, librarian)
    rows = ("build 1 has 2 open attempts", "builder bob has 2 open attempts")
    assert found[0] == Violation(1, INVARIANTS[1], rows)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE attempt SET outcome = 'LOST', ended = now() WHERE builder = 'bob' AND outcome IS NULL",
            "job 3: builder is bob",
        ),
        ("UPDATE buildqueue SET builder = NULL, buildstart = NULL WHERE builder = 'bob'", "job 3 is not there"),
        ("DELETE FROM buildqueue WHERE builder = 'bob'", "is open on bob, and job 3 is not there"),
        ("UPDATE build SET state = 'NEEDSBUILD' WHERE id = 3", "build 3 is NEEDSBUILD, with 1 open attempts"),
        ("UPDATE build SET state = 'BUILDING' WHERE id = 5", "build 5 is BUILDING, with 0 open attempts"),
        ("UPDATE build SET state = 'CANCELLED' WHERE id = 5", "job 5 is there, and its build 5 is CANCELLED"),
    ],
)
def test_a_job_held_without_an_attempt_and_the_reverse_are_found(
    checked: Checked, farm: Farm, statement: LiteralString, told: str
) -> None:
    force(farm, statement)
    found = [violation for violation in checked() if violation.number == 2]
    assert told in " ".join(found[0].rows)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE attempt SET trusted = false WHERE builder = 'bob' AND outcome = 'OK'", "its build 1 is trusted"),
        ("UPDATE builder SET trusted = false WHERE name = 'bob'", "on bob, which is not trusted any more"),
    ],
)
def test_mixed_trust_is_found(checked: Checked, farm: Farm, statement: LiteralString, told: str) -> None:
    force(farm, statement)
    (first, *_) = checked()
    assert first.number == 3
    assert told in first.rows[0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE attempt SET deadline = now() - interval '61 seconds' WHERE builder = 'bob' AND outcome IS NULL",
        "UPDATE builder_runtime SET state = 'CLEANING', deadline = now() - interval '61 seconds' WHERE builder = 'bob'",
    ],
)
def test_a_missed_deadline_is_found(checked: Checked, farm: Farm, statement: LiteralString) -> None:
    farm.sql(statement)
    assert numbers(checked()) == [4]


def test_a_build_that_is_being_cancelled_and_takes_its_time_is_found(checked: Checked, farm: Farm) -> None:
    with farm.acting("ann"):
        farm.builds.cancel(3)
    assert checked() == ()
    farm.sql("UPDATE attempt SET deadline = now() + interval '71 seconds' WHERE build = 3")
    (found,) = checked()
    assert found.number == 4
    assert "on bob is being cancelled, and may go on until" in found.rows[0]


def test_jobs_that_the_matcher_can_not_explain_are_found(checked: Checked, farm: Farm, librarian: Librarian) -> None:
    assert checked() == ()
    waiting = [job.id for job in BuildQueue(farm.conn).jobs() if job.builder is None]
    found = check(
        farm.conn,
        librarian,
        lambda jobs, builders, runtimes, _farm: [
            f"job {job.id} of {len(builders)} and {len(runtimes)}" for job in jobs if job.builder is None
        ],
    )
    assert found == (Violation(5, INVARIANTS[5], tuple(f"job {job} of 2 and 2" for job in waiting)),)


def test_a_built_build_without_files_is_found(checked: Checked, farm: Farm) -> None:
    force(farm, "DELETE FROM build_file")
    assert [violation.rows for violation in checked()] == [("build 1 is FULLYBUILT without a file",)]


def test_a_package_that_is_published_by_a_build_that_is_not_built_is_found(checked: Checked, farm: Farm) -> None:
    force(
        farm,
        """INSERT INTO binary_package (archive, distroseries, name, version, architecture, build)
           SELECT archive, 1, 'gone', '1.0', 'i386', id FROM build WHERE id = 2""",
    )
    assert [(found.number, found.rows) for found in checked()] == [
        (6, ("package gone 1.0 is published by build 2, which is NEEDSBUILD",))
    ]


def test_a_file_that_the_librarian_has_not_is_found(checked: Checked, librarian: Librarian, farm: Farm) -> None:
    (deb,) = farm.builds.files(1)
    librarian.path(deb.sha256).unlink()
    assert [violation.rows for violation in checked()] == [
        (f"build 1: the librarian does not have built.deb ({deb.sha256})",)
    ]


def test_an_attempt_closed_twice_is_found(checked: Checked, farm: Farm) -> None:
    farm.conn.execute("ALTER TABLE attempt DISABLE TRIGGER keep_outcome")
    try:
        farm.sql("UPDATE attempt SET outcome = 'LOST' WHERE outcome = 'OK'")
    finally:
        farm.conn.execute("ALTER TABLE attempt ENABLE TRIGGER keep_outcome")
    (found,) = checked()
    assert found.number == 7
    assert found.rows[0].endswith("was closed 2 times: OK, LOST")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE attempt SET charged = true WHERE outcome = 'OK'",
            ["outcome is OK, and it is charged to the job"],
        ),
        (
            "UPDATE attempt SET builder_induced = true WHERE outcome = 'OK'",
            ["outcome is OK, and it is the builder's fault"],
        ),
        (
            """UPDATE attempt SET charged = true, builder_induced = true, verdict = 'bad', excluded_until = now()
               WHERE builder = 'bob' AND outcome IS NULL""",
            [
                "outcome is none, and it is charged to the job",
                "outcome is none, and it is the builder's fault",
                "outcome is none, and it is judged",
                "outcome is none, and it is kept from its builder",
            ],
        ),
    ],
)
def test_blame_without_an_outcome_that_calls_for_it_is_found(
    checked: Checked, farm: Farm, statement: LiteralString, told: list[str]
) -> None:
    force(farm, statement)
    (found,) = checked()
    assert found.number == 7
    assert sorted(row.partition(": ")[2] for row in found.rows) == sorted(told)


@pytest.mark.parametrize("statement", ["SET TIME ZONE 'Asia/Tokyo'", "SET TIME ZONE 'UTC'"])
def test_a_time_that_an_event_tells_in_another_zone_is_the_same(
    checked: Checked, farm: Farm, statement: LiteralString
) -> None:
    farm.conn.execute(statement)
    try:
        farm.sql("UPDATE builder_runtime SET quarantined_until = now() + interval '1 day' WHERE builder = 'bob'")
    finally:
        farm.conn.execute("SET TIME ZONE 'UTC'")
    assert checked() == ()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE build SET state = 'CANCELLED' WHERE id = 2",
            "build:2: state is CANCELLED, the last event says NEEDSBUILD",
        ),
        (
            "UPDATE builder SET trusted = true WHERE name = 'eve'",
            "builder:eve: trusted is true, the last event says false",
        ),
        ("UPDATE build SET suspect = 'bob' WHERE id = 2", "build:2: suspect is bob, the last event says none"),
        (
            "UPDATE builder SET manual = true WHERE name = 'bob'",
            "builder:bob: manual is true, the last event says false",
        ),
        (
            "UPDATE builder_runtime SET failures_in_row = 4 WHERE builder = 'eve'",
            "builder:eve: failures_in_row is 4, the last event says 2",
        ),
        (
            "UPDATE builder_runtime SET quarantined_until = '2100-01-01 00:00+00' WHERE builder = 'bob'",
            "builder:bob: quarantined_until is 2100-01-01T00:00:00+00:00, the last event says none",
        ),
        (
            "UPDATE builder_runtime SET frozen_until = '2100-01-01 00:00+00' WHERE builder = 'bob'",
            "builder:bob: frozen_until is 2100-01-01T00:00:00+00:00, the last event says nothing",
        ),
        (
            "UPDATE builder SET builderok = false, notok_by = 'machine', notok_kind = 'breach' WHERE name = 'bob'",
            "builder:bob: builderok is false, the last event says true",
        ),
        ("UPDATE buildqueue SET assigned = NULL WHERE id = 5", "job:5: assigned is none, the last event says bob"),
        ("UPDATE buildqueue SET manual_score = 8 WHERE id = 5", "job:5: manual_score is 8, the last event says 7"),
        ("UPDATE buildqueue SET given_back = 1 WHERE id = 5", "job:5: given_back is 1, the last event says 0"),
        (
            "UPDATE buildqueue SET cooling_until = '2100-01-01 00:00+00' WHERE id = 5",
            "job:5: cooling_until is 2100-01-01T00:00:00+00:00, the last event says none",
        ),
        ("UPDATE chroot SET held_back = 'rotten'", "chroot:1: held_back is rotten, the last event says none"),
        ("DELETE FROM buildqueue WHERE id = 5", "job:5: it is gone, and no event says so"),
        ("INSERT INTO buildqueue (build) VALUES (2)", "job:6: builder is none, the last event says nothing"),
    ],
)
def test_a_change_that_no_event_tells_is_found(
    checked: Checked, farm: Farm, statement: LiteralString, told: str
) -> None:
    force(farm, statement)
    (rows,) = [violation.rows for violation in checked() if violation.number == 8]
    assert told in rows
    assert {row.partition(":")[0] for row in rows} == {told.partition(":")[0]}


def test_a_pause_that_no_event_tells_is_found(checked: Checked, farm: Farm) -> None:
    farm.sql("UPDATE farm SET paused = 'a try'")
    assert checked() == ()
    force(farm, "UPDATE farm SET paused = 'another'")
    ((row,),) = [violation.rows for violation in checked()]
    assert row.endswith("paused is another, the last event says a try")

"""What holds for a person at the SQL prompt: the walkthrough's rules as triggers and constraints."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from actors.core.attempts.verdict import verdict
from storage.check import check
from storage.errors import BadValue
from storage.files.librarian import Librarian
from storage.records import BuildState, NotOkBy, NotOkKind, Outcome
from storage.transitions import MOVES
from tests.fix_storage import Farm, in_memory

RUNNING = [BuildState.BUILDING, BuildState.GATHERING, BuildState.CANCELLING]


def test_a_left_over_job_is_deleted_and_its_builder_free(farm: Farm) -> None:
    # Walkthrough 4.
    left_over = farm.claim(farm.job("old"), farm.builder("bob"))
    farm.sql("DELETE FROM buildqueue WHERE id = 1")
    closed = farm.queue.attempt(left_over.id)
    assert (closed.outcome, closed.text) == (Outcome.FENCED, "job 1 was removed")
    assert farm.builds.get(left_over.build).state == BuildState.NEEDSBUILD
    assert farm.builders.get("bob").builderok
    assert farm.claim(farm.job("foo"), "bob").job == 2


@pytest.mark.parametrize("running", RUNNING)
@pytest.mark.parametrize("verdict", ["FAILEDTOBUILD", "CANCELLED", "SUPERSEDED"])
def test_a_verdict_in_mid_build_stands(farm: Farm, running: BuildState, verdict: str, librarian: Librarian) -> None:
    # Walkthrough 11: the operator marks the build and deletes its job.
    job = farm.job()
    attempt = farm.claim(job, farm.builder("bob"))
    if running != BuildState.BUILDING:
        farm.sql("UPDATE build SET state = %s WHERE id = %s", running, job.build)
    farm.sql("UPDATE build SET state = %s WHERE id = %s", verdict, job.build)
    farm.sql("DELETE FROM buildqueue WHERE id = %s", job.id)
    assert farm.queue.attempt(attempt.id).outcome == Outcome.FENCED
    assert farm.builds.get(job.build).state == verdict
    assert farm.queue.jobs() == ()
    assert farm.builders.get("bob").builderok
    assert check(farm.conn, librarian) == ()


@pytest.mark.parametrize("running", [BuildState.BUILDING, BuildState.GATHERING])
def test_a_running_build_set_to_wait_at_the_prompt_is_fenced_and_keeps_its_place(
    farm: Farm, running: BuildState, librarian: Librarian
) -> None:
    job = farm.job()
    attempt = farm.claim(job, farm.builder("bob"))
    farm.sql("UPDATE build SET state = %s WHERE id = %s", running, job.build)
    farm.sql("UPDATE build SET state = 'NEEDSBUILD' WHERE id = %s", job.build)
    closed = farm.queue.attempt(attempt.id)
    assert (closed.outcome, closed.text) == (Outcome.FENCED, "the build was set to NEEDSBUILD")
    again = farm.queue.job(job.id)
    assert (again.builder, again.buildstart, again.created) == (None, None, job.created)
    assert check(farm.conn, librarian) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE build SET state = 'FAILEDTOBUILD'",
        "UPDATE build SET state = 'NEEDSBUILD'",
        "DELETE FROM buildqueue",
        "UPDATE buildqueue SET builder = NULL, buildstart = NULL",
        "DELETE FROM builder",
    ],
)
def test_an_attempt_is_closed_in_the_very_transaction_that_cuts_it_short_or_not_at_all(
    farm: Farm, statement: LiteralString
) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    with farm.conn.transaction(force_rollback=True):
        farm.conn.execute(statement)
        assert farm.queue.attempt(attempt.id).outcome == Outcome.FENCED
        assert farm.queue.open_attempts() == ()
    assert farm.queue.open_attempts() == (attempt,)


def test_a_running_job_is_not_given_to_another_builder_at_the_prompt(farm: Farm) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    farm.builder("eve")
    with pytest.raises(psycopg.errors.CheckViolation, match="can't be given to eve without an attempt"):
        farm.sql("UPDATE buildqueue SET builder = 'eve'")
    assert farm.queue.open_attempts() == (attempt,)


@pytest.mark.parametrize("statement", ["DELETE FROM buildqueue", "DELETE FROM builder"])
def test_a_build_that_is_being_cancelled_is_so_when_its_job_or_builder_is_deleted(
    farm: Farm, statement: LiteralString, librarian: Librarian
) -> None:
    job = farm.job()
    attempt = farm.claim(job, farm.builder("bob"))
    with farm.acting("anna"):
        farm.builds.cancel(job.build)
    farm.sql(statement)
    assert farm.queue.attempt(attempt.id).outcome == Outcome.FENCED
    assert (farm.builds.get(job.build).state, farm.queue.jobs()) == (BuildState.CANCELLED, ())
    assert check(farm.conn, librarian) == ()


def test_trust_lowered_at_the_prompt_fences_in_that_very_transaction(farm: Farm, librarian: Librarian) -> None:
    # Walkthrough 17.
    job = farm.job()
    attempt = farm.claim(job, farm.builder("bob"))
    with farm.conn.transaction():
        farm.conn.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
        assert farm.queue.attempt(attempt.id).outcome == Outcome.FENCED
        assert farm.queue.job(job.id).builder is None
    assert farm.queue.job(job.id).created == job.created
    assert farm.builds.get(job.build).state == BuildState.NEEDSBUILD
    assert check(farm.conn, librarian) == ()


def test_trust_lowered_and_rolled_back_has_fenced_nothing(farm: Farm) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    with farm.conn.transaction(force_rollback=True):
        farm.conn.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
    assert farm.queue.open_attempts() == (attempt,)


def test_trust_raised_at_the_prompt_changes_nothing_for_what_runs(farm: Farm, librarian: Librarian) -> None:
    # Walkthrough 16.
    attempt = farm.claim(farm.job("foo", "cprov/ppa"), farm.builder("bob", trusted=False))
    farm.sql("UPDATE builder SET trusted = true WHERE name = 'bob'")
    assert farm.queue.open_attempts() == (attempt,)
    assert check(farm.conn, librarian) == ()


def test_every_builder_set_ok_at_the_prompt_loses_its_fail_notes(farm: Farm) -> None:
    # Walkthrough 3.
    farm.builder("bob")
    farm.builder("frog")
    with farm.acting("queue"):
        farm.builders.mark_not_ok("frog", "no answer", NotOkKind.UNREACHABLE)
        farm.builders.set_ok("bob", ok=False, notes="broken")
    farm.sql("UPDATE builder SET builderok = true")
    assert [(one.builderok, one.failnotes, one.notok_by) for one in farm.builders.all()] == [(True, "", None)] * 2


def test_a_builder_set_not_ok_at_the_prompt_is_a_persons_doing(farm: Farm) -> None:
    farm.builder("bob")
    farm.sql("UPDATE builder SET builderok = false, failnotes = 'hands off'")
    assert farm.builders.get("bob").notok_by == NotOkBy.PERSON
    assert not farm.builders.heal("bob")


def test_a_person_at_the_prompt_takes_over_what_the_machine_marked(farm: Farm) -> None:
    farm.builder("bob")
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
    farm.sql("UPDATE builder SET builderok = false")
    assert farm.builders.get("bob").notok_by == NotOkBy.PERSON
    assert not farm.builders.heal("bob")


def test_cancelling_at_the_prompt_shortens_the_deadline(farm: Farm) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    farm.sql("UPDATE build SET state = 'CANCELLING'")
    (held,) = farm.queue.open_attempts()
    assert (held.deadline - attempt.started).total_seconds() < 80


def test_a_job_taken_from_its_builder_at_the_prompt_is_fenced(farm: Farm, librarian: Librarian) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    farm.sql("UPDATE buildqueue SET builder = NULL, buildstart = NULL")
    assert farm.queue.attempt(attempt.id).outcome == Outcome.FENCED
    assert check(farm.conn, librarian) == ()


def test_a_builder_removed_at_the_prompt_gives_its_job_back(farm: Farm, librarian: Librarian) -> None:
    job = farm.job()
    farm.claim(job, farm.builder("bob"))
    farm.sql("DELETE FROM builder WHERE name = 'bob'")
    assert farm.queue.job(job.id).builder is None
    assert check(farm.conn, librarian) == ()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE build SET state = 'FULLYBUILT'", "build 1 is NEEDSBUILD and can't become FULLYBUILT"),
        ("UPDATE build SET state = 'BUILDING'", "build 1 can't be BUILDING: no attempt at it is open"),
        ("UPDATE build SET state = 'BUILT'", "build_state"),
        ("UPDATE buildqueue SET builder = 'bob', buildstart = now()", "without an attempt"),
        ("UPDATE buildqueue SET builder = 'bob'", "buildqueue_check"),
        ("UPDATE builder SET name = 'ann'", "keeps its name"),
        ("UPDATE builder SET families = '{pdp11}'", "no processor family 'pdp11'"),
        ("UPDATE builder SET families = '{}'", "builder_families_check"),
        ("UPDATE builder SET url = 'somewhere'", "builder_url_check"),
        ("UPDATE archive SET purpose = 'PRIMARY'", "keeps its purpose"),
        ("UPDATE archive SET trusted = true", "generated column"),
        ("UPDATE event SET who = 'nobody'", "append-only"),
        ("DELETE FROM event", "append-only"),
        ("TRUNCATE event", "append-only"),
        ("INSERT INTO farm DEFAULT VALUES", "farm_pkey"),
        ("INSERT INTO builder (name, url, families) VALUES ('queue', 'buildd://h:1', '{x86}')", "builder_name_check"),
        ("INSERT INTO builder (name, url, families) VALUES ('B', 'buildd://h:1', '{x86}')", "word_check"),
        (
            "INSERT INTO builder (name, url, families) VALUES ('b', 'buildd://BOB.example:8221/', '{x86}')",
            "builder_slave",
        ),
    ],
)
def test_what_can_not_be_is_refused_at_the_prompt_too(farm: Farm, statement: LiteralString, said: str) -> None:
    farm.job()
    farm.builder("bob")
    last = farm.events.last_id()
    with pytest.raises(psycopg.Error, match=said):
        farm.sql(statement)
    assert farm.events.last_id() == last


def test_a_closed_attempt_is_never_opened_again(farm: Farm) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    farm.queue.release(attempt.id)
    with pytest.raises(psycopg.Error, match="its outcome stands"):
        farm.sql("UPDATE attempt SET outcome = NULL, ended = NULL")
    with pytest.raises(psycopg.Error, match="its outcome stands"):
        farm.sql("UPDATE attempt SET outcome = 'OK'")


def test_two_open_attempts_are_impossible(farm: Farm) -> None:
    farm.claim(farm.job(), farm.builder("bob"))
    for builder, said in (("bob", "attempt_open_build"), ("eve", "attempt_open_build")):
        with pytest.raises(psycopg.errors.UniqueViolation, match=said):
            farm.sql(
                """INSERT INTO attempt (build, job, builder, session, trusted, chroot, wall_seconds, deadline)
                   SELECT build, job, %s, session, trusted, chroot, wall_seconds, deadline FROM attempt""",
                builder,
            )
    other = farm.build("other")
    with pytest.raises(psycopg.errors.UniqueViolation, match="attempt_open_builder"):
        farm.sql(
            """INSERT INTO attempt (build, job, builder, session, trusted, chroot, wall_seconds, deadline)
               SELECT %s, job, builder, session, trusted, chroot, wall_seconds, deadline FROM attempt""",
            other.id,
        )


def test_the_moves_of_a_build_are_the_same_in_sql(farm: Farm) -> None:
    rows = farm.sql("SELECT now, wanted FROM build_move")
    assert {(BuildState(now), BuildState(wanted)) for now, wanted in rows} == {
        (now, wanted) for now, ends in MOVES.items() for wanted in ends
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE buildqueue SET created = 'infinity'",
        "UPDATE buildqueue SET cooling_until = 'infinity'",
        "UPDATE build SET created = '-infinity'",
        (
            "INSERT INTO builder_runtime (builder, state, connected, quarantined_until)"
            " SELECT name, 'IDLE', true, 'infinity' FROM builder"
        ),
    ],
)
def test_a_time_that_nobody_could_read_is_refused(farm: Farm, statement: LiteralString) -> None:
    farm.builder("bob")
    farm.job()
    with pytest.raises(psycopg.errors.CheckViolation):
        farm.sql(statement)


def test_an_array_with_nulls_means_its_words(farm: Farm) -> None:
    job = farm.job()
    farm.sql("UPDATE build SET dependencies = '{one,NULL}'")
    assert farm.builds.get(job.build).dependencies == ("one",)


def test_counts_that_plain_sql_set_to_the_largest_do_not_keep_an_attempt_from_ending(farm: Farm) -> None:
    job = farm.job()
    farm.sql("UPDATE buildqueue SET given_back = 2147483647")
    attempt = farm.claim(job, farm.builder("bob"))
    farm.sql(
        "INSERT INTO builder_runtime (builder, state, connected, failures_in_row)"
        " VALUES ('bob', 'IDLE', true, 2147483647) ON CONFLICT (builder) DO UPDATE SET failures_in_row = 2147483647"
    )
    means = verdict(Outcome.BUILDERFAIL, BuildState.BUILDING, farm.verdicts.evidence(attempt.id), capable=1)
    with farm.acting("queue"):
        farm.verdicts.count_failure("bob", means.failures, means.quarantine, "broken")
        farm.queue.record(
            attempt.id, Outcome.BUILDERFAIL, "", build_state=means.build, keep_job=True, cool_seconds=60.0
        )
    assert farm.queue.job(job.id).builder is None


def test_the_farm_keeps_its_row(farm: Farm) -> None:
    for statement in ("DELETE FROM farm", "TRUNCATE farm"):
        with pytest.raises(psycopg.errors.CheckViolation, match="the farm keeps its one row: change it by UPDATE"):
            farm.sql(statement)
    assert farm.sql("SELECT count(*) FROM farm") == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE builder SET families = '{{x86},{amd64}}'",
        "UPDATE builder SET tags = '{{big},{gpu}}'",
        "UPDATE builder SET restricted_tags = '{{big}}'",
        "UPDATE archive SET tags = '{{big}}'",
        "UPDATE build SET tags = '{{big}}'",
        "UPDATE build SET state = 'MANUALDEPWAIT', dependencies = '{{a},{b}}'",
        "UPDATE attempt SET limits_from = '{{a},{b}}'",
        "UPDATE processor_family SET architectures = '{{i386},{i486}}' WHERE name = 'x86'",
        "UPDATE source_release SET architectures = '{{any},{all}}'",
        "UPDATE distroseries SET apt_sources = '{{deb http://one.invalid/d sid main},{deb http://two.invalid/d sid main}}'",
        """INSERT INTO binary_package (archive, distroseries, name, version, architecture, provides)
           SELECT archive.id, distroseries.id, 'foo', '1', 'i386', '{{a},{b}}' FROM archive, distroseries""",
    ],
)
def test_there_are_no_arrays_of_arrays(farm: Farm, change: LiteralString) -> None:
    farm.claim(farm.job(), farm.builder("bob"))
    with pytest.raises(psycopg.errors.CheckViolation, match="flat"):
        farm.sql(change)


@pytest.mark.parametrize(
    "url", ["buildd://[::1", "buildd://[::1:8221", "buildd://::1:8221", "buildd://a]:8221", "buildd://[]:8221"]
)
def test_half_an_address_is_refused_at_the_prompt_and_by_the_twin(farm: Farm, url: str) -> None:
    farm.builder("bob")
    with pytest.raises(psycopg.errors.CheckViolation, match="builder_url_check"):
        farm.sql("UPDATE builder SET url = %s", url)
    for stage in (farm, in_memory()):
        with pytest.raises(BadValue), stage.acting("anna"):
            stage.builders.add("eve", url, ("x86",))


@pytest.mark.parametrize("url", ["buildd://[::1]:8221", "buildd://a-b.example:1/", "buildd://127.0.0.1:8221"])
def test_whole_addresses_are_taken_at_the_prompt(farm: Farm, url: str) -> None:
    farm.builder("bob")
    farm.sql("UPDATE builder SET url = %s", url)
    assert farm.sql("SELECT url FROM builder") == [(url,)]


@pytest.mark.parametrize("ended", sorted(state for state in MOVES[BuildState.NEEDSBUILD] if state.final))
def test_an_ended_build_set_to_wait_at_the_prompt_gets_a_job_again(
    farm: Farm, ended: BuildState, librarian: Librarian
) -> None:
    job = farm.job()
    farm.sql("UPDATE build SET state = %s", ended)
    assert farm.queue.jobs() == ()
    farm.sql("UPDATE build SET state = 'NEEDSBUILD'")
    (again,) = farm.queue.jobs()
    assert (again.build, again.builder) == (job.build, None)
    assert again.id != job.id
    assert check(farm.conn, librarian) == ()

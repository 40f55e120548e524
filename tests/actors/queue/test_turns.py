"""Turns of the queue actor on a real database, without actors: reports in, letters out."""

from __future__ import annotations

import fcntl
import termios
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    BuilderChanged,
    BuilderGone,
    BuildersKnown,
    BuilderTroubled,
    Cancel,
    Disown,
    FencedOff,
    GatheringStarted,
    GoneNoted,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    ResultStored,
    RuntimeChanged,
    SessionOpened,
    SessionWanted,
    Started,
)
from storage.database.connection import farm_id
from storage.errors import DatabaseUnreachable, UnknownJob
from storage.records import BuildState, NotOkBy, NotOkKind, Outcome, Pocket, RuntimeState
from tests.fix_desk import NOW, Desk, finished, kinds, only
from tests.fix_storage import left

# --- dispatch -------------------------------------------------------------------------------------


def test_a_queued_job_goes_to_the_builder_that_waits_with_all_that_it_needs(desk: Desk) -> None:
    desk.ready()
    job = desk.farm.job("foo")
    assign = only(Assign, desk.take())
    assert (assign.builder, assign.generation, assign.order.job) == ("bob", 1, job.id)
    assert assign.order.trusted
    assert assign.order.dsc == "foo_1.0-1.dsc"
    assert assign.order.chroot.filename == "chroot.tar.zst"
    held = desk.farm.queue.job(job.id)
    assert (held.builder, held.state) == ("bob", BuildState.BUILDING)
    assert held.buildstart is not None


def test_everything_that_was_notified_is_heard_before_a_match(desk: Desk) -> None:
    several_buffers = 50
    for _ in range(several_buffers):
        desk.farm.sql("SELECT pg_notify('farm', %s)", "x" * 1000)
    there, deadline = array("i", [0]), time.monotonic() + 5.0
    while there[0] < 1000 * several_buffers:
        assert time.monotonic() < deadline
        fcntl.ioctl(desk.database.fileno(), termios.FIONREAD, there)
    assert len(list(desk.database._notifications())) == several_buffers


def test_a_builder_that_becomes_ready_gets_the_job_that_waits(desk: Desk) -> None:
    desk.farm.job()
    assert kinds(desk.ready()) == ["Assign"]


def test_an_untrusted_job_waits_until_bob_is_made_untrusted_by_plain_sql(desk: Desk) -> None:
    desk.ready()
    job = desk.farm.job(archive="cprov/ppa")
    assert kinds(desk.take()) == []
    assert desk.farm.queue.job(job.id).builder is None
    desk.farm.sql("UPDATE builder SET trusted = false WHERE name = 'bob'")
    letters = desk.take()
    assert kinds(letters) == ["BuilderChanged", "Assign"]
    assert letters[0].builder is None, "the supervisor tells the builder's actor"
    assert not only(BuilderChanged, letters).builder.trusted
    assert only(Assign, letters).order.job == job.id


def test_a_job_whose_files_are_not_there_goes_out_when_they_come(desk: Desk) -> None:
    farm = desk.farm
    desk.ready()
    with farm.acting("test"):
        where = farm.series.named("ubuntu/hoary/i386")
        primary = farm.archives.get("ubuntu", "primary")
        source = farm.source("late", present=False)
        farm.publications.publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        build = farm.builds.create(source, where.id, primary.id, Pocket.RELEASE, arch_indep=False)
        farm.builds.queue(build.id)
    assert kinds(desk.take()) == []
    with farm.acting("test"):
        farm.source("late")
    assert kinds(desk.take()) == ["Assign"]


def test_a_job_without_a_chroot_waits_until_there_is_one_and_the_log_says_so_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    farm = desk.farm
    desk.ready()
    with farm.acting("test"):
        (warty,) = farm.series.add("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
    farm.job("one", series="ubuntu/warty/i386")
    farm.job("two", series="ubuntu/warty/i386")
    assert kinds(desk.take()) == []
    assert [record.message for record in caplog.records] == ["ubuntu/warty/i386 has no chroot: its jobs wait"]
    with farm.acting("test"):
        hoary = farm.chroots.all()[0]
        farm.chroots.set(warty.id, hoary.pocket, farm.library.aliases(hoary.sha256)[0].id)
    assert kinds(desk.take()) == ["Assign"]


def test_a_claim_that_is_lost_to_a_cancellation_leaves_the_builder_to_the_next_job(desk: Desk) -> None:
    desk.ready()
    first, second = desk.farm.job("one"), desk.farm.job("two")
    desk.farm.builds.cancel(first.build)
    assert only(Assign, desk.take()).order.job == second.id


def test_a_claim_lost_to_a_lock_is_tried_again_a_moment_later(desk: Desk) -> None:
    desk.ready()
    job = desk.farm.job()
    with psycopg.connect(desk.dsn) as other:
        other.execute("SELECT FROM buildqueue WHERE id = %s FOR UPDATE", (job.id,))
        assert kinds(desk.take()) == []
        assert desk.books.books.dispatch.set_aside == {"bob"}
    assert only(Assign, desk.books.tick(desk.at, NOW)).order.job == job.id


# --- the life of an attempt -----------------------------------------------------------------------


def test_the_end_of_an_attempt_is_recorded_and_its_answer_carries_the_next_job(desk: Desk) -> None:
    attempt, next_job = desk.assigned(), desk.farm.job("next")
    desk.take(Started("bob", 1, attempt), GatheringStarted("bob", 1, attempt))
    deb, log = left("foo_1.0-1_i386.deb"), left("build.log")
    report = finished(
        attempt,
        results=(ResultStored(deb.filename, deb.content),),
        log=ResultStored(log.filename, log.content),
    )
    letters = desk.take(report)
    answer = only(Recorded, letters)
    assert kinds(letters) == ["Recorded"]
    assert answer.attempt == attempt
    assert answer.next is not None
    assert answer.next.job == next_job.id
    build = desk.farm.queue.attempt(attempt).build
    assert desk.state(build) is BuildState.FULLYBUILT
    assert [alias.filename for alias in desk.farm.builds.files(build)] == ["foo_1.0-1_i386.deb"]
    said = desk.farm.builds.log(build)
    assert said is not None
    assert said.filename == "build.log"


def test_a_report_that_comes_twice_gets_the_same_answer_twice(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.farm.job("next")
    first = only(Recorded, desk.take(finished(attempt)))
    assert only(Recorded, desk.take(finished(attempt))) == first
    assert first.next is not None


def test_a_builder_without_a_next_job_is_idle_only_when_it_says_so(desk: Desk) -> None:
    attempt = desk.assigned()
    assert only(Recorded, desk.take(finished(attempt))).next is None
    desk.farm.job("next")
    assert kinds(desk.take()) == []
    assert kinds(desk.ready()) == ["Assign"]


def test_a_failure_of_the_slave_leaves_the_job_to_another_builder(desk: Desk) -> None:
    desk.farm.builder("zoe")
    desk.take()
    attempt = desk.assigned("bob")
    desk.ready("zoe")
    letters = desk.take(finished(attempt, Outcome.BUILDERFAIL, text="disk broken"))
    assert only(Recorded, letters).next is None
    assert only(Assign, letters).builder == "zoe"


def test_missing_dependencies_are_stored_with_the_build(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(finished(attempt, Outcome.DEPFAIL, dependencies=("libfoo-dev (>= 2)",)))
    build = desk.farm.builds.get(desk.farm.queue.attempt(attempt).build)
    assert (build.state, build.dependencies) == (BuildState.MANUALDEPWAIT, ("libfoo-dev (>= 2)",))


def test_an_isolation_breach_disables_the_builder_and_requeues_the_job(desk: Desk) -> None:
    attempt = desk.assigned()
    letters = desk.take(finished(attempt, Outcome.BREACH, text="the slave was busy with another attempt"))
    assert only(Recorded, letters).next is None
    bob = desk.farm.builders.get("bob")
    assert (bob.builderok, bob.notok_kind, bob.failnotes) == (
        False,
        NotOkKind.BREACH,
        "the slave was busy with another attempt",
    )
    assert only(BuilderChanged, letters).builder == bob
    assert desk.state(desk.farm.queue.attempt(attempt).build) is BuildState.NEEDSBUILD


def test_a_job_that_the_builder_refuses_goes_back_with_its_place(desk: Desk) -> None:
    attempt = desk.assigned()
    job = desk.farm.queue.attempt(attempt).job
    assert kinds(desk.take(JobRefused("bob", 1, attempt, "I am not trusted"))) == []
    assert desk.farm.queue.job(job).builder is None
    assert only(Assign, desk.ready()).order.job == job


def test_an_order_that_is_not_acknowledged_is_sent_again_after_two_seconds(desk: Desk) -> None:
    attempt = desk.assigned()
    assert kinds(desk.books.tick(desk.at + 1.9, NOW)) == []
    assert only(Assign, desk.books.tick(desk.at + 2.1, NOW)).order.attempt == attempt
    desk.take(RuntimeChanged("bob", 1, RuntimeState.PREPARING, connected=True))
    assert kinds(desk.books.tick(desk.at + 9.0, NOW)) == []


# --- adoption, fencing, cancelling ----------------------------------------------------------------


def test_a_builder_that_finds_its_open_attempt_adopts_it_and_any_other_is_disowned(desk: Desk) -> None:
    attempt, stranger = desk.assigned(), uuid4()
    adopt = only(Adopt, desk.take(AdoptionWanted("bob", 1, 2, attempt)))
    assert adopt.order.attempt == attempt
    assert only(Disown, desk.take(AdoptionWanted("bob", 1, 2, stranger))).attempt == stranger


def test_lowering_trust_fences_the_trusted_build_and_the_builder_is_told(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.sql("UPDATE builder SET trusted = false WHERE name = 'bob'")
    letters = desk.take()
    assert kinds(letters) == ["Disown", "BuilderChanged"]
    assert only(Disown, letters).attempt == attempt
    assert desk.state(build) is BuildState.NEEDSBUILD
    assert kinds(desk.take(finished(attempt))) == ["FencedOff"]
    assert desk.state(build) is BuildState.NEEDSBUILD
    assert desk.farm.builders.get("bob").builderok


def test_a_verdict_by_hand_stands_and_the_late_report_is_fenced_off(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.sql("UPDATE build SET state = 'FAILEDTOBUILD' WHERE id = %s", build)
    assert kinds(desk.take()) == ["Disown"]
    assert only(FencedOff, desk.take(finished(attempt))).attempt == attempt
    assert desk.state(build) is BuildState.FAILEDTOBUILD


def test_cancelling_a_running_build_aborts_it_and_its_end_cancels_it(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.builds.cancel(build)
    assert only(Cancel, desk.take()).attempt == attempt
    desk.take(finished(attempt, Outcome.ABORTED))
    assert desk.state(build) is BuildState.CANCELLED
    with pytest.raises(UnknownJob):
        desk.farm.queue.job(desk.farm.queue.attempt(attempt).job)


def test_an_attempt_that_nobody_ends_is_closed_after_its_deadline(desk: Desk) -> None:
    attempt = desk.assigned()
    assert kinds(desk.books.miss_deadlines(45.0, desk.at)) == []
    desk.farm.sql("UPDATE attempt SET deadline = now() - interval '46 s' WHERE id = %s", attempt)
    letters = desk.books.miss_deadlines(45.0, desk.at)
    assert kinds(letters) == ["Disown", "BuilderChanged"]
    assert only(BuilderChanged, letters).builder.failures_in_row == 1
    closed = desk.farm.queue.attempt(attempt)
    assert (closed.outcome, closed.text) == (Outcome.LOST, "bob did not report the end before the deadline")
    assert desk.state(closed.build) is BuildState.NEEDSBUILD


def test_a_cancelled_build_whose_slave_does_not_abort_in_time_is_cancelled_at_its_deadline(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.builds.cancel(build)
    desk.take()
    desk.farm.sql("UPDATE attempt SET deadline = now() - interval '46 s' WHERE id = %s", attempt)
    desk.books.miss_deadlines(45.0, desk.at)
    assert desk.state(build) is BuildState.CANCELLED


# --- builders -------------------------------------------------------------------------------------


def test_each_session_has_a_higher_epoch_and_names_the_farm(desk: Desk) -> None:
    first = only(SessionOpened, desk.take(SessionWanted("bob", 1)))
    second = only(SessionOpened, desk.take(SessionWanted("bob", 1)))
    assert second.session > first.session
    assert first.farm == farm_id(desk.farm.conn)


def test_an_unreachable_builder_is_not_ok_with_the_error_in_words_until_its_probe_passes(desk: Desk) -> None:
    desk.ready()
    notes = "connection to 127.0.0.1 port 1 refused"
    letters = desk.take(BuilderTroubled("bob", 1, NotOkKind.UNREACHABLE, notes))
    bob = only(BuilderChanged, letters).builder
    assert (bob.builderok, bob.failnotes, bob.notok_by) == (False, notes, NotOkBy.MACHINE)
    desk.farm.job()
    assert kinds(desk.take()) == []
    assert kinds(desk.take(ProbePassed("bob", 1), Ready("bob", 1, 2))) == ["BuilderChanged", "Assign"]


def test_trouble_and_its_end_in_one_turn_leave_the_builder_ok(desk: Desk) -> None:
    trouble = BuilderTroubled("bob", 1, NotOkKind.UNREACHABLE, "connection refused")
    desk.take(trouble, ProbePassed("bob", 1))
    assert desk.farm.builders.get("bob").builderok


def test_a_build_that_was_completed_heals_what_the_machine_had_marked_meanwhile(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(BuilderTroubled("bob", 1, NotOkKind.UNREACHABLE, "connection lost"))
    assert not desk.farm.builders.get("bob").builderok
    desk.take(finished(attempt, Outcome.PACKAGEFAIL))
    assert desk.farm.builders.get("bob").builderok


def test_what_a_person_marked_only_a_person_clears(desk: Desk) -> None:
    desk.farm.builders.set_ok("bob", ok=False, notes="being moved to another rack")
    desk.farm.job()
    assert kinds(desk.take(ProbePassed("bob", 1), Ready("bob", 1, 1))) == ["BuilderChanged"]
    assert desk.farm.builders.get("bob").failnotes == "being moved to another rack"
    desk.farm.builders.set_ok("bob", ok=True)
    assert kinds(desk.take()) == ["BuilderChanged", "Assign"]


def test_a_crash_marks_the_builder_and_leaves_its_attempt_open_for_adoption(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(BuilderGone("bob", 1, "process ended without a word (signal?)"))
    bob = desk.farm.builders.get("bob")
    notes = f"process ended without a word (signal?), during attempt {attempt}"
    assert (bob.notok_kind, bob.failnotes) == (NotOkKind.CRASH, notes)
    assert desk.farm.queue.attempt(attempt).outcome is None
    letters = desk.take(ProbePassed("bob", 2), AdoptionWanted("bob", 2, 3, attempt))
    assert only(Adopt, letters).generation == 2
    assert desk.farm.builders.get("bob").builderok


def test_a_crash_whose_news_name_the_attempt_does_not_name_it_twice(desk: Desk) -> None:
    notes = f"KeyError: 'x' (builder.py:7 in receive), during attempt {desk.assigned()}"
    desk.take(BuilderGone("bob", 1, notes))
    assert desk.farm.builders.get("bob").failnotes == notes


@pytest.fixture
def commits(desk: Desk) -> Iterator[Callable[[], list[str]]]:
    """Return what asks how the commits that changed attempts since were to wait for the disk."""
    desk.dsn = make_conninfo(desk.dsn, options="-c synchronous_commit=on")  # as a server that is to keep things has it
    desk.open()
    desk.farm.sql(_NOTED)

    def since() -> list[str]:
        return [how for (how,) in desk.farm.sql("DELETE FROM noted_commit RETURNING how")]

    yield since
    desk.farm.sql("DROP TABLE noted_commit; DROP FUNCTION note_commit CASCADE")


_NOTED = """
    CREATE TABLE noted_commit (how text);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO noted_commit VALUES (current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER note_commit AFTER INSERT OR UPDATE ON attempt
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_commit();
"""


def test_a_claim_and_an_end_are_on_disk_before_anybody_acts_on_them(
    desk: Desk, commits: Callable[[], list[str]]
) -> None:
    attempt = desk.assigned()
    assert set(commits()) == {"on"}, "else an order could be out that nobody knows of after a power cut"
    assert "Recorded" in kinds(desk.take(finished(attempt)))
    assert set(commits()) == {"on"}, "else a slave would be cleaned of results that a power cut takes from us"
    desk.ready()
    desk.farm.job("bar")
    assert "Assign" in kinds(desk.take(RuntimeChanged("bob", 1, RuntimeState.IDLE, connected=True)))
    assert set(commits()) == {"on"}, "a claim, though what else the turn writes can wait"


def test_reports_of_an_earlier_life_are_dropped(desk: Desk) -> None:
    desk.take(RuntimeChanged("bob", 2, RuntimeState.CONNECTING, connected=False))
    desk.farm.job()
    assert kinds(desk.take(Ready("bob", 1, 1))) == []


@pytest.mark.parametrize("report", [Started, GatheringStarted])
def test_a_builder_that_goes_on_with_an_attempt_closed_before_the_queue_actor_was_born_is_told_so(
    desk: Desk, report: type[Started | GatheringStarted]
) -> None:
    attempt = desk.assigned()
    desk.farm.queue.fence(attempt, "while nobody listened")
    desk.open()
    assert only(Disown, desk.take(report("bob", 1, attempt))).attempt == attempt


def test_news_of_a_crash_that_come_after_the_next_life_has_spoken_mark_the_builder_and_take_no_build_from_it(
    desk: Desk,
) -> None:
    desk.farm.job()
    attempt = only(Assign, desk.ready("bob", generation=2)).order.attempt
    letters = desk.take(BuilderGone("bob", 1, "KeyError: 'x'"))
    assert only(GoneNoted, letters) == GoneNoted("bob", 1)
    bob = only(BuilderChanged, letters).builder
    assert (bob.notok_kind, bob.failnotes) == (NotOkKind.CRASH, "KeyError: 'x'")
    assert desk.farm.queue.attempt(attempt).outcome is None
    desk.take(ProbePassed("bob", 2))
    assert desk.farm.builders.get("bob").builderok


def test_news_of_a_crash_are_acknowledged_even_of_a_builder_that_is_gone(desk: Desk) -> None:
    assert kinds(desk.take(BuilderGone("nobody", 1, "x"))) == ["GoneNoted"]
    assert "GoneNoted" in kinds(desk.take(BuilderGone("bob", 1, "x")))


def test_what_a_builder_does_is_written_for_explain(desk: Desk) -> None:
    desk.take(RuntimeChanged("bob", 1, RuntimeState.CLEANING, connected=True))
    (runtime,) = desk.farm.builders.runtimes()
    assert (runtime.state, runtime.connected) == (RuntimeState.CLEANING, True)


def test_new_and_removed_builders_are_made_known_whole(desk: Desk) -> None:
    desk.farm.builder("zoe")
    known = only(BuildersKnown, desk.take())
    assert [builder.name for builder in known.builders] == ["bob", "zoe"]
    desk.farm.builders.remove("zoe")
    known = only(BuildersKnown, desk.take())
    assert [builder.name for builder in known.builders] == ["bob"]


def test_a_builder_that_is_removed_in_mid_build_is_told_once_and_then_forgotten(desk: Desk) -> None:
    desk.assigned()
    desk.farm.builders.remove("bob")
    assert kinds(desk.take()) == ["Disown", "BuildersKnown"]
    assert desk.books.books.outbox.unanswered == ()
    assert desk.books.tick(desk.at + 60.0, NOW) == ()


def test_a_builder_of_the_same_name_that_is_added_again_is_heard(desk: Desk) -> None:
    desk.take(RuntimeChanged("bob", 7, RuntimeState.IDLE, connected=True))
    desk.farm.builders.remove("bob")
    desk.take()
    desk.farm.builder("bob")
    desk.farm.job()
    desk.take()
    assert kinds(desk.ready(generation=1)) == ["Assign"]


def test_a_report_of_a_builder_that_was_removed_is_answered_by_nothing(desk: Desk) -> None:
    desk.farm.builders.remove("bob")
    assert kinds(desk.take(SessionWanted("bob", 1), ProbePassed("bob", 1))) == ["BuildersKnown"]


# --- the database away; a new life of the queue actor ---------------------------------------------


def test_after_a_restart_an_open_attempt_is_assigned_again_to_a_builder_that_has_nothing(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.close()
    later = Desk(desk.farm, desk.dsn)
    assert kinds(later.open()) == ["BuildersKnown"]
    assert only(Assign, later.ready()).order.attempt == attempt
    later.close()


def test_after_a_restart_builders_that_have_nothing_are_started_before_those_that_build(desk: Desk) -> None:
    desk.assigned("bob")
    desk.farm.builder("zoe")
    later = Desk(desk.farm, desk.dsn)
    known = only(BuildersKnown, later.open())
    assert [builder.name for builder in known.builders] == ["zoe", "bob"]
    later.close()


def test_after_a_restart_a_cancelled_build_is_aborted_when_its_builder_reports(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.database.close()
    desk.farm.builds.cancel(desk.farm.queue.attempt(attempt).build)
    later = Desk(desk.farm, desk.dsn)
    later.open()
    letters = later.take(AdoptionWanted("bob", 1, 2, attempt))
    assert kinds(letters) == ["Adopt", "Cancel"]
    later.close()


def test_a_slave_that_lost_the_results_gives_its_job_back(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(Started("bob", 1, attempt), GatheringStarted("bob", 1, attempt))
    letters = desk.ready()
    assert desk.farm.queue.attempt(attempt).outcome is Outcome.LOST
    assert kinds(letters) == ["BuilderChanged", "Assign"]


def cut_off(desk: Desk) -> None:
    """Cut both connections of the books, as a restart of the server does."""
    desk.farm.conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ '^queue'"
    )


def test_a_turn_that_fails_is_forgotten_and_taken_again_on_a_new_connection(desk: Desk) -> None:
    desk.ready()
    job = desk.farm.job()
    cut_off(desk)
    with pytest.raises(DatabaseUnreachable):
        desk.take()
    assert desk.farm.queue.job(job.id).builder is None
    assert only(Assign, desk.open()).order.job == job.id


def test_a_report_that_met_a_dead_database_is_recorded_when_it_is_sent_again(desk: Desk) -> None:
    attempt = desk.assigned()
    cut_off(desk)
    with pytest.raises(DatabaseUnreachable):
        desk.take(finished(attempt))
    desk.open()
    assert only(Recorded, desk.take(finished(attempt))).attempt == attempt
    assert desk.farm.builders.get("bob").builderok, "nobody is blamed"


def die_after_claiming(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connections cut just when a claim has come back."""
    claim = desk.database.queue.claim

    def claim_then_die(*args: Any) -> Any:
        won = claim(*args)
        cut_off(desk)
        return won

    monkeypatch.setattr(desk.database.queue, "claim", claim_then_die)


def test_a_claim_that_was_rolled_back_is_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job = desk.farm.job()
    die_after_claiming(desk, monkeypatch)
    with pytest.raises(DatabaseUnreachable):
        desk.ready()
    assert desk.farm.queue.job(job.id).builder is None
    assert kinds(desk.open()) == ["BuildersKnown"]
    assert only(Assign, desk.ready()).order.job == job.id


def test_a_claim_whose_answer_was_lost_is_assigned_when_the_database_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ready()
    job = desk.farm.job()
    die_after_claiming(desk, monkeypatch)
    with pytest.raises(DatabaseUnreachable):
        desk.take()
    assert desk.farm.queue.job(job.id).builder == "bob"
    letters = desk.open()
    assert only(Assign, letters).order.job == job.id
    assert "Disown" not in kinds(letters)


def test_an_attempt_that_was_fenced_while_the_database_was_away_is_disowned(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.close()
    desk.farm.queue.remove(desk.farm.queue.attempt(attempt).job)
    assert only(Disown, desk.open()).attempt == attempt


def test_the_sweep_finds_what_no_notification_told(desk: Desk) -> None:
    desk.ready()
    desk.farm.job()
    assert "Assign" in kinds(desk.books.sweep(desk.at))


def test_a_waiting_job_of_the_books_is_a_row_of_the_queue(desk: Desk) -> None:
    jobs = [desk.farm.job(name) for name in ("one", "two", "three")]
    assert desk.take() == ()
    assert [job.id for job in desk.books.books.dispatch.candidates()["x86"]] == [job.id for job in jobs]

"""Jobs and attempts: claim, record, fence.  On PostgreSQL and in memory."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from storage.build_queue import BuildQueue
from storage.database.repository import Repository
from storage.errors import BadValue, ImpossibleMove, UnknownAttempt, UnknownJob
from storage.records import BuildState, Limits, NotOkKind, Outcome, Pick, Pocket, Recording
from tests.fix_storage import Farm, Stage, left, stored


def test_a_queued_build_is_a_job_without_builder_or_start_time(stage: Stage) -> None:
    build = stage.build("foo")
    with stage.acting("cli"):
        job = stage.builds.queue(build.id)
    assert (job.build, job.builder, job.buildstart, job.trusted) == (build.id, None, None, True)
    assert (job.family, job.distroarchseries, job.pocket) == ("x86", "ubuntu/hoary/i386", Pocket.RELEASE)
    assert (job.state, job.has_chroot, job.files_missing) == (BuildState.NEEDSBUILD, True, ())
    assert stage.queue.jobs() == (job,) == stage.queue.jobs([job.id, 999])


def test_a_build_of_a_ppa_is_not_trusted(stage: Stage) -> None:
    assert not stage.job("foo", "cprov/ppa").trusted


def test_a_source_file_without_content_is_missing_until_the_librarian_has_it(stage: Stage) -> None:
    with stage.acting("cli"):
        where = stage.series.named("ubuntu/hoary/i386")
        source = stage.source("foo", present=False)
        primary = stage.archives.get("ubuntu", "primary")
        build = stage.builds.create(source, where.id, primary.id, Pocket.RELEASE, arch_indep=False)
        job = stage.builds.queue(build.id)
    assert job.files_missing == ("foo_1.0-1.dsc", "foo_1.0.tar.xz")
    with stage.acting("cli"):
        stage.library.add(stored("foo_1.0-1.dsc"), "any-name-will-do.dsc")
    assert stage.queue.job(job.id).files_missing == ("foo_1.0.tar.xz",)


def test_a_claim_gives_the_job_to_the_builder_and_opens_an_attempt(stage: Stage) -> None:
    job = stage.job()
    stage.builder("bob")
    attempt = stage.claim(job, "bob", session=7)
    claimed = stage.queue.job(job.id)
    assert (claimed.builder, claimed.buildstart, claimed.state) == ("bob", attempt.started, BuildState.BUILDING)
    assert (attempt.build, attempt.job, attempt.builder, attempt.session) == (job.build, job.id, "bob", 7)
    assert (attempt.trusted, attempt.outcome, attempt.ended) == (True, None, None)
    assert (attempt.deadline - attempt.started).total_seconds() == 3600
    assert stage.queue.open_attempts() == (attempt,)
    assert stage.builds.get(job.build).builder == "bob"


def test_the_order_of_an_attempt_names_everything_that_the_slave_needs(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    order = stage.queue.order(attempt.id)
    assert (order.attempt, order.job, order.build, order.builder) == (attempt.id, job.id, job.build, "bob")
    assert (order.chroot.filename, order.chroot.sha256) == ("chroot.tar.zst", stored("chroot").sha256)
    assert [file.filename for file in order.files] == ["foo_1.0-1.dsc", "foo_1.0.tar.xz"]
    assert (order.dsc, order.architecture, order.suite) == ("foo_1.0-1.dsc", "i386", "hoary")
    assert (order.trusted, order.wall_seconds, order.build_type) == (True, 3600.0, "binarypackage")


def test_an_adopted_attempt_keeps_the_chroot_it_was_claimed_with(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    with stage.acting("cli"):
        where = stage.series.named("ubuntu/hoary/i386")
        stage.chroots.set(where.id, Pocket.RELEASE, stage.library.add(stored("newer"), "newer.tar.zst").id)
    assert stage.queue.order(attempt.id).chroot.filename == "chroot.tar.zst"


@pytest.mark.parametrize("why", ["not ok", "manual", "trust", "family", "gone", "taken", "cancelled", "busy"])
def test_a_pick_that_no_longer_holds_falls_out_without_spoiling_the_others(stage: Stage, why: str) -> None:
    stale, good = stage.job("stale"), stage.job("good")
    stage.builder("bob")
    stage.builder("eve")
    builder = "bob"
    with stage.acting("somebody"):
        match why:
            case "not ok":
                stage.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
            case "manual":
                stage.builders.change("bob", manual=True)
            case "trust":
                stage.builders.change("bob", trusted=False)
            case "family":
                stage.builders.change("bob", families=("amd64",))
            case "gone":
                builder = "nobody"
            case "cancelled":
                stage.builds.cancel(stale.build)
    if why == "taken":
        stage.builder("ann")
        stage.claim(stale, "ann")
    if why == "busy":
        stage.claim(stage.job("other"), "bob")
    with stage.acting("queue"):
        won = stage.queue.claim((Pick(stale.id, builder, 1), Pick(good.id, "eve", 1)), Limits(wall_seconds=60))
    assert [(attempt.job, attempt.builder) for attempt in won] == [(good.id, "eve")]


@pytest.mark.parametrize("why", ["held back", "disabled", "cooling down", "assigned elsewhere", "tags"])
def test_a_pick_falls_out_for_what_became_of_its_job_meanwhile(stage: Stage, why: str) -> None:
    job = stage.job()
    stage.builder("bob")
    stage.builder("eve")
    pick = (Pick(job.id, "bob", 1),)
    if why in {"held back", "cooling down"}:
        attempt = stage.claim(job, "eve")
        with stage.acting("queue"):
            if why == "held back":
                stage.verdicts.hold_back_chroot(attempt.id, "it fails")
                stage.queue.release(attempt.id)
            else:
                stage.queue.record(
                    attempt.id,
                    Outcome.CHROOTFAIL,
                    "",
                    build_state=BuildState.NEEDSBUILD,
                    keep_job=True,
                    cool_seconds=600.0,
                )
    with stage.acting("somebody"):
        match why:
            case "disabled":
                stage.archives.change("ubuntu", "primary", enabled=False)
            case "assigned elsewhere":
                stage.builds.assign(job.build, "eve")
            case "tags":
                stage.archives.change("ubuntu", "primary", tags=("kvm",))
    with stage.acting("queue"):
        assert stage.queue.claim(pick, Limits(wall_seconds=60)) == ()


def test_of_two_picks_for_one_builder_or_one_job_the_first_wins(stage: Stage) -> None:
    first, second = stage.job("first"), stage.job("second")
    stage.builder("bob")
    stage.builder("eve")
    picks = (Pick(first.id, "bob", 1), Pick(second.id, "bob", 1), Pick(first.id, "eve", 1))
    with stage.acting("queue"):
        won = stage.queue.claim(picks, Limits(wall_seconds=60))
    assert [(attempt.job, attempt.builder) for attempt in won] == [(first.id, "bob")]
    assert stage.queue.job(second.id).builder is None


def test_several_picks_are_claimed_at_once_in_their_order(stage: Stage) -> None:
    jobs = [stage.job(name) for name in ("a1", "b2", "c3")]
    for name in ("x", "y", "z"):
        stage.builder(name)
    picks = tuple(Pick(job.id, name, 1) for job, name in zip(reversed(jobs), "xyz", strict=True))
    with stage.acting("queue"):
        won = stage.queue.claim(picks, Limits(wall_seconds=60))
    assert [(attempt.job, attempt.builder) for attempt in won] == [(pick.job, pick.builder) for pick in picks]


def test_a_job_without_a_chroot_is_not_claimed(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.series.add("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
    job = stage.job("foo", series="ubuntu/warty/i386")
    stage.builder("bob")
    assert not job.has_chroot
    with stage.acting("queue"):
        assert stage.queue.claim((Pick(job.id, "bob", 1),), Limits(wall_seconds=60)) == ()


def test_a_pocket_of_its_own_chroot_uses_that_one(stage: Stage) -> None:
    with stage.acting("cli"):
        where = stage.series.named("ubuntu/hoary/i386")
        own = stage.library.add(stored("security"), "security.tar.zst")
        stage.chroots.set(where.id, Pocket.SECURITY, own.id)
        primary = stage.archives.get("ubuntu", "primary")
        build = stage.builds.create(stage.source(), where.id, primary.id, Pocket.SECURITY, arch_indep=True)
        job = stage.builds.queue(build.id)
    attempt = stage.claim(job, stage.builder("bob"))
    order = stage.queue.order(attempt.id)
    assert (order.chroot.filename, order.arch_indep) == ("security.tar.zst", True)


def test_success_ends_the_build_with_its_files_and_log_and_removes_the_job(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        assert stage.queue.started(attempt.id)
        assert stage.queue.gathering(attempt.id)
    assert stage.builds.get(job.build).state == BuildState.GATHERING
    with stage.acting("queue"):
        recording = stage.queue.record(
            attempt.id,
            Outcome.OK,
            "built",
            build_state=BuildState.FULLYBUILT,
            keep_job=False,
            results=(left("foo_1.0-1_i386.deb"), left("foo_1.0-1_i386.changes")),
            log=left("foo.log.zst"),
        )
    assert recording == Recording.RECORDED
    build = stage.builds.get(job.build)
    assert (build.state, build.why, build.builder) == (BuildState.FULLYBUILT, "built", None)
    assert build.ended is not None
    assert [file.filename for file in stage.builds.files(build.id)] == ["foo_1.0-1_i386.changes", "foo_1.0-1_i386.deb"]
    log = stage.builds.log(build.id)
    assert log is not None
    assert (log.filename, log.mimetype) == ("foo.log.zst", "application/zstd")
    assert stage.queue.jobs() == ()
    (closed,) = stage.builds.attempts(build.id)
    assert (closed.outcome, closed.text, closed.log) == (Outcome.OK, "built", log.id)
    with pytest.raises(UnknownJob):
        stage.queue.job(job.id)


def test_success_that_nobody_saw_gathering_passes_through_it(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    states = [event.after["state"] for event in stage.events.story(f"build:{job.build}") if event.after]
    assert states == ["NEEDSBUILD", "BUILDING", "GATHERING", "FULLYBUILT"]


def test_a_report_that_comes_twice_is_recorded_once(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    recordings = []
    for _ in range(2):
        with stage.acting("queue"):
            recordings.append(
                stage.queue.record(
                    attempt.id, Outcome.PACKAGEFAIL, "", build_state=BuildState.FAILEDTOBUILD, keep_job=False
                )
            )
    assert recordings == [Recording.RECORDED, Recording.ALREADY]


def test_a_report_against_another_outcome_is_fenced_and_changes_nothing(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        assert stage.queue.fence(attempt.id, "lost") == Recording.RECORDED
    before = stage.events.last_id()
    with stage.acting("queue"):
        recording = stage.queue.record(
            attempt.id,
            Outcome.OK,
            "",
            build_state=BuildState.FULLYBUILT,
            keep_job=False,
            results=(left("foo.deb"),),
        )
    assert recording == Recording.FENCED
    assert stage.events.last_id() == before
    assert stage.queue.job(job.id).state == BuildState.NEEDSBUILD


def test_a_report_of_an_attempt_that_never_was_is_fenced(stage: Stage) -> None:
    with stage.acting("queue"):
        recording = stage.queue.record(uuid4(), Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    assert recording == Recording.FENCED


def test_a_failed_attempt_puts_the_job_back_in_its_place(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.record(
            attempt.id, Outcome.LOST, "the slave was lost", build_state=BuildState.NEEDSBUILD, keep_job=True
        )
    again = stage.queue.job(job.id)
    assert (again.builder, again.buildstart, again.created) == (None, None, job.created)
    assert stage.builds.get(job.build).why == "the slave was lost"
    assert stage.claim(again, "bob").id != attempt.id


def test_missing_dependencies_are_stored_while_the_build_waits_for_them(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.record(
            attempt.id,
            Outcome.DEPFAIL,
            "",
            build_state=BuildState.MANUALDEPWAIT,
            keep_job=False,
            dependencies=("libfoo-dev (>= 2)", "bar"),
        )
    assert stage.builds.get(job.build).dependencies == ("libfoo-dev (>= 2)", "bar")
    with stage.acting("cli"):
        stage.builds.queue(job.build)
    assert stage.builds.get(job.build).dependencies == ()


@pytest.mark.parametrize(
    ("outcome", "state", "keep"),
    [(Outcome.OK, BuildState.FULLYBUILT, False), (Outcome.LOST, BuildState.NEEDSBUILD, True)],
)
def test_a_build_that_is_being_cancelled_ends_cancelled_whatever_was_reported(
    stage: Stage, outcome: Outcome, state: BuildState, keep: bool
) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("cli"):
        assert stage.builds.cancel(job.build) == BuildState.CANCELLING
    with stage.acting("queue"):
        stage.queue.record(attempt.id, outcome, "", build_state=state, keep_job=keep, results=(left("foo_i386.deb"),))
    assert stage.builds.get(job.build).state == BuildState.CANCELLED
    assert stage.builds.files(job.build) == ()
    assert stage.queue.jobs() == ()


def test_an_end_that_the_table_does_not_know_is_refused_with_the_story(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    before = stage.events.last_id()
    with pytest.raises(ImpossibleMove, match="is BUILDING and can't become BUILDING") as refused, stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.BUILDING, keep_job=True)
    assert [event.subject for event in refused.value.story] == [f"build:{job.build}"] * 2
    assert stage.queue.attempt(attempt.id).outcome is None
    assert stage.events.last_id() == before


def test_released_and_fenced_attempts_give_the_job_back_with_its_place(stage: Stage) -> None:
    job = stage.job()
    stage.builder("bob")
    for end in (stage.queue.release, lambda one: stage.queue.fence(one, "moved")):
        attempt = stage.claim(job)
        with stage.acting("queue"):
            assert end(attempt.id) == Recording.RECORDED
        with stage.acting("queue"):
            assert end(attempt.id) == Recording.ALREADY
        assert stage.queue.attempt(attempt.id).outcome == Outcome.FENCED
        assert stage.queue.job(job.id).created == job.created
        assert stage.queue.job(job.id).builder is None


def test_orders_of_closed_and_unknown_attempts_are_left_out(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    assert [order.attempt for order in stage.queue.orders([uuid4(), attempt.id])] == [attempt.id]
    with stage.acting("queue"):
        stage.queue.release(attempt.id)
    assert stage.queue.orders([attempt.id]) == ()
    with pytest.raises(UnknownAttempt):
        stage.queue.order(attempt.id)
    with pytest.raises(UnknownAttempt):
        stage.queue.attempt(uuid4())


def test_the_wall_time_counts_from_the_first_acceptance(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    deadlines = []
    for _ in range(2):
        with stage.acting("queue"):
            assert stage.queue.started(attempt.id)
        deadlines.append(stage.queue.attempt(attempt.id).deadline)
    assert attempt.deadline < deadlines[0] == deadlines[1]


def test_closed_attempts_neither_start_nor_gather(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.release(attempt.id)
    with stage.acting("queue"):
        assert not stage.queue.started(attempt.id)
        assert not stage.queue.gathering(attempt.id)
        assert not stage.queue.started(uuid4())


def test_gathering_twice_is_once_and_does_not_undo_a_cancellation(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        assert stage.queue.gathering(attempt.id)
    with stage.acting("queue"):
        assert stage.queue.gathering(attempt.id)
    with stage.acting("cli"):
        stage.builds.cancel(job.build)
    with stage.acting("queue"):
        assert stage.queue.gathering(attempt.id)
    assert stage.builds.get(job.build).state == BuildState.CANCELLING


def test_what_waits_for_something_that_is_nobodys_fault_is_not_late(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))

    def seconds_left() -> float:
        return (stage.queue.attempt(attempt.id).deadline - attempt.started).total_seconds()

    before = seconds_left()
    with stage.acting("queue"):
        stage.queue.prolong(attempt.id, before / 2)
    assert seconds_left() == before
    with stage.acting("queue"):
        stage.queue.prolong(attempt.id, 2 * before)
    assert seconds_left() >= 2 * before
    with stage.acting("cli"):
        stage.builds.cancel(job.build)
    soon = seconds_left()
    assert soon < before
    with stage.acting("queue"):
        stage.queue.prolong(attempt.id, before)
        stage.queue.prolong(uuid4(), before)
    assert seconds_left() == soon


def test_only_attempts_past_their_deadline_are_overdue(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    assert stage.queue.overdue() == ()
    with stage.acting("cli"):
        stage.builds.cancel(job.build)  # its deadline is now 70 s away
    assert (stage.queue.attempt(attempt.id).deadline - attempt.started).total_seconds() < 80
    assert stage.queue.overdue(-75.0) == (stage.queue.attempt(attempt.id),)
    assert stage.queue.overdue(-30.0) == ()


def test_removing_a_running_job_fences_its_attempt_and_keeps_the_build(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("cli"):
        assert stage.queue.remove(job.id)
    with stage.acting("cli"):
        assert not stage.queue.remove(job.id)
    assert stage.queue.attempt(attempt.id).outcome == Outcome.FENCED
    assert stage.builds.get(job.build).state == BuildState.NEEDSBUILD
    assert stage.claim(stage.job("other"), "bob").builder == "bob"


def test_a_manual_score_is_kept_until_it_is_taken_back(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("cli"):
        assert stage.queue.set_manual_score(job.id, 5000).manual_score == 5000
        assert stage.queue.set_manual_score(job.id, None).manual_score is None
    with pytest.raises(BadValue, match="2000000"), stage.acting("cli"):
        stage.queue.set_manual_score(job.id, 2_000_000)
    with pytest.raises(UnknownJob, match="999"), stage.acting("cli"):
        stage.queue.set_manual_score(999, 1)


def test_however_many_jobs_are_read_no_statement_reads_all_of_them(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    # A statement that outlives its time is taken for a database that is away: the farm would never start again.
    monkeypatch.setattr("storage.database.repository._AT_ONCE", 2)
    jobs = [farm.job(f"foo{number}") for number in range(5)]
    read: list[int] = []

    def rows(self: BuildQueue, record: Any, query: bytes, **params: Any) -> Any:
        read.append(len(params["ids"]))
        return Repository._rows(self, record, query, **params)

    monkeypatch.setattr(BuildQueue, "_rows", rows)
    assert [job.id for job in farm.queue.jobs()] == [job.id for job in jobs]
    assert [job.id for job in farm.queue.jobs([jobs[4].id, jobs[0].id, jobs[4].id, 99, jobs[1].id])] == [
        jobs[place].id for place in (0, 1, 4)
    ]
    assert read == [2, 2, 1, 2, 2]

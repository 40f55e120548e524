"""Evidence for verdicts and what follows from them, on both twins."""

from __future__ import annotations

from uuid import uuid4

import pytest

from storage.errors import UnknownAttempt
from storage.records import BuildState, Evidence, Job, Outcome
from tests.fix_storage import Stage


def ended(
    stage: Stage,
    job: Job,
    builder: str,
    outcome: Outcome,
    state: BuildState,
    *,
    keep: bool = False,
    charged: bool = False,
) -> None:
    """Have an attempt at `job` end on `builder`."""
    attempt = stage.claim(job, builder)
    with stage.acting("queue"):
        stage.queue.record(attempt.id, outcome, "", build_state=state, keep_job=keep, charged=charged)


@pytest.fixture
def farm_of_two(stage: Stage) -> Stage:
    """bob and eve, both trusted."""
    stage.builder("bob")
    stage.builder("eve")
    return stage


def test_of_a_first_attempt_nothing_is_known(farm_of_two: Stage) -> None:
    attempt = farm_of_two.claim(farm_of_two.job())
    assert farm_of_two.verdicts.evidence(attempt.id) == Evidence("bob")
    with pytest.raises(UnknownAttempt):
        farm_of_two.verdicts.evidence(uuid4())


def test_the_evidence_tells_what_builder_and_job_did_before(farm_of_two: Stage) -> None:
    stage, job = farm_of_two, farm_of_two.job()
    ended(stage, job, "eve", Outcome.BUILDERFAIL, BuildState.NEEDSBUILD, keep=True, charged=True)
    ended(stage, job, "bob", Outcome.LOST, BuildState.NEEDSBUILD, keep=True, charged=True)
    with stage.acting("queue"):
        stage.verdicts.count_failure("bob", 1, None, "")
    ended(stage, stage.job("fine"), "bob", Outcome.DEPFAIL, BuildState.MANUALDEPWAIT)
    attempt = stage.claim(job, "bob")
    assert stage.verdicts.evidence(attempt.id) == Evidence(
        "bob",
        failures_in_row=1,
        after_completed=True,
        failed_here=True,
        charged_on=("eve", "bob"),
        chroot_works_elsewhere=False,
    )


def test_what_blames_nobody_is_no_evidence(farm_of_two: Stage) -> None:
    stage = farm_of_two
    ended(stage, stage.job("one"), "bob", Outcome.OK, BuildState.FULLYBUILT)
    attempt = stage.claim(stage.job("two"), "bob")
    with stage.acting("queue"):
        stage.queue.fence(attempt.id, "an operator's verdict")
    known = stage.verdicts.evidence(stage.claim(stage.job("three"), "bob").id)
    assert (known.after_completed, known.failed_here, known.charged_on) == (True, False, ())


def test_charges_of_an_earlier_job_of_the_build_are_forgiven(farm_of_two: Stage) -> None:
    stage, job = farm_of_two, farm_of_two.job()
    ended(stage, job, "bob", Outcome.BUILDERFAIL, BuildState.INFRAFAILED, charged=True)
    with stage.acting("ann"):
        again = stage.builds.queue(job.build)
    assert stage.verdicts.evidence(stage.claim(again, "bob").id).charged_on == ()


def test_the_evidence_tells_how_the_chroot_does_elsewhere(farm_of_two: Stage) -> None:
    stage = farm_of_two
    ended(stage, stage.job("one"), "eve", Outcome.CHROOTFAIL, BuildState.CHROOTWAIT)
    known = stage.verdicts.evidence(stage.claim(stage.job("two"), "bob").id)
    assert (known.chroot_works_elsewhere, known.chroot_fails_elsewhere) == (False, True)
    ended(stage, stage.job("three"), "eve", Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD)
    with stage.acting("ann"):
        stage.queue.fence(stage.queue.open_attempts()[0].id, "")
    known = stage.verdicts.evidence(stage.claim(stage.job("four"), "bob").id)
    assert (known.chroot_works_elsewhere, known.chroot_fails_elsewhere) == (True, True)


def test_a_chroot_failure_that_was_the_builders_counts_as_one_of_the_job_there(farm_of_two: Stage) -> None:
    # Else the only capable builder would be given that job again and again, and no other ever.
    stage, job = farm_of_two, farm_of_two.job()
    ended(stage, job, "bob", Outcome.CHROOTFAIL, BuildState.NEEDSBUILD, keep=True)
    assert stage.verdicts.evidence(stage.claim(job, "bob").id).failed_here


def test_failures_are_counted_and_quarantine_and_release_are_seen_with_the_builder(farm_of_two: Stage) -> None:
    stage = farm_of_two
    with stage.acting("queue"):
        stage.verdicts.count_failure("bob", 2, 60.0, "2 failures in a row")
    bob = stage.builders.get("bob")
    assert (bob.failures_in_row, bob.quarantine_why) == (2, "2 failures in a row")
    assert bob.quarantined_until is not None
    with stage.acting("queue"):
        stage.verdicts.count_failure("bob", 3, None, "")
    assert stage.builders.get("bob").quarantined_until == bob.quarantined_until, "a quarantine is not cut short"
    with stage.acting("queue"):
        stage.verdicts.release("bob")
        stage.verdicts.completed("bob")
    bob = stage.builders.get("bob")
    assert (bob.failures_in_row, bob.quarantined_until, bob.quarantine_why) == (0, None, "")


def test_a_person_who_sets_a_builder_ok_forgives_it_the_machine_does_not(farm_of_two: Stage) -> None:
    stage = farm_of_two
    with stage.acting("queue"):
        stage.verdicts.count_failure("bob", 4, 960.0, "4 failures in a row")
        stage.builders.set_ok("bob", False, "cable loose")
        stage.builders.set_ok("bob", True)
    assert (stage.builders.get("bob").failures_in_row, stage.builders.get("bob").quarantined_until) == (0, None)


def test_results_come_latest_first_with_what_was_expected(farm_of_two: Stage) -> None:
    stage = farm_of_two
    first = stage.job("one")
    ended(stage, first, "bob", Outcome.OK, BuildState.FULLYBUILT)
    second = stage.job("two")
    ended(stage, second, "bob", Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD)
    ended(stage, stage.job("three"), "bob", Outcome.LOST, BuildState.NEEDSBUILD, keep=True)
    found = stage.verdicts.results(["bob", "eve"], 8)
    assert [(one.build, one.outcome, one.expected is None) for one in found["bob"]] == [
        (second.build, Outcome.PACKAGEFAIL, True),
        (first.build, Outcome.OK, False),
    ]
    assert found["eve"] == ()
    assert len(stage.verdicts.results(["bob"], 1)["bob"]) == 1
    with stage.acting("queue"):
        stage.verdicts.release("bob")
    assert stage.verdicts.results(["bob"], 8)["bob"] == ()


def test_builds_of_a_suspected_builder_are_queued_for_others_and_counted_down(farm_of_two: Stage) -> None:
    stage = farm_of_two
    jobs = [stage.job("one"), stage.job("two"), stage.job("three")]
    for job in jobs:
        ended(stage, job, "bob", Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD)
    with stage.acting("ann"):
        stage.builds.queue(jobs[2].build)  # a person was quicker
    builds = [job.build for job in jobs]
    with stage.acting("queue"):
        assert stage.verdicts.try_elsewhere("bob", builds, 3600.0, "tried elsewhere") == tuple(builds[:2])
    queued = {job.build: job for job in stage.queue.jobs()}
    assert queued[builds[0]].suspect == "bob"
    assert [one.builder for one in queued[builds[0]].excluded] == ["bob"]
    with stage.acting("queue"):
        assert stage.verdicts.tried_elsewhere("bob", builds[0]) == 1
        stage.verdicts.mark_builder_induced("bob", builds[0])
        assert stage.verdicts.tried_elsewhere("bob", builds[1]) == 0
    assert [one.builder_induced for one in stage.builds.attempts(builds[0])] == [True]
    assert [one.builder_induced for one in stage.builds.attempts(builds[1])] == [False]


@pytest.mark.parametrize("how", ["cancelled", "set by hand", "ended by its attempt"])
def test_whoever_ends_a_build_under_cross_check_ends_the_cross_check(farm_of_two: Stage, how: str) -> None:
    stage = farm_of_two
    job = stage.job("one")
    ended(stage, job, "bob", Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD)
    with stage.acting("queue"):
        assert stage.verdicts.try_elsewhere("bob", [job.build], 3600.0, "tried elsewhere") == (job.build,)
    (again,) = stage.queue.jobs()
    if how == "ended by its attempt":
        ended(stage, again, "eve", Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD)
    with stage.acting("ann"):
        if how == "cancelled":
            stage.builds.cancel(job.build)
        elif how == "set by hand":
            stage.builds.set_state(job.build, BuildState.SUPERSEDED)
        stage.builds.retry(job.build)
    assert [one.suspect for one in stage.queue.jobs()] == [None]


def test_infrafailed_builds_that_were_charged_on_a_builder_are_queued_again(farm_of_two: Stage) -> None:
    stage = farm_of_two
    charged, other = stage.job("one"), stage.job("two")
    ended(stage, charged, "bob", Outcome.BUILDERFAIL, BuildState.INFRAFAILED, charged=True)
    ended(stage, other, "eve", Outcome.BUILDERFAIL, BuildState.INFRAFAILED, charged=True)
    with stage.acting("queue"):
        assert stage.verdicts.requeue_charged("bob", "bob is broken") == (charged.build,)
        assert stage.verdicts.requeue_charged("bob", "bob is broken") == ()
    assert [job.build for job in stage.queue.jobs()] == [charged.build]
    assert stage.builds.get(charged.build).why == "bob is broken"


def test_a_chroot_that_is_held_back_is_none_until_another_takes_its_place(farm_of_two: Stage) -> None:
    stage = farm_of_two
    job = stage.job()
    attempt = stage.claim(job)
    with stage.acting("queue"):
        assert stage.verdicts.hold_back_chroot(attempt.id, "no /bin/sh")
        assert not stage.verdicts.hold_back_chroot(attempt.id, "again")
        stage.queue.fence(attempt.id, "")
    held = stage.queue.job(job.id)
    assert (held.has_chroot, held.chroot_held_back) == (False, "no /bin/sh")

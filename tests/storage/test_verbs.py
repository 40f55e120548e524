"""What an operator does to a build and its job, on both twins: retry, give back, rescore, assign, set a state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import (
    BadValue,
    ImpossibleMove,
    NotQueued,
    NotRunning,
    StillRunning,
    UnknownBuild,
    UnknownBuilder,
    UnknownJob,
)
from storage.records import BuildState, Limits, Outcome, Pick
from tests.fix_storage import Stage


def fail(stage: Stage, state: BuildState = BuildState.CHROOTWAIT, name: str = "foo") -> int:
    """Return a build that ended in `state`."""
    job = stage.job(name)
    with stage.acting("anna"):
        stage.builds.set_state(job.build, state)
    return job.build


def send_back(stage: Stage, build: int, builder: str = "bob") -> None:
    """Have `builder` give the build's job back, as a slave does: it cools down, and not there again."""
    attempt = stage.claim(stage.builds.job(build), builder)
    with stage.acting("queue"):
        stage.queue.record(
            attempt.id,
            Outcome.GIVENBACK,
            "",
            build_state=BuildState.NEEDSBUILD,
            keep_job=True,
            exclude_seconds=3600,
            cool_seconds=60,
        )


# --- retry ----------------------------------------------------------------------------------------


def test_a_retried_build_has_a_new_job_at_the_end_of_the_queue(stage: Stage) -> None:
    build = fail(stage)
    other = stage.job("other")
    with stage.acting("anna"):
        job = stage.builds.retry(build)
    assert (job.state, job.manual_score, job.assigned, job.given_back) == (BuildState.NEEDSBUILD, None, None, 0)
    assert (job.id, job.created) > (other.id, other.created)
    assert stage.builds.get(build).ended is None


def test_a_retried_build_may_go_where_it_failed(stage: Stage) -> None:
    build = stage.job().build
    stage.builder("bob")
    send_back(stage, build)
    assert [one.builder for one in stage.builds.job(build).excluded] == ["bob"]
    with stage.acting("anna"):
        stage.builds.set_state(build, BuildState.INFRAFAILED)
        assert stage.builds.retry(build).excluded == ()


def test_retrying_a_build_that_waits_keeps_its_place_and_ends_its_cooling_and_exclusions(stage: Stage) -> None:
    before = stage.job()
    stage.builder("bob")
    send_back(stage, before.build)
    cooling = stage.builds.job(before.build)
    assert cooling.cooling_until is not None
    with stage.acting("anna"):
        job = stage.builds.retry(before.build)
    assert (job.id, job.created) == (before.id, before.created)
    assert (job.cooling_until, job.given_back, job.excluded) == (None, 0, ())
    assert stage.claim(job, "bob").builder == "bob"


def test_retrying_a_build_whose_job_was_deleted_gives_it_one(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("anna"):
        stage.queue.remove(job.id)
        assert stage.builds.retry(job.build).id > job.id


def test_what_was_built_is_not_retried_and_says_how_to_build_it_again(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    with (
        pytest.raises(ImpossibleMove, match="`buildd-master submit --again` builds it once more"),
        stage.acting("anna"),
    ):
        stage.builds.retry(job.build)


def test_a_running_build_is_not_retried(stage: Stage) -> None:
    job = stage.job()
    stage.claim(job, stage.builder("bob"))
    with pytest.raises(StillRunning, match="build give-back"), stage.acting("anna"):
        stage.builds.retry(job.build)
    with stage.acting("anna"):
        stage.builds.cancel(job.build)
    with pytest.raises(ImpossibleMove, match="is being cancelled"), stage.acting("anna"):
        stage.builds.retry(job.build)


def test_builds_of_a_kind_are_found_by_state_archive_and_series(stage: Stage) -> None:
    one, other = fail(stage, name="one"), fail(stage, name="other")
    fail(stage, BuildState.MANUALDEPWAIT, "third")
    ppa = stage.job("one", "cprov/ppa").build
    with stage.acting("anna"):
        stage.builds.set_state(ppa, BuildState.CHROOTWAIT)
    primary = stage.archives.get("ubuntu", "primary").id

    def found(archive: int | None = None, series: tuple[str, str] | None = None) -> list[int]:
        return [build.id for build in stage.builds.of_kind(BuildState.CHROOTWAIT, archive=archive, series=series)]

    assert found() == [one, other, ppa]
    assert found(primary) == [one, other]
    assert found(series=("ubuntu", "hoary")) == [one, other, ppa]
    assert found(series=("ubuntu", "warty")) == []
    assert stage.builds.of_kind(BuildState.SUPERSEDED) == ()


# --- give back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gathering", [False, True])
def test_a_build_given_back_by_an_operator_waits_in_its_place_and_blames_nobody(stage: Stage, gathering: bool) -> None:
    before = stage.job()
    attempt = stage.claim(before, stage.builder("bob"))
    with stage.acting("anna"):
        if gathering:
            stage.queue.gathering(attempt.id)
        job = stage.builds.give_back(before.build, "the disk is full")
    assert (job.id, job.created, job.builder, job.state) == (before.id, before.created, None, BuildState.NEEDSBUILD)
    assert (job.cooling_until, job.given_back, job.excluded) == (None, 0, ())
    closed = stage.queue.attempt(attempt.id)
    assert (closed.outcome, closed.text) == (Outcome.FENCED, "given back by an operator: the disk is full")
    assert stage.builders.get("bob").builderok
    assert stage.claim(job, "bob").builder == "bob"


def test_a_build_given_back_may_be_kept_off_its_builder(stage: Stage) -> None:
    job = stage.job()
    stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        (excluded,) = stage.builds.give_back(job.build, exclude_seconds=3600).excluded
    assert excluded.builder == "bob"
    assert excluded.until - datetime.now(UTC) > timedelta(minutes=59)


def test_only_a_running_build_is_given_back(stage: Stage) -> None:
    job = stage.job()
    with pytest.raises(NotRunning, match="is NEEDSBUILD: no builder has it"), stage.acting("anna"):
        stage.builds.give_back(job.build)
    stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builds.cancel(job.build)
    with pytest.raises(ImpossibleMove, match="CANCELLING"), stage.acting("anna"):
        stage.builds.give_back(job.build)
    assert stage.builds.get(job.build).builder == "bob"


# --- scores and assignments -----------------------------------------------------------------------


def test_a_score_stays_with_the_job_through_its_attempts_and_goes_with_it(stage: Stage) -> None:
    build = stage.job().build
    with stage.acting("anna"):
        assert stage.builds.rescore(build, 5000).manual_score == 5000
    stage.claim(stage.builds.job(build), stage.builder("bob"))
    with stage.acting("anna"):
        assert stage.builds.give_back(build).manual_score == 5000
        stage.builds.cancel(build)
        assert stage.builds.retry(build).manual_score is None
        stage.builds.rescore(build, -5)
        assert stage.builds.rescore(build, None).manual_score is None


def test_only_the_builder_that_a_job_is_assigned_to_may_claim_it(stage: Stage) -> None:
    job = stage.job()
    for name in ("bob", "eve"):
        stage.builder(name)
    with stage.acting("anna"):
        stage.builders.change("eve", manual=True)
        assert stage.builds.assign(job.build, "eve").assigned == "eve"
    with stage.acting("queue"):
        (attempt,) = stage.queue.claim((Pick(job.id, "bob", 1), Pick(job.id, "eve", 1)), Limits(wall_seconds=60))
    assert attempt.builder == "eve"
    with stage.acting("anna"):
        assert stage.builds.give_back(job.build).assigned == "eve"
        assert stage.builds.assign(job.build, None).assigned is None
    assert stage.claim(job, "bob").builder == "bob"


def test_an_assignment_ends_with_its_builder_and_with_its_job(stage: Stage) -> None:
    job = stage.job()
    for name in ("bob", "eve"):
        stage.builder(name)
    with stage.acting("anna"):
        stage.builds.assign(job.build, "eve")
        stage.builders.remove("eve")
        assert stage.builds.job(job.build).assigned is None
        stage.builds.assign(job.build, "bob")
        stage.builds.cancel(job.build)
        assert stage.builds.retry(job.build).assigned is None


def test_a_job_that_is_gone_is_neither_scored_nor_assigned(stage: Stage) -> None:
    build = fail(stage)
    stage.builder("bob")
    with pytest.raises(NotQueued, match=f"CHROOTWAIT and not in the queue; `buildd-master build retry {build}`"):
        stage.builds.rescore(build, 1)
    with pytest.raises(NotQueued), stage.acting("anna"):
        stage.builds.assign(build, "bob")


def test_scores_out_of_range_and_builders_that_are_not_there_are_refused(stage: Stage) -> None:
    build = stage.job().build
    for score in (1_000_001, -1_000_001, 2**70):
        with pytest.raises(BadValue, match=str(abs(score))), stage.acting("anna"):
            stage.builds.rescore(build, score)
    with pytest.raises(UnknownBuilder, match="nobody"), stage.acting("anna"):
        stage.builds.assign(build, "nobody")


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, 999, 2**63 - 1, 2**63, -(2**63) - 1, 10**30])
def test_a_build_that_is_not_there_is_named_however_large_its_number(stage: Stage, number: int) -> None:
    stage.builder("bob")
    builds = stage.builds
    for ask in (
        builds.get,
        builds.job,
        builds.queue,
        builds.retry,
        builds.cancel,
        builds.give_back,
        lambda build: builds.rescore(build, 1),
        lambda build: builds.assign(build, "bob"),
        lambda build: builds.set_state(build, BuildState.CANCELLED),
    ):
        with pytest.raises(UnknownBuild, match=str(number)), stage.acting("anna"):
            ask(number)
    with pytest.raises(UnknownJob, match=str(number)):
        stage.queue.job(number)
    assert stage.queue.jobs([number]) == ()
    assert not stage.queue.remove(number)


def test_what_an_operator_says_why_stands_with_the_build_and_its_attempt(stage: Stage) -> None:
    waiting, running = stage.job("waiting"), stage.job("running")
    attempt = stage.claim(running, stage.builder("bob"))
    with stage.acting("anna", "wrong upload"):
        stage.builds.cancel(waiting.build, "wrong upload")
        stage.builds.set_state(running.build, BuildState.FAILEDTOBUILD, "wrong upload")
    for build in (waiting.build, running.build):
        assert stage.builds.get(build).why == "wrong upload"
        event = stage.events.story(f"build:{build}")[-1]
        assert (event.who, event.why) == ("anna", "wrong upload")
    assert stage.queue.attempt(attempt.id).text == "wrong upload"

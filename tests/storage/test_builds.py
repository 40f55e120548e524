"""Builds and what people may do to them.  On PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from storage.errors import (
    BadValue,
    BuildExists,
    ImpossibleMove,
    UnknownArchive,
    UnknownBuild,
    UnknownSeries,
    UnknownSource,
)
from storage.records import ArchivePurpose, BuildState, Outcome, Pocket
from storage.transitions import HELD, MOVES
from tests.fix_storage import Stage

ENDED = [state for state in BuildState if state.final]


def test_a_build_tells_what_it_is_for(stage: Stage) -> None:
    build = stage.build("foo", "cprov/ppa")
    assert (build.source, build.version, build.archive) == ("foo", "1.0-1", "cprov/ppa")
    assert (build.distroarchseries, build.architecture, build.family) == ("ubuntu/hoary/i386", "i386", "x86")
    assert (build.state, build.trusted, build.builder, build.started) == (BuildState.NEEDSBUILD, False, None, None)
    assert stage.builds.get(build.id) == build


def test_the_same_build_is_not_made_again(stage: Stage) -> None:
    build = stage.build()
    with pytest.raises(BuildExists, match=f"build {build.id}, NEEDSBUILD") as refused:
        stage.build()
    assert refused.value.build == build.id
    assert stage.build(archive="cprov/ppa").id != build.id


def test_a_person_may_ask_for_the_same_build_again(stage: Stage) -> None:
    first = stage.build()
    where = stage.series.named("ubuntu/hoary/i386")
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("anna"):
        source = stage.source()
        builds = [
            stage.builds.create(source, where.id, primary.id, Pocket.RELEASE, arch_indep=False, again=True)
            for _ in range(2)
        ]
    assert len({first.id, *(build.id for build in builds)}) == 3
    assert stage.builds.find(source, where.id, primary.id) == builds[-1]
    with pytest.raises(BuildExists) as refused:
        stage.build()
    assert refused.value.build == builds[-1].id


def test_what_was_never_built_may_be_asked_for_again(stage: Stage) -> None:
    where = stage.series.named("ubuntu/hoary/i386")
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("anna"):
        stage.builds.create(stage.source(), where.id, primary.id, Pocket.RELEASE, arch_indep=False, again=True)
    with pytest.raises(BuildExists):
        stage.build()


def test_what_a_build_needs_must_exist(stage: Stage) -> None:
    where = stage.series.named("ubuntu/hoary/i386")
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("cli"):
        source = stage.source()
    for error, wanted in (
        (UnknownSource, (999, where.id, primary.id)),
        (UnknownSeries, (source, 999, primary.id)),
        (UnknownArchive, (source, where.id, 999)),
    ):
        with pytest.raises(error, match="999"), stage.acting("cli"):
            stage.builds.create(*wanted, Pocket.RELEASE, arch_indep=False)
    assert stage.builds.list() == ()


def test_series_and_archive_must_be_of_one_distribution(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.series.add("debian", "sarge", {"i386": "x86"}, nominated_archindep="i386")
        other = stage.archives.add("primary", "debian", ArchivePurpose.PRIMARY)
        where = stage.series.named("ubuntu/hoary/i386")
        source = stage.source()
    with pytest.raises(BadValue, match="another distribution"), stage.acting("cli"):
        stage.builds.create(source, where.id, other.id, Pocket.RELEASE, arch_indep=False)


def test_builds_are_listed_newest_first_and_by_state(stage: Stage) -> None:
    builds = [stage.build(name) for name in ("a1", "b2", "c3")]
    with stage.acting("cli"):
        stage.builds.cancel(builds[1].id)
    assert [build.source for build in stage.builds.list()] == ["c3", "b2", "a1"]
    assert [build.source for build in stage.builds.list(limit=2)] == ["c3", "b2"]
    assert [build.source for build in stage.builds.list(BuildState.CANCELLED)] == ["b2"]


def test_queueing_twice_is_one_job(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("cli"):
        assert stage.builds.queue(job.build) == job


def test_a_waiting_build_is_cancelled_at_once(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("cli"):
        assert stage.builds.cancel(job.build) == BuildState.CANCELLED
    assert stage.queue.jobs() == ()
    with stage.acting("cli"):
        assert stage.builds.cancel(job.build) == BuildState.CANCELLED


def test_a_running_build_is_cancelled_by_way_of_cancelling(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("cli"):
        assert stage.builds.cancel(job.build) == BuildState.CANCELLING
    assert stage.queue.attempt(attempt.id).outcome is None
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.ABORTED, "", build_state=BuildState.CANCELLED, keep_job=False)
    assert stage.builds.get(job.build).state == BuildState.CANCELLED
    assert stage.queue.jobs() == ()


def test_a_fenced_attempt_of_a_build_being_cancelled_cancels_it(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("cli"):
        stage.builds.cancel(job.build)
    with stage.acting("queue"):
        stage.queue.fence(attempt.id, "did not abort in time")
    assert stage.builds.get(job.build).state == BuildState.CANCELLED
    assert stage.queue.jobs() == ()


def test_what_was_built_is_neither_cancelled_nor_tried_again(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    for move in (stage.builds.cancel, stage.builds.queue):
        with pytest.raises(ImpossibleMove, match="is FULLYBUILT and can't become") as refused, stage.acting("cli"):
            move(job.build)
        assert [event.subject for event in refused.value.story] == [f"build:{job.build}"] * 4


@pytest.mark.parametrize("state", [state for state in ENDED if state in MOVES[BuildState.BUILDING]])
def test_a_verdict_on_a_running_build_fences_its_attempt_and_removes_its_job(stage: Stage, state: BuildState) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        build = stage.builds.set_state(job.build, state)
    assert (build.state, build.builder) == (state, None)
    assert build.ended is not None
    closed = stage.queue.attempt(attempt.id)
    assert (closed.outcome, closed.text) == (Outcome.FENCED, f"the build was set to {state}")
    assert stage.queue.jobs() == ()
    assert stage.builders.get("bob").builderok
    assert stage.claim(stage.job("next"), "bob").builder == "bob"


def test_setting_a_running_build_back_to_waiting_keeps_its_job_and_place(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builds.set_state(job.build, BuildState.NEEDSBUILD)
    assert stage.queue.attempt(attempt.id).outcome == Outcome.FENCED
    assert (stage.queue.job(job.id).builder, stage.queue.job(job.id).created) == (None, job.created)


@pytest.mark.parametrize("state", sorted(HELD))
def test_nobody_sets_a_state_in_which_a_builder_must_hold_the_build(stage: Stage, state: BuildState) -> None:
    job = stage.job()
    with pytest.raises(ImpossibleMove), stage.acting("anna"):
        stage.builds.set_state(job.build, state)


@pytest.mark.parametrize("state", [state for state in ENDED if BuildState.NEEDSBUILD in MOVES[state]])
def test_every_build_that_ended_but_was_not_built_can_be_tried_again(stage: Stage, state: BuildState) -> None:
    job = stage.job()
    with stage.acting("anna"):
        if state == BuildState.FAILEDTOUPLOAD:
            attempt = stage.claim(job, stage.builder("bob"))
            stage.queue.record(attempt.id, Outcome.UNVERIFIED, "", build_state=state, keep_job=False)
        else:
            stage.builds.set_state(job.build, state)
        again = stage.builds.queue(job.build)
    build = stage.builds.get(job.build)
    assert (again.state, build.why, build.ended) == (BuildState.NEEDSBUILD, "", None)
    assert again.id > job.id


def test_a_build_that_is_not_there_is_named(stage: Stage) -> None:
    for ask in (stage.builds.get, stage.builds.cancel, stage.builds.queue):
        with pytest.raises(UnknownBuild, match="999"), stage.acting("cli"):
            ask(999)

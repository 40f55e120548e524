"""Builds of one source, many at once.  On PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from storage.database import repository
from storage.errors import (
    BadValue,
    BuildExists,
    ImpossibleMove,
    UnknownArchive,
    UnknownBuild,
    UnknownSeries,
    UnknownSource,
)
from storage.records import BuildState, Pocket
from tests.fix_storage import Farm, Stage


def wide(stage: Stage, many: int = 5) -> tuple[int, int, list[int]]:
    """Return source, archive, and so many architectures of series."""
    with stage.acting("stage"):
        source = stage.source()
        for number in range(many - 1):
            stage.series.add("ubuntu", f"s{number}", {"i386": "x86"}, nominated_archindep="i386")
    archive = stage.archives.get("ubuntu", "primary").id
    return source, archive, [one.id for one in stage.series.all()]


def test_builds_are_made_and_queued_in_the_order_given_however_many_one_statement_takes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_AT_ONCE", 2)
    source, archive, series = wide(stage)
    wanted = {one: number % 2 == 0 for number, one in enumerate(reversed(series))}
    with stage.acting("ann"):
        made = stage.making.create(
            source, archive, Pocket.RELEASE, wanted, tags=("gpu",), limits={"wall_seconds": 60, "processes": None}
        )
        stage.making.queue(made)
    builds = stage.making.builds(made)
    assert [one.id for one in builds] == list(made) == sorted(made)
    assert [one.arch_indep for one in builds] == list(wanted.values())
    assert {(one.tags, one.limits.wall_seconds, one.limits.processes) for one in builds} == {(("gpu",), 60, None)}
    assert [job.build for job in stage.queue.jobs()] == list(made)
    assert {number: one.id for number, one in stage.making.there(source, archive).items()} == dict(
        zip(wanted, made, strict=True)
    )


def test_all_jobs_of_a_source_that_counts_no_more_go_however_many_one_statement_takes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_AT_ONCE", 2)
    source, archive, series = wide(stage)
    with stage.acting("ann"):
        stage.making.queue(stage.making.create(source, archive, Pocket.RELEASE, dict.fromkeys(series, False)))
        jobs = [job.id for job in stage.queue.jobs()]
        assert stage.queue.supersede(jobs) == frozenset(jobs)
    assert stage.queue.jobs() == ()


def test_builds_that_can_not_be_made_are_refused(stage: Stage) -> None:
    source, archive, series = wide(stage, 2)
    with stage.acting("ann"):
        (other,) = stage.series.add("debian", "sarge", {"i386": "x86"}, nominated_archindep="i386")
        (first,) = stage.making.create(source, archive, Pocket.RELEASE, {series[0]: False})
    last = stage.events.last_id()
    for error, match, of, to, where in (
        (UnknownSource, "999", 999, archive, series[1]),
        (UnknownArchive, "999", source, 999, series[1]),
        (UnknownSeries, "999", source, archive, 999),
        (BadValue, "of another distribution", source, archive, other.id),
        (BuildExists, f"build {first}, NEEDSBUILD", source, archive, series[0]),
    ):
        with pytest.raises(error, match=match), stage.acting("ann"):
            stage.making.create(of, to, Pocket.RELEASE, {where: False})
    for more in ({"tags": ("Odd",)}, {"limits": {"wall_seconds": 0}}):
        with pytest.raises(BadValue), stage.acting("ann"):
            stage.making.create(source, archive, Pocket.RELEASE, {series[1]: False}, **more)
    assert stage.events.last_id() == last


def test_a_build_made_again_is_the_one_that_is_there(stage: Stage) -> None:
    source, archive, series = wide(stage, 1)
    with stage.acting("ann"):
        stage.making.create(source, archive, Pocket.RELEASE, {series[0]: False})
        (again,) = stage.making.create(source, archive, Pocket.RELEASE, {series[0]: False}, again=True)
        assert stage.making.there(source, archive)[series[0]].id == again
        (third,) = stage.making.create(source, archive, Pocket.RELEASE, {series[0]: False}, again=True)
    assert stage.making.there(source, archive)[series[0]].id == third


def test_of_many_builds_those_that_ended_are_tried_again_and_what_was_built_stops_all(stage: Stage) -> None:
    source, archive, series = wide(stage, 3)
    with stage.acting("ann"):
        made = stage.making.create(source, archive, Pocket.RELEASE, dict.fromkeys(series, False))
        stage.making.queue(made)
        stage.builds.cancel(made[1])
        stage.making.queue(made)
    assert [one.state for one in stage.making.builds(made)] == [BuildState.NEEDSBUILD] * 3
    assert sorted(job.build for job in stage.queue.jobs()) == list(made)
    with pytest.raises(UnknownBuild, match="999"), stage.acting("ann"):
        stage.making.queue([made[0], 999])
    assert stage.making.builds([999, made[2]]) == (stage.builds.get(made[2]),)


def test_what_was_built_is_not_queued(farm: Farm) -> None:
    source, archive, series = wide(farm, 1)
    with farm.acting("ann"):
        (made,) = farm.making.create(source, archive, Pocket.RELEASE, {series[0]: False})
    farm.sql("ALTER TABLE build DISABLE TRIGGER USER")
    farm.sql("UPDATE build SET state = 'FULLYBUILT', ended = now()")
    farm.sql("ALTER TABLE build ENABLE TRIGGER USER")
    with pytest.raises(ImpossibleMove, match="FULLYBUILT"), farm.acting("ann"):
        farm.making.queue([made])
    assert farm.queue.jobs() == ()


def test_other_tags_and_limits_of_many_builds(stage: Stage) -> None:
    source, archive, series = wide(stage, 3)
    with stage.acting("ann"):
        made = stage.making.create(source, archive, Pocket.RELEASE, dict.fromkeys(series, False), tags=("gpu",))
        stage.making.change(made[:2], {"wall_seconds": 60})
        stage.making.change(made[1:], {}, ("kvm", "big"))
        stage.making.change((), {"wall_seconds": 90}, ("none",))
    assert [(one.tags, one.limits.wall_seconds) for one in stage.making.builds(made)] == [
        (("gpu",), 60),
        (("big", "kvm"), 60),
        (("big", "kvm"), None),
    ]
    for limits, tags in (({"wall_seconds": -1}, None), ({}, ("A B",))):
        with pytest.raises(BadValue), stage.acting("ann"):
            stage.making.change(made, limits, tags)


def test_a_build_asks_for_tags_of_its_own(stage: Stage) -> None:
    source, archive, series = wide(stage, 1)
    with stage.acting("ann"):
        build = stage.builds.create(source, series[0], archive, Pocket.RELEASE, arch_indep=False, tags=("gpu", "big"))
    assert build.tags == ("big", "gpu")

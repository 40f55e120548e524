"""Looking ahead from a farm as it is: what is there, what comes, and what more builders would do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulation.run import run
from simulation.scenario.capacity import UNKNOWN, Added, KnownFarm, more, planned, with_added
from storage.records import Arrivals, BuildState, PastBuild
from tests.fix_queue import EPOCH, a_builder, a_job

KNOWN = KnownFarm(
    now=EPOCH + timedelta(hours=1),
    builders=(a_builder("ann", families=("arm64",), architectures=("arm64",)), a_builder("bob")),
    jobs=(),
    past=(),
    arrivals=(),
)


def test_what_runs_goes_on_and_what_waits_keeps_its_order() -> None:
    jobs = (
        a_job(1, source="low"),
        a_job(2, source="high", manual_score=9000),
        a_job(3, source="old", hours=-20.0),
        a_job(4, source="runs", builder="bob", buildstart=EPOCH, state=BuildState.BUILDING),
    )
    past = tuple(PastBuild("runs", "x86", trusted=True, seconds=seconds) for seconds in (7200.0, 7000.0, 7400.0))
    plan = planned(replace(KNOWN, jobs=jobs, past=past), seed=1, hours=4.0)
    by_score = sorted(plan.jobs, key=lambda job: -(job.score or 0))
    assert [job.source for job in by_score] == ["j4", "j2", "j3", "j1"]
    assert by_score[0].seconds == 3600.0, "an hour of two is over"
    assert by_score[1].seconds == 7200.0, "of its family the usual time is known"
    assert {job.at for job in plan.jobs} == {0.0}


def test_of_a_family_that_never_built_five_minutes_are_expected() -> None:
    (job,) = planned(replace(KNOWN, jobs=(a_job(1),)), seed=1, hours=1.0).jobs
    assert job.seconds == UNKNOWN


def test_what_comes_is_as_much_and_takes_as_long_as_lately() -> None:
    past = tuple(PastBuild(f"s{number}", "arm64", trusted=False, seconds=60.0 + number) for number in range(20))
    known = replace(KNOWN, past=past, arrivals=(Arrivals("arm64", trusted=False, builds=1400, hours=14 * 24.0),))
    plan = planned(known, seed=1, hours=48.0)
    assert len(plan.jobs) == pytest.approx(200, rel=0.25)
    assert {job.seconds for job in plan.jobs} <= {one.seconds for one in past}
    assert all(job.owner is not None and job.family == "arm64" for job in plan.jobs)
    assert plan.jobs == planned(known, seed=1, hours=48.0).jobs
    assert plan.jobs != planned(known, seed=2, hours=48.0).jobs


def test_builders_that_get_nothing_are_left_out() -> None:
    gone = (a_builder("eve", builderok=False), a_builder("kim", manual=True))
    plan = planned(replace(KNOWN, builders=KNOWN.builders + gone), seed=1, hours=1.0)
    assert [builder.name for builder in plan.builders] == ["ann", "bob"]


def test_added_builders_are_of_the_sides_that_the_work_asks_for() -> None:
    jobs = tuple(a_job(number, trusted=number % 4 == 0, owner="ann", source="foo") for number in range(1, 9))
    plan = planned(replace(KNOWN, jobs=jobs), seed=1, hours=1.0, added=(Added("x86", 4),))
    sides = [builder.trusted for builder in plan.builders if builder.name.startswith("added-")]
    assert sorted(sides) == [False, False, False, True]
    assert [one.trusted for one in more((Added("x86", 2, trusted=False),), plan.jobs)] == [False, False]
    twice = with_added(plan, (Added("x86", 4),))
    assert len({builder.name for builder in twice.builders}) == len(plan.builders) + 4


@pytest.mark.slow
def test_more_builders_shorten_the_waits_of_their_family_only() -> None:
    past = (
        PastBuild("foo", "arm64", trusted=True, seconds=1800.0),
        PastBuild("foo", "x86", trusted=True, seconds=1800.0),
    )
    arrivals = tuple(Arrivals(family, trusted=True, builds=100, hours=30.0) for family in ("arm64", "x86"))
    known = replace(KNOWN, past=past, arrivals=arrivals)
    now = run(planned(known, seed=5, hours=30.0)).summary.families
    then = run(planned(known, seed=5, hours=30.0, added=(Added("arm64", 3, trusted=True),))).summary.families
    assert now["arm64"].busy > 0.8
    assert then["arm64"].p99 < now["arm64"].p99 / 10
    assert then["x86"] == now["x86"]

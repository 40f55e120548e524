"""The verbs of an operator on a farm that runs, multi-process, with slaves on sockets: what each of them sets off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.main import run
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from storage.check import check
from storage.farm import FarmStates
from storage.records import BuildState, Job, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

BUILDERS = ("bob", "eve")


class Operator:
    """Somebody with a command line."""

    def __init__(self, farm: FarmUnderTest) -> None:
        self.farm = farm

    def __call__(self, *arguments: object) -> None:
        """Run a command, which must do what it is told."""
        farm = ("--database", self.farm.database, "--state-directory", str(self.farm.settings.state_directory))
        assert run([*farm, *map(str, arguments)]) == 0


@pytest.fixture(scope="module")
def running_farm(shared_farm: FarmUnderTest) -> Iterator[FarmUnderTest]:
    """A farm of two builders whose builds go on until they are told to end."""
    with SlaveHost() as host:
        shared_farm.lay_out()
        for name in BUILDERS:
            slave = host.add(name, Script(conducts=(Conduct(hangs=True),)))
            shared_farm.builders.add(name, slave.url, ["x86"], trusted=True, manual=name == "eve")
        shared_farm.start()
        for name in BUILDERS:
            shared_farm.wait_runtime(name, "IDLE")
        yield shared_farm


@pytest.fixture
def farm(running_farm: FarmUnderTest) -> Iterator[FarmUnderTest]:
    """The farm with bob idle, eve idle and in manual mode, and an empty queue."""
    yield running_farm
    FarmStates(running_farm.conn).resume()
    running_farm.builders.release("bob")
    for job in running_farm.queue.jobs():
        running_farm.builds.cancel(job.build)
    running_farm.wait_until(lambda: not running_farm.queue.jobs(), "the queue is empty")
    running_farm.builders.change("eve", manual=True)
    for name in BUILDERS:
        running_farm.wait_runtime(name, "IDLE")
    assert all(builder.builderok for builder in running_farm.builders.all())  # whatever was done: nobody is blamed
    assert [one for one in check(running_farm.conn, running_farm.librarian) if one.number != 4] == []


@pytest.fixture
def operator(farm: FarmUnderTest) -> Operator:
    """Give commands to the farm."""
    return Operator(farm)


def building(farm: FarmUnderTest, builder: str = "bob") -> Job:
    """Queue a build, and wait until `builder` builds it."""
    job = farm.queue_build()
    farm.wait_held(job.id, builder)
    farm.wait_runtime(builder, "BUILDING")
    return job


def outcomes(farm: FarmUnderTest, build: int) -> list[tuple[str, Outcome | None]]:
    return [(one.builder, one.outcome) for one in farm.builds.attempts(build)]


def wait_passed_over(farm: FarmUnderTest, job: Job, builder: str) -> None:
    """Wait until the queue actor knows the job, and a builder that is ready, and lets both wait."""

    def so() -> bool:
        said = farm.actor("queue")
        facts = dict(said.state) if said is not None else {}
        return builder in facts["ready"] and facts["waiting"] == "x86 1"

    farm.wait_until(so, f"{builder} is ready, and job {job.id} waits")
    assert farm.queue.job(job.id).builder is None


def test_cancelling_a_running_build_frees_its_builder_for_the_next(farm: FarmUnderTest, operator: Operator) -> None:
    first = building(farm)
    second = farm.queue_build()
    operator("build", "cancel", first.build, "--why", "wrong upload")
    farm.wait_build(first.build, BuildState.CANCELLED)
    assert outcomes(farm, first.build) == [("bob", Outcome.ABORTED)]
    farm.wait_held(second.id, "bob")


def test_a_build_given_back_goes_to_the_next_builder_in_its_place(farm: FarmUnderTest, operator: Operator) -> None:
    job = building(farm)
    later = farm.queue_build()
    operator("builder", "set", "eve", "--auto")
    farm.wait_held(later.id, "eve")
    operator("build", "give-back", job.build, "--exclude")
    farm.wait_until(lambda: outcomes(farm, job.build)[0] == ("bob", Outcome.FENCED), "bob's attempt is closed")
    operator("build", "cancel", later.build)
    given = farm.wait_held(job.id, "eve")
    assert given.created == job.created
    assert outcomes(farm, job.build) == [("bob", Outcome.FENCED), ("eve", None)]


def test_a_build_given_back_may_go_to_the_same_builder_again(farm: FarmUnderTest, operator: Operator) -> None:
    job = building(farm)
    operator("build", "give-back", job.build)
    farm.wait_until(lambda: outcomes(farm, job.build) == [("bob", Outcome.FENCED), ("bob", None)], "bob has it again")


def test_a_build_assigned_to_a_builder_in_manual_mode_goes_there_and_only_there(
    farm: FarmUnderTest, operator: Operator
) -> None:
    operator("farm", "pause", "--why", "let me look first")
    job = farm.queue_build()
    operator("build", "assign", job.build, "eve")
    operator("farm", "resume")
    farm.wait_held(job.id, "eve")
    farm.wait_runtime("eve", "BUILDING")
    operator("build", "give-back", job.build)
    farm.wait_until(lambda: outcomes(farm, job.build) == [("eve", Outcome.FENCED), ("eve", None)], "eve has it again")
    farm.wait_runtime("bob", "IDLE")


def test_a_build_assigned_to_a_builder_that_is_busy_waits_for_it_though_another_is_ready(
    farm: FarmUnderTest, operator: Operator
) -> None:
    operator("builder", "set", "eve", "--auto")
    operator("builder", "quarantine", "bob", "--minutes", "5", "--why", "test")
    first = building(farm, "eve")
    job = farm.queue_build()
    operator("build", "assign", job.build, "eve")
    operator("builder", "release", "bob")
    wait_passed_over(farm, job, "bob")
    operator("build", "assign", job.build, "--nobody")
    farm.wait_held(job.id, "bob")
    assert outcomes(farm, first.build) == [("eve", None)]


def test_another_score_changes_the_order(farm: FarmUnderTest, operator: Operator) -> None:
    first = building(farm)
    second, third = farm.queue_build(), farm.queue_build()
    operator("build", "rescore", third.build, 100000)
    operator("build", "cancel", first.build)
    farm.wait_held(third.id, "bob")
    assert farm.queue.job(second.id).builder is None
    operator("build", "rescore", third.build, "--default")
    operator("build", "cancel", third.build)
    farm.wait_held(second.id, "bob")


def test_a_paused_farm_gives_nothing_away_until_it_is_resumed(farm: FarmUnderTest, operator: Operator) -> None:
    operator("farm", "pause", "--why", "the mirror is being moved")
    job = farm.queue_build()
    wait_passed_over(farm, job, "bob")
    operator("farm", "resume")
    farm.wait_held(job.id, "bob")


def test_what_runs_goes_on_while_the_farm_is_paused(farm: FarmUnderTest, operator: Operator) -> None:
    job = building(farm)
    operator("farm", "pause", "--why", "the mirror is being moved")
    operator("build", "cancel", job.build)
    farm.wait_build(job.build, BuildState.CANCELLED)


def test_a_job_below_a_fence_waits_until_the_fence_is_gone(farm: FarmUnderTest, operator: Operator) -> None:
    operator("farm", "fence", 100000, "--family", "x86")
    job = farm.queue_build()
    wait_passed_over(farm, job, "bob")
    operator("farm", "fence", "--none", "--family", "x86")
    farm.wait_held(job.id, "bob")


def test_a_quarantined_builder_gets_nothing_until_it_is_released(farm: FarmUnderTest, operator: Operator) -> None:
    operator("builder", "quarantine", "bob", "--minutes", "5", "--why", "smells of smoke")
    job = farm.queue_build()
    wait_passed_over(farm, job, "bob")
    operator("builder", "release", "bob")
    farm.wait_held(job.id, "bob")


def test_a_verdict_on_a_running_build_frees_its_builder_and_the_build_can_be_retried(
    farm: FarmUnderTest, operator: Operator
) -> None:
    job = building(farm)
    operator("build", "set-state", job.build, "CHROOTWAIT", "--why", "the chroot is broken")
    assert outcomes(farm, job.build) == [("bob", Outcome.FENCED)]
    farm.wait_runtime("bob", "IDLE")
    operator("build", "retry", "--state", "CHROOTWAIT", "--archive", "ubuntu/primary")
    farm.wait_until(lambda: outcomes(farm, job.build)[1:] == [("bob", None)], "bob has it again")

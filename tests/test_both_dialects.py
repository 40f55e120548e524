"""Five slaves of ours and five of launchpad-buildd's in one farm: the queue does not know the difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.system.ports import free_port
from protocol.messages import WireOutcome
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Conduct, Script
from storage.check import check
from storage.records import Build, BuildState
from tests.fix_farm import FarmUnderTest
from tests.test_mixed_farm import run_check

JOBS = 100
CONDUCTS = (
    Conduct(seconds=0.2),
    Conduct(outcome=WireOutcome.PACKAGEFAIL),
    Conduct(log=b"a longer log\n" * 20_000),
    Conduct(outcome=WireOutcome.DEPFAIL, dependencies=("libnever-dev (>= 2)",)),
    Conduct(seconds=0.1),
)
ENDS = {BuildState.FULLYBUILT, BuildState.FAILEDTOBUILD, BuildState.MANUALDEPWAIT}


@pytest.fixture
def launchpad_slaves() -> Iterator[list[LaunchpadSlave]]:
    """Five that listen."""
    slaves = [LaunchpadSlave(f"theirs{number}", Script(conducts=CONDUCTS)) for number in range(5)]
    for slave in slaves:
        slave.start()
    yield slaves
    for slave in slaves:
        slave.stop()


@pytest.mark.slow
def test_a_farm_of_both_builds_a_hundred_jobs_and_every_invariant_holds(
    whole_farm: FarmUnderTest, slave_host: SlaveHost, launchpad_slaves: list[LaunchpadSlave]
) -> None:
    farm = whole_farm
    farm.lay_out()
    for number, theirs in enumerate(launchpad_slaves):
        ours = slave_host.add(f"ours{number}", Script(conducts=CONDUCTS))
        farm.builders.add(f"ours{number}", ours.url, ("x86",), trusted=number % 2 == 0)
        farm.builders.add(theirs.name, theirs.url, ("x86",), trusted=number % 2 == 0)
    jobs = [
        farm.queue_build(f"source{number}", archive="cprov/ppa" if number % 3 == 2 else "primary")
        for number in range(JOBS)
    ]
    farm.start(files_listen=f"127.0.0.1:{free_port()}")

    def unfinished() -> list[Build]:
        return [build for build in farm.builds.list(limit=2 * JOBS) if build.state not in ENDS]

    farm.wait_until(lambda: not unfinished(), "all builds have ended", seconds=120.0)
    builds = [farm.builds.get(job.build) for job in jobs]
    assert {build.state for build in builds} == ENDS
    built_by = {attempt.builder for build in builds for attempt in farm.builds.attempts(build.id)}
    assert built_by == {builder.name for builder in farm.builders.all()}
    for build in builds:
        (attempt,) = farm.builds.attempts(build.id)
        assert attempt.trusted == build.trusted
        assert (build.dependencies != ()) == (build.state is BuildState.MANUALDEPWAIT)
        assert (farm.builds.files(build.id) != ()) == (build.state is BuildState.FULLYBUILT)
        assert farm.builds.log(build.id) is not None
    assert all(builder.builderok for builder in farm.builders.all())
    assert check(farm.conn, farm.librarian) == ()
    checked = run_check(farm)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert farm.stop() == 0

"""A small farm works through a mixed queue, and every invariant of the farm holds at its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from protocol.messages import WireOutcome
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from storage.check import check
from storage.records import Build, BuildState, Outcome
from tests.fix_farm import PROJECT, FarmUnderTest

CONDUCTS = (
    Conduct(),
    Conduct(outcome=WireOutcome.PACKAGEFAIL, text="dpkg-buildpackage failed"),
    Conduct(),
    Conduct(outcome=WireOutcome.DEPFAIL, text="a dependency is missing", dependencies=("libnever-dev (>= 2)",)),
    Conduct(seconds=0.1),
    Conduct(outcome=WireOutcome.CHROOTFAIL, text="tar failed"),
    Conduct(outcome=WireOutcome.TIMEOUT, text="took longer than 8 h"),
    Conduct(),
)
ENDS = {
    BuildState.FULLYBUILT,
    BuildState.FAILEDTOBUILD,
    BuildState.MANUALDEPWAIT,
    BuildState.CHROOTWAIT,
}


def run_check(farm: FarmUnderTest) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "buildd_master", "check", "--json"],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "BUILDD_MASTER_STATE_DIRECTORY": str(farm.settings.state_directory),
            "BUILDD_MASTER_DATABASE": farm.database,
        },
    )


@pytest.mark.slow
def test_three_builders_of_two_families_build_thirty_mixed_jobs_and_every_invariant_holds(
    whole_farm: FarmUnderTest, slave_host: SlaveHost
) -> None:
    farm = whole_farm
    farm.lay_out()
    farm.series.add("ubuntu", "hoary", {"amd64": "amd64"}, nominated_archindep="i386")
    farm.set_chroot("ubuntu/hoary/amd64", farm.librarian.add_bytes(b"another base system").sha256)
    for name, architecture, family, trusted in (
        ("ann", "amd64", "amd64", True),
        ("bob", "i386", "x86", True),
        ("cat", "i386", "x86", False),
    ):
        slave = slave_host.add(name, Script(conducts=CONDUCTS), architectures=(architecture,))
        farm.builders.add(name, slave.url, (family,), trusted=trusted)
    farm.start()
    jobs = [
        farm.queue_build(
            f"source{number}",
            archive="cprov/ppa" if number % 3 == 2 else "primary",
            architecture="amd64" if number % 3 == 0 else "i386",
        )
        for number in range(30)
    ]

    def unfinished() -> list[Build]:
        return [build for build in farm.builds.list(limit=100) if build.state not in ENDS]

    farm.wait_until(lambda: not unfinished(), "all thirty builds have ended", seconds=60.0)
    builds = [farm.builds.get(job.build) for job in jobs]
    assert {build.state for build in builds} == ENDS
    for build in builds:
        *blamed, attempt = farm.builds.attempts(build.id)
        # a chroot that works on the other builder of the family: it was the builder, and the build is tried again
        assert {one.outcome for one in blamed} <= {Outcome.CHROOTFAIL}
        assert attempt.trusted == build.trusted == (attempt.builder != "cat")
        assert (attempt.builder == "ann") == (build.family == "amd64")
        assert (build.dependencies != ()) == (build.state is BuildState.MANUALDEPWAIT)
        assert (farm.builds.files(build.id) != ()) == (build.state is BuildState.FULLYBUILT)
        assert farm.builds.log(build.id) is not None
    assert farm.queue.jobs() == ()
    assert check(farm.conn, farm.librarian) == ()

    checked = run_check(farm)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # The same command sees what is wrong: a result that has lost a bit.
    full = next(build for build in builds if build.state is BuildState.FULLYBUILT)
    damaged = farm.librarian.path(farm.builds.files(full.id)[0].sha256)
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    checked = run_check(farm)
    assert checked.returncode == 1
    assert damaged.name in json.dumps(json.loads(checked.stdout))
    assert farm.stop() == 0

"""The whole product at once: real master, real slave, real chroot, driven by its own command line.

Source packages are tiny and need no network; everything else is as an operator has it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.packages import host_apt
from simulation.slaves.buildd.host import TOKEN
from storage.check import check
from storage.records import BuildState, Outcome
from tests.fix_farm import PROJECT, FarmUnderTest
from tests.fix_slaves import RealSlave
from tests.fix_sources import FOREVER, SLEEP_FOREVER, TRY_THE_NETWORK, MakeSource, SourcePackage

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is entered as root")]

PATIENCE = 120.0  #: seconds for a build in a real chroot on a busy machine


@dataclass
class RealFarm:
    """A farm with one real slave, and the command line of its operator."""

    farm: FarmUnderTest
    slave: RealSlave

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `buildd-master` command."""
        return subprocess.run(
            [sys.executable, "-m", "buildd_master", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "BUILDD_MASTER_STATE_DIRECTORY": str(self.farm.settings.state_directory),
                "BUILDD_MASTER_DATABASE": self.farm.database,
            },
        )

    def answer(self, *arguments: str) -> Any:
        """Run a command that succeeds, and return its JSON document."""
        ran = self.run(*arguments, "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def submit(self, package: SourcePackage) -> int:
        """Submit a source package and return the number of its build."""
        (build,) = self.answer("submit", str(package.dsc))["builds"]
        return int(build["id"])

    def log(self, build: int) -> str:
        """Return the log of a build that has ended."""
        ran = self.run("build", "log", str(build))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture
def real_farm(whole_farm: FarmUnderTest, offline_chroot: Path, tmp_path: Path) -> Iterator[RealFarm]:
    """A farm that runs, with the builder `bob` on a real slave and a chroot of this machine's architecture."""
    architecture = host_apt.architecture()
    place = tmp_path / "slave"
    place.mkdir()
    slave = RealSlave(place, TOKEN, "--backend", "chroot")
    slave.start()
    real = RealFarm(whole_farm, slave)
    whole_farm.start()
    try:
        real.answer("series", "add", "debian/bookworm", "--arch", architecture)
        real.answer("chroot", "add", f"debian/bookworm/{architecture}", str(offline_chroot))
        family = whole_farm.series.family_of(architecture)
        real.answer("builder", "add", "bob", f"buildd://127.0.0.1:{slave.port}", "--family", family, "--trusted")
        yield real
    finally:
        slave.end(signal.SIGTERM)


def processes_with(words: str) -> list[str]:
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if words in command]


def mounts_below(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def test_a_source_package_goes_in_and_its_deb_comes_out_of_the_librarian(
    real_farm: RealFarm, source_package: MakeSource, tmp_path: Path
) -> None:
    package = source_package(name="tiny", version="1.0", relations="Build-Depends: curious-dep (>= 1)")
    out = tmp_path / "out"
    ran = real_farm.run("submit", str(package.dsc), "--wait", "--output", str(out))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FULLYBUILT" in ran.stdout + ran.stderr
    deb = out / "tiny_1.0_all.deb"
    fields = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Package", "Version"], check=True, capture_output=True, text=True
    )
    assert fields.stdout.split() == ["Package:", "tiny", "Version:", "1.0"]
    (build,) = real_farm.farm.builds.list()
    stored = {alias.filename: alias.sha256 for alias in real_farm.farm.builds.files(build.id)}
    assert set(stored) == {path.name for path in out.iterdir()}
    assert real_farm.farm.librarian.path(stored[deb.name]).read_bytes() == deb.read_bytes()
    assert real_farm.answer("check")["violations"] == []


def test_outcomes_end_as_they_should_and_say_why(real_farm: RealFarm, source_package: MakeSource) -> None:
    farm = real_farm.farm
    unmet = real_farm.submit(source_package(name="unmet", relations="Build-Depends: libnever-dev (>= 2), curious-dep"))
    failing = real_farm.submit(source_package(name="failing", build="echo here it breaks; false"))
    nosy = real_farm.submit(source_package(name="nosy", build=TRY_THE_NETWORK, relations="Build-Depends: curious-dep"))

    ended = farm.wait_build(unmet, BuildState.MANUALDEPWAIT, seconds=PATIENCE)
    assert any("libnever-dev" in relation for relation in ended.dependencies)
    assert not any("curious-dep" in relation for relation in ended.dependencies)
    assert "libnever-dev" in real_farm.run("build", "show", str(unmet)).stdout

    farm.wait_build(failing, BuildState.FAILEDTOBUILD, seconds=PATIENCE)
    assert "here it breaks" in real_farm.log(failing)

    # A build that tries every way to the network reaches nothing; nor did its dependency's maintainer script.
    farm.wait_build(nosy, BuildState.FULLYBUILT, seconds=PATIENCE)
    (deb,) = (alias for alias in farm.builds.files(nosy) if alias.filename.endswith(".deb"))
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(farm.librarian.path(deb.sha256))], stdout=subprocess.PIPE
    ) as content:
        found = subprocess.run(
            ["tar", "-xO", "./usr/share/nosy/findings"],
            stdin=content.stdout,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert "tried" in found
    assert "REACHED" not in found
    assert "RESOLVED" not in found
    assert str(Path("/proc/self/ns/net").readlink()) not in found

    broken = farm.librarian.add_bytes(b"this is no tarball")
    farm.set_chroot(f"debian/bookworm/{host_apt.architecture()}", broken.sha256)
    chrootless = real_farm.submit(source_package(name="chrootless"))
    farm.wait_build(chrootless, BuildState.CHROOTWAIT, seconds=PATIENCE)
    assert check(farm.conn, farm.librarian) == ()
    assert farm.builders.get("bob").builderok


def test_a_limit_of_the_archive_ends_a_build_and_everybody_is_told_whose_it_was(
    real_farm: RealFarm, source_package: MakeSource
) -> None:
    real_farm.answer("archive", "set", "debian/primary", "--processes", "40")
    bomb = f"perl -e 'fork for 1..7; {FOREVER}'"  # 128 of them at most
    build = real_farm.submit(source_package(name="bomb", build=bomb))
    real_farm.farm.wait_build(build, BuildState.FAILEDTOBUILD, seconds=PATIENCE)
    told = "the build ran more than 40 processes and threads at once (limit: archive); killed in BUILD"
    shown = real_farm.run("build", "show", str(build)).stdout
    assert told in shown
    assert "processes 40 (of the archive)" in shown
    assert told in real_farm.log(build)
    assert processes_with(FOREVER) == []


def test_a_cancelled_build_leaves_no_process_and_no_mount(real_farm: RealFarm, source_package: MakeSource) -> None:
    farm = real_farm.farm
    build = real_farm.submit(source_package(name="sleeper", build=SLEEP_FOREVER))
    farm.wait_until(lambda: len(processes_with(FOREVER)) > 1, "the build sleeps", seconds=PATIENCE)
    assert real_farm.answer("build", "cancel", str(build))["builds"][0]["state"] in {"CANCELLING", "CANCELLED"}
    ended = farm.wait_build(build, BuildState.CANCELLED, seconds=PATIENCE)
    assert ended.builder is None
    assert farm.builds.attempts(build)[-1].outcome is Outcome.ABORTED
    farm.wait_runtime("bob", "IDLE", seconds=PATIENCE)
    assert processes_with(FOREVER) == []
    assert mounts_below(real_farm.slave.state_directory) == []
    assert check(farm.conn, farm.librarian) == ()

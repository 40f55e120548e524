"""Every kind of root: the real daemon builds on it, the base stays as it was unpacked, and a kill -9 leaves no mount."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.chroots.launchpad import Ids, reshape
from cli.packages import host_apt
from protocol.messages import Build, WireOutcome
from slave.disk import roots
from slave.disk.roots import Kind
from slave.isolation import leftovers
from tests.fix_slaves import RealSlave, SlaveUnderContract
from tests.fix_sources import SLEEP_FOREVER, MakeSource
from tests.slave.building.test_chroot_builds import build, start_sleeping, tarball
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is entered as root")]

LITTLE = "MemAvailable: 3000000 kB\n"
SCARCE = "MemAvailable: 4200000 kB\n"  #: just enough for a tmpfs of the least size
TOKEN = "a-token-of-tests"


class ConfinedSlave(RealSlave):
    """The real slave on a machine with that much memory, whose state directory may be on a file system of its own."""

    def confine(self, meminfo: str) -> None:
        """Have it see another /proc/meminfo."""
        path = self.token_file.with_name("meminfo")
        path.write_text(meminfo)
        script = 'mount --bind "$1" /proc/meminfo; shift; exec "$@"'
        self.prefix = ("unshare", "--mount", "sh", "-euc", script, "sh", str(path))


@contextmanager
def confined(directory: Path, chroot: Path, meminfo: str) -> Iterator[Confined]:
    """Run a slave in `directory`."""
    slave = ConfinedSlave(directory, TOKEN, "--backend", "chroot", "--architecture", host_apt.architecture())
    slave.confine(meminfo)
    slave.start()
    try:
        under = SlaveUnderContract("real", slave.port, TOKEN, chroot.read_bytes(), {}, slave.restart)
        yield Confined(slave, under, chroot)
    finally:
        slave.end(signal.SIGTERM)


@dataclass
class Confined:
    """A slave, and what it builds with."""

    slave: ConfinedSlave
    under: SlaveUnderContract = field(repr=False)  # it holds the whole tarball
    chroot: Path

    @property
    def base(self) -> Path:
        """Where the chroot is kept unpacked."""
        return self.slave.state_directory / "bases" / hashlib.sha256(self.chroot.read_bytes()).hexdigest()

    def chosen(self) -> str:
        """Return what it said of its choice."""
        lines = [line for line in self.slave.errors.read_text().splitlines() if "the root of a build: " in line]
        return lines[-1]

    def base_is_as_unpacked(self) -> bool:
        """Compare with the tarball: content, owners, modes, times, and nothing beside it."""
        root = self.base / "root"
        compared = subprocess.run(
            [
                "tar",
                "--compare",
                f"--file={self.chroot}",
                f"--directory={root}",
                "--numeric-owner",
                "--exclude=./dev/*",
            ],
            check=False,
            capture_output=True,
        )
        listed = subprocess.run(["tar", "--list", f"--file={self.chroot}"], check=True, capture_output=True, text=True)
        unpacked = {name.removeprefix("./").rstrip("/") for name in listed.stdout.splitlines()}
        there = {str(path.relative_to(root)) for path in root.rglob("*")}
        return compared.stdout == b"" and there <= unpacked


@contextmanager
def overlay_at(directory: Path, under: Path) -> Iterator[None]:
    """Mount an overlay there: no other one has its upper layer on that."""
    for name in ("below", "upper", "work"):
        (under / name).mkdir(parents=True)
    options = f"lowerdir={under / 'below'},upperdir={under / 'upper'},workdir={under / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture(scope="module", params=list(Kind))
def confined_slave(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, offline_chroot: Path
) -> Iterator[tuple[Kind, Confined]]:
    """A slave for each kind of root, on a machine that makes it choose that one."""
    directory = tmp_path_factory.mktemp("confined")
    if request.param is Kind.MEMORY:
        with confined(directory, offline_chroot, SCARCE) as slave:
            yield request.param, slave
    elif request.param is Kind.DISK:
        with confined(directory, offline_chroot, LITTLE) as slave:
            yield request.param, slave
    else:
        with (
            overlay_at(directory, tmp_path_factory.mktemp("layers")),
            confined(directory, offline_chroot, LITTLE) as slave,
        ):
            yield request.param, slave


def mounted_anywhere(words: str) -> list[str]:
    """Return mounts with `words` in them, of any process of this machine."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines = (entry / "mountinfo").read_text().splitlines()
            except OSError:
                continue
            found += [f"{entry.name}: {line}" for line in lines if words in line]
    return found


def test_the_choice_is_made_and_told_at_the_start_and_in_the_log(
    confined_slave: tuple[Kind, Confined], source_package: MakeSource
) -> None:
    kind, slave = confined_slave
    slave.under.be_idle()
    assert f"the root of a build: {kind}: " in slave.chosen()
    if kind is not Kind.MEMORY:
        assert "2.9 GiB of memory are available" in slave.chosen()
    done = build(slave.under, source_package(build="umask; stat -c %a / > findings; ls / >> findings"))
    assert done.status.outcome is WireOutcome.OK, done.log
    assert f"buildd-slave: root: {kind}: " in done.log


def test_builds_share_nothing_and_the_base_stays_as_it_was_unpacked(
    confined_slave: tuple[Kind, Confined], source_package: MakeSource, tmp_path: Path
) -> None:
    kind, slave = confined_slave
    slave.under.be_idle()
    leave = "echo here > /tmp/left; echo here > /var/tmp/left; cp /var/lib/curious-dep/findings findings"
    first = build(slave.under, source_package(build=leave, relations="Build-Depends: curious-dep"))
    assert first.status.outcome is WireOutcome.OK, first.log
    assert first.package_file(tmp_path, "usr/share/tiny/findings")
    slave.under.be_idle()
    look = "ls /tmp /var/tmp /build /var/lib > findings; dpkg-query -W curious-dep >> findings 2>&1 || :"
    second = build(slave.under, source_package(build=look))
    assert second.status.outcome is WireOutcome.OK, second.log
    found = second.package_file(tmp_path, "usr/share/tiny/findings")
    assert "left" not in found
    assert "no packages found matching curious-dep" in found
    assert ("was unpacked in" in second.log) is False, "once was enough"
    if kind is Kind.UNPACK:
        assert list((slave.slave.state_directory / "bases").iterdir()) == []
    else:
        assert slave.base_is_as_unpacked()


def test_a_kill_9_in_mid_build_leaves_no_mount_in_any_namespace(
    confined_slave: tuple[Kind, Confined], source_package: MakeSource
) -> None:
    kind, slave = confined_slave
    slave.under.be_idle()
    master, attempt = start_sleeping(slave.under, source_package(build=SLEEP_FOREVER))
    with master:
        upper = f"upperdir=builds/{attempt}/"
        assert bool(mounted_anywhere(upper)) is (kind is not Kind.UNPACK), "it would be seen"
        slave.slave.end(signal.SIGKILL)
    wait_until(lambda: not mounted_anywhere(attempt))
    slave.slave.start()
    assert not leftovers.marked(slave.slave.state_directory)
    assert not list(slave.slave.state_directory.glob("builds/*/tree"))


def test_a_build_that_fills_its_memory_begins_anew_on_disk(
    tmp_path: Path, offline_chroot: Path, source_package: MakeSource
) -> None:
    with confined(tmp_path, offline_chroot, SCARCE) as slave:
        package = source_package(build="fallocate --length 3G large && rm large")
        done = build(slave.under, package)
        assert done.status.outcome is WireOutcome.OK, done.log
        assert f"root: {Kind.MEMORY}: at most 2.0 GiB" in done.log
        assert "begins anew, on disk" in done.log
        assert f"root: {Kind.DISK}: memory did not suffice" in done.log
        slave.under.be_idle()
        assert f"root: {Kind.MEMORY}" in build(slave.under, source_package()).log, "the next one has it again"


def many_files(directory: Path) -> Path:
    """Return a tarball that takes a while to unpack; it is no chroot."""
    content = tarball(**{f"file-{number}": "content" for number in range(20_000)})
    path = directory / "many.tar"
    path.write_bytes(content)
    return path


def test_a_base_half_made_by_a_killed_slave_is_made_anew(tmp_path: Path, source_package: MakeSource) -> None:
    with confined(tmp_path, many_files(tmp_path), LITTLE) as slave:
        slave.under.sources["it"] = source_package()
        with slave.under.master() as master:
            slave.under.push_all(master, "it")
            attempt, *rest = slave.under.order("it")
            master.ask(Build, attempt, *rest)
            part = slave.base.with_suffix(".part")
            wait_until((part / "root" / "file-0").exists)
            slave.slave.end(signal.SIGKILL)
        assert part.exists(), "it was caught in the middle"
        assert not slave.base.exists()
        slave.slave.start()
        assert not part.exists()
        slave.under.be_idle()
        assert "was unpacked in" in build(slave.under, source_package()).log
        assert slave.base_is_as_unpacked()


def test_a_base_goes_when_its_tarball_leaves_the_cache(tmp_path: Path, source_package: MakeSource) -> None:
    (tmp_path / "small.tar").write_bytes(tarball(README="hello"))
    with confined(tmp_path, tmp_path / "small.tar", LITTLE) as slave:
        build(slave.under, source_package())
        assert slave.base.exists()
        slave.slave.end(signal.SIGTERM)
        (slave.slave.state_directory / "cache" / "files" / slave.base.name).unlink()
        slave.slave.start()
        assert not slave.base.exists()


def test_anybody_may_ask_what_would_be_chosen_and_nothing_is_left(tmp_path: Path) -> None:
    choice = asyncio.run(roots.choose(tmp_path / "state"))
    assert str(choice).startswith(f"{choice.kind}: ")
    assert choice.kind is not Kind.UNPACK, choice
    assert list((tmp_path / "state" / "bases").iterdir()) == []
    assert not mounted_anywhere(str(tmp_path))


@pytest.mark.parametrize("chroot_slave_process", ["userns"], indirect=True)
def test_builds_of_an_ordinary_user_lie_over_a_base_as_well_and_share_nothing(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource, tmp_path: Path
) -> None:
    kind = Kind.MEMORY if roots.memory_for_a_build()[0] else Kind.DISK
    leave = "echo here > /tmp/left; cp /var/lib/curious-dep/findings findings"
    first = build(chroot_slave, source_package(build=leave, relations="Build-Depends: curious-dep"))
    assert f"buildd-slave: root: {kind}: " in first.log
    assert first.package_file(tmp_path, "usr/share/tiny/findings")
    chroot_slave.be_idle()
    look = "ls /tmp /var/lib > findings; grep -h ' overlay ' /proc/self/mountinfo >> findings"
    second = build(chroot_slave, source_package(build=look))
    assert second.status.outcome is WireOutcome.OK, second.log
    assert "was unpacked in" not in second.log, "once was enough"
    found = second.package_file(tmp_path, "usr/share/tiny/findings")
    assert "left" not in found
    assert "curious-dep" not in found
    assert "userxattr" in found
    assert mounted_anywhere(str(chroot_slave_process.state_directory)) == []


def test_a_chroot_of_launchpad_buildds_shape_serves_our_slaves_as_well(
    tmp_path: Path, source_package: MakeSource, offline_chroot: Path
) -> None:
    shaped = tmp_path / "launchpad-buildd.tar.gz"
    reshape(offline_chroot, shaped, Ids(2001, 2501))
    (tmp_path / "slave").mkdir()
    with confined(tmp_path / "slave", shaped, LITTLE) as slave:
        done = build(slave.under, source_package(build="ls / /build > findings; id > ids"))
        assert done.status.outcome is WireOutcome.OK, done.log

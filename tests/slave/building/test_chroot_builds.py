"""The real daemon builds real (tiny) packages in a real chroot; nothing is taken on trust, nothing is left behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import socket
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protocol.messages import Abort, Accepted, Build, LogFrom, Phase, SlaveState, Status, WireOutcome
from slave.building.chroot import BUILDER_ID
from slave.core.machine import RESTARTED
from slave.isolation import leftovers
from tests.fix_chroot import IN_BOTH_BACKENDS
from tests.fix_slaves import ARCHITECTURE, RealSlave, SlaveUnderContract
from tests.fix_sources import FOREVER, SLEEP_FOREVER, TRY_THE_NETWORK, MakeSource, SourcePackage
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is entered as root")]


@dataclass
class Done:
    """One build, over."""

    status: Status
    log: str
    results: dict[str, bytes]

    def package_file(self, directory: Path, inside: str) -> str:
        """Return a file of the one built package."""
        (name,) = (name for name in self.results if name.endswith(".deb"))
        (directory / name).write_bytes(self.results[name])
        unpacked = directory / f"{name}.unpacked"
        subprocess.run(["dpkg-deb", "-x", str(directory / name), str(unpacked)], check=True)
        return (unpacked / inside).read_text()


def build(slave: SlaveUnderContract, package: SourcePackage, **args: Any) -> Done:
    """Have it built, fetch everything, and check that hashes and sizes are as announced."""
    slave.sources["it"] = package
    with slave.master() as master:
        slave.push_all(master, "it")
        attempt, *rest = slave.order("it", **args)
        answer = master.ask(Build, attempt, *rest)
        assert isinstance(answer, Accepted), answer
        master.say(LogFrom(attempt, 0))
        status = master.wait_state(SlaveState.WAITING)
        results = {file.name: master.fetch(attempt, file.name, file.size) for file in status.files}
        for file in status.files:
            assert hashlib.sha256(results[file.name]).hexdigest() == file.sha256
        wait_until_log(master, status.log_size)
        return Done(status, master.log.decode(errors="replace"), results)


def wait_until_log(master: Any, size: int) -> None:
    while len(master.log) < size:
        master.hear()


def processes(words: str) -> list[str]:
    """Return the command lines of all processes of this machine with `words` in them."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words in line:
                found.append(line)
    return found


def nothing_is_left(slave: RealSlave, words: str = FOREVER) -> bool:
    """Say whether no process, no mount and no tree of any build is there."""
    state = slave.state_directory
    trees = [*state.glob("builds/*/tree"), *state.glob("trash/*")]
    return not (processes(words) or leftovers.marked(state) or leftovers.mounts(state) or trees)


@IN_BOTH_BACKENDS
def test_a_package_is_built_by_an_unprivileged_user_and_dpkg_reads_the_result(
    chroot_slave: SlaveUnderContract, source_package: MakeSource, tmp_path: Path
) -> None:
    package = source_package(build="{ id -u; id -G; echo $HOME; echo $DEB_BUILD_OPTIONS; } > findings")
    done = build(chroot_slave, package)
    assert done.status.outcome is WireOutcome.OK, done.log
    assert {Path(name).suffix for name in done.results} == {".changes", ".deb", ".buildinfo"}
    (tmp_path / "tiny.deb").write_bytes(done.results["tiny_1.0_all.deb"])
    said = subprocess.run(
        ["dpkg-deb", "-f", str(tmp_path / "tiny.deb"), "Package", "Version"], check=True, capture_output=True, text=True
    ).stdout
    assert said.splitlines() == ["Package: tiny", "Version: 1.0"]
    found = done.package_file(tmp_path, "usr/share/tiny/findings").splitlines()
    assert found == [str(BUILDER_ID), str(BUILDER_ID), "/nonexistent", f"parallel={len(os.sched_getaffinity(0))}"]


@IN_BOTH_BACKENDS
def test_what_a_build_closes_to_everybody_else_is_collected_and_removed_all_the_same(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource
) -> None:
    closing = (
        "umask 077; mkdir -p ../closed/deep; touch ../closed/deep/file; chmod 0 ../closed/deep ../closed; chmod 700 .."
    )
    done = build(chroot_slave, source_package(build=closing))
    assert done.status.outcome is WireOutcome.OK, done.log
    assert "tiny_1.0_all.deb" in done.results
    chroot_slave.be_idle()
    wait_until(lambda: nothing_is_left(chroot_slave_process), "it is removed")


@pytest.mark.parametrize(
    ("made", "asked", "names"),
    [
        ({"architecture": "any"}, {"arch_indep": False}, {f"tiny_1.0_{ARCHITECTURE}.deb"}),
        ({"architecture": "all"}, {"architecture": "all"}, {"tiny_1.0_all.deb"}),
        ({"root": "binary-targets"}, {}, {"tiny_1.0_all.deb"}),
    ],
)
def test_what_was_asked_for_is_built(
    chroot_slave: SlaveUnderContract,
    source_package: MakeSource,
    made: dict[str, str],
    asked: dict[str, Any],
    names: set[str],
) -> None:
    done = build(chroot_slave, source_package(**made), **asked)
    assert done.status.outcome is WireOutcome.OK, done.log
    assert {name for name in done.results if name.endswith(".deb")} == names


def test_missing_build_dependencies_are_listed_as_the_source_names_them(
    chroot_slave: SlaveUnderContract, source_package: MakeSource
) -> None:
    relations = (
        "Build-Depends: curious-dep (>= 9) [amd64 arm64], nonesuch | gibtsnicht (<< 3), make, hungry-dep, loud-dep"
    )
    done = build(chroot_slave, source_package(relations=relations))
    assert done.status.outcome is WireOutcome.DEPFAIL, done.log
    assert done.status.dependencies == (
        "curious-dep (>= 9)",
        "nonesuch | gibtsnicht (<< 3)",
        "not-in-this-world (>= 2)",
    )


def test_a_failing_build_is_the_package_s_fault_and_its_log_says_why(
    chroot_slave: SlaveUnderContract, source_package: MakeSource
) -> None:
    done = build(chroot_slave, source_package(build="echo the reason is this; exit 3"))
    assert done.status.outcome is WireOutcome.PACKAGEFAIL
    assert "the reason is this" in done.log
    assert "debian/rules" in done.status.text
    assert done.results == {}


@IN_BOTH_BACKENDS
def test_a_failing_maintainer_script_is_nobody_else_s_fault(
    chroot_slave: SlaveUnderContract, source_package: MakeSource
) -> None:
    done = build(chroot_slave, source_package(relations="Build-Depends: broken-dep"))
    assert done.status.outcome is WireOutcome.PACKAGEFAIL
    assert "broken-dep" in done.status.text
    assert "this maintainer script fails" in done.log


@IN_BOTH_BACKENDS
def test_neither_build_nor_maintainer_scripts_reach_a_network_or_start_a_daemon(
    chroot_slave: SlaveUnderContract, source_package: MakeSource, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        reached = f"cd {tmp_path}; PORTS={port}; {TRY_THE_NETWORK}"
        subprocess.run(["sh", "-c", reached], check=True)
        assert "REACHED" in (tmp_path / "findings").read_text(), "the attempt itself is sound"
        listener.accept()[0].close()
        attempt = f"PORTS={port}; {TRY_THE_NETWORK}; cat /var/lib/curious-dep/findings >> findings"
        package = source_package(build=attempt, relations="Build-Depends: curious-dep, loud-dep")
        done = build(chroot_slave, package)
        assert done.status.outcome is WireOutcome.OK, done.log
        with pytest.raises(BlockingIOError):
            listener.accept()
    found = done.package_file(tmp_path, "usr/share/tiny/findings").splitlines()
    assert found.count("tried") == 2, "build and maintainer script"
    assert found.count("lo") == 2, "and they saw nothing but"
    assert set(found) & {"RESOLVED", "REACHED", "eth0"} == set()
    assert str(Path("/proc/self/ns/net").readlink()) not in found


@IN_BOTH_BACKENDS
def test_root_of_the_chroot_is_not_root_of_the_host(
    chroot_slave: SlaveUnderContract, source_package: MakeSource, tmp_path: Path
) -> None:
    package = source_package(build="cp /var/lib/nosy-dep/findings findings", relations="Build-Depends: nosy-dep")
    done = build(chroot_slave, package)
    assert done.status.outcome is WireOutcome.OK, done.log
    found = done.package_file(tmp_path, "usr/share/tiny/findings")
    assert found.startswith("0\n"), "the maintainer script was root"
    assert found.endswith("tried\n")
    for achievement in ("MADE-A-DEVICE", "MOUNTED", "REMOUNTED", "WROTE-A-SETTING"):
        assert achievement not in found
    root = next(line for line in found.splitlines() if line.startswith("root: "))
    assert "/archive" in root, "it got out of its chroot, and into the same one"


def pushed_chroot(slave: SlaveUnderContract, content: bytes) -> SlaveUnderContract:
    slave.chroot = content
    return slave


def tarball(*folders: str, **files: str) -> bytes:
    """Return a tarball with these folders and files."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(text)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return whole.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is no tarball at all" * 1000, "cannot be unpacked"),
        (tarball(README="hello"), "no usr/bin/apt-get"),
    ],
)
def test_a_chroot_that_is_none_is_the_chroot_s_fault(
    chroot_slave: SlaveUnderContract, source_package: MakeSource, content: bytes, words: str
) -> None:
    done = build(pushed_chroot(chroot_slave, content), source_package())
    assert done.status.outcome is WireOutcome.CHROOTFAIL
    assert words in done.status.text


def test_a_chroot_of_another_architecture_is_the_chroot_s_fault(
    chroot_slave: SlaveUnderContract, source_package: MakeSource
) -> None:
    done = build(chroot_slave, source_package(), architecture="s390x")
    assert done.status.outcome is WireOutcome.CHROOTFAIL
    assert done.status.text == f"the chroot is for {ARCHITECTURE}, the build for s390x"


#: the head of a program for s390x, which no emulator would start either
FOREIGN = "\x7fELF\2\2\1" + "\0" * 10 + "\2\0\x16" + "\0" * 44
PROGRAMS = ("apt-get", "dpkg", "dpkg-source", "dpkg-buildpackage", "make")
FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr/sbin")


@pytest.mark.parametrize(
    ("architecture", "outcome", "words"),
    [
        ("s390x", WireOutcome.BUILDERFAIL, "this machine can't run programs for s390x: run `apt-get install qemu-"),
        (ARCHITECTURE, WireOutcome.CHROOTFAIL, "nothing can be run in the chroot: Exec format error"),
    ],
)
def test_programs_that_can_not_be_run_blame_the_machine_only_if_they_are_foreign(
    chroot_slave: SlaveUnderContract, source_package: MakeSource, architecture: str, outcome: WireOutcome, words: str
) -> None:
    chroot = tarball(*FOLDERS, **{f"usr__bin__{name}": FOREIGN for name in PROGRAMS})
    done = build(pushed_chroot(chroot_slave, chroot), source_package(), architecture=architecture)
    assert done.status.outcome is outcome
    assert done.status.text.startswith(words)


def start_sleeping(slave: SlaveUnderContract, package: SourcePackage) -> tuple[Any, str]:
    """Have a build begin that never ends; return once all of its processes are there."""
    slave.sources["it"] = package
    master = slave.master()
    attempt = slave.start(master, "it")
    master.say(LogFrom(attempt, 0))
    while b"\nsleeping\n" not in master.log:
        master.hear()
    wait_until(lambda: len(processes(FOREVER)) >= 4, "the crowd")
    return master, attempt


@IN_BOTH_BACKENDS
def test_an_abort_kills_the_whole_tree_and_leaves_no_mount(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource
) -> None:
    master, attempt = start_sleeping(chroot_slave, source_package(build=SLEEP_FOREVER))
    with master:
        assert master.statuses[-1].phase is Phase.BUILD
        began = time.monotonic()
        assert isinstance(master.ask(Abort, attempt), Accepted)
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.ABORTED
        assert time.monotonic() - began < 5
        assert processes(FOREVER) == [], "all are dead before the master hears of it"
        assert leftovers.marked(chroot_slave_process.state_directory) == ()
    wait_until(lambda: nothing_is_left(chroot_slave_process))


@IN_BOTH_BACKENDS
def test_a_slave_killed_in_mid_build_comes_back_clean_and_says_what_happened(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource
) -> None:
    master, attempt = start_sleeping(chroot_slave, source_package(build=SLEEP_FOREVER))
    with master:
        log = master.log
        chroot_slave_process.end(signal.SIGKILL)
        wait_until(lambda: not processes(FOREVER), "the kernel has killed its build")
        chroot_slave_process.start()
    with chroot_slave.master() as master:
        status = master.statuses[-1]
        assert (status.state, status.attempt, status.outcome) == (SlaveState.WAITING, attempt, WireOutcome.BUILDERFAIL)
        assert status.text == RESTARTED
        master.say(LogFrom(attempt, 0))
        wait_until_log(master, status.log_size)
        assert master.log.startswith(log)
    wait_until(lambda: nothing_is_left(chroot_slave_process))


def test_what_a_killed_slave_left_running_and_mounted_is_gone_after_its_next_start(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave
) -> None:
    assert chroot_slave.port == chroot_slave_process.port
    state = chroot_slave_process.state_directory
    chroot_slave_process.end(signal.SIGKILL)
    mountpoint = state / "builds" / "left over"
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(mountpoint)], check=True)
    straggler = subprocess.Popen(
        ["setsid", "unshare", "--pid", "--fork", *FOREVER.split()], env=os.environ | {leftovers.MARKER: str(state)}
    )
    try:
        chroot_slave_process.start()
        assert straggler.wait(5) != 0
        wait_until(lambda: nothing_is_left(chroot_slave_process))
        assert not mountpoint.exists()
    finally:  # should the slave not have done it
        straggler.kill()
        subprocess.run(["umount", str(mountpoint)], check=False, capture_output=True)


@IN_BOTH_BACKENDS
def test_sigterm_ends_slave_and_build_within_five_seconds(
    chroot_slave: SlaveUnderContract, chroot_slave_process: RealSlave, source_package: MakeSource
) -> None:
    master, _ = start_sleeping(chroot_slave, source_package(build=SLEEP_FOREVER))
    with master:
        began = time.monotonic()
        chroot_slave_process.end(signal.SIGTERM)
        assert time.monotonic() - began < 5
    assert chroot_slave_process.process is not None
    assert chroot_slave_process.process.returncode == 0
    assert processes(FOREVER) == []
    assert leftovers.mounts(chroot_slave_process.state_directory) == ()
    chroot_slave_process.start()
    wait_until(lambda: nothing_is_left(chroot_slave_process))

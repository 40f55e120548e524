"""Which failure of which phase means which outcome; no process is run here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from protocol.messages import Phase, WireOutcome
from slave.building.backend import Step, Task
from slave.building.binarypackage import build
from slave.building.chroot import ChrootBuild
from slave.core.build_args import BinaryPackage
from slave.core.outcomes import Ending, packagefail
from slave.disk.build_log import BuildLog, LogTooLong
from slave.disk.roots import UNMEASURED, Roots
from slave.errors import SandboxBroken
from slave.isolation.limits import Allowance, LimitReached
from slave.isolation.sandbox import Command, Ran

DSC = "Source: tiny\nBuild-Depends: curious-dep (>= 9), hungry-dep | sated-dep\n"
UNMET = (
    "The following packages have unmet dependencies:\n"
    " builddeps:/build/tiny_1.0.dsc : Depends: curious-dep (>= 9) but 1.2 is to be installed\n"
    "                                 Depends: hungry-dep but it is not going to be installed\n"
    "E: Unable to correct problems, you have held broken packages.\n"
)
DEEPER = (
    "The following packages have unmet dependencies:\n"
    " hungry-dep : Depends: not-in-this-world (>= 2) but it is not installable\n"
)


@dataclass
class Scripted:
    """Stands in for the sandbox: the first script whose words are in the command line decides."""

    tree: Path
    scripts: dict[str, tuple[int, str]] = field(default_factory=dict)
    ran: list[Command] = field(default_factory=list)
    hostname: str = "builder"

    async def run(self, command: Command, output: Callable[[bytes], None]) -> Ran:
        self.ran.append(command)
        line = " ".join(command.argv)
        code, text = next((script for words, script in self.scripts.items() if words in line), (0, "amd64\n"))
        output(text.encode())
        return Ran(code, text)


def task_in(directory: Path, *, wall_seconds: int = 60, architecture: str = "amd64", arch_indep: bool = True) -> Task:
    dsc = directory / "cached"
    dsc.write_text(DSC)
    place = directory / "build"
    place.mkdir()
    return Task(
        args=BinaryPackage(
            "tiny_1.0.dsc", architecture, arch_indep, "bookworm", trusted=False, wall_seconds=wall_seconds
        ),
        chroot=directory / "no-such-tarball",
        files={"tiny_1.0.dsc": dsc},
        directory=place,
        state_directory=directory,
        log=BuildLog(place / "log", limit=1 << 20, grew=lambda _: None),
        roots=Roots(directory, UNMEASURED, lambda _: None, lambda: None),
        parallel=1,
    )


def ending_of(directory: Path, scripts: dict[str, tuple[int, str]], **wishes: object) -> tuple[Ending, Scripted]:
    """Run all steps behind UNPACK's first against the scripts."""
    task = task_in(directory, **wishes)  # type: ignore[arg-type]
    chroot = ChrootBuild(task)
    chroot.root.mkdir(parents=True)
    scripted = Scripted(task.tree, scripts)
    chroot.sandbox = scripted  # type: ignore[assignment]

    async def walk() -> Ending:
        for _, step in chroot.steps()[1:]:
            ending = await step()
            if ending is not None:
                return ending
        raise AssertionError

    return asyncio.run(walk()), scripted


@pytest.mark.parametrize(
    ("scripts", "outcome", "words"),
    [
        ({"print-architecture": (126, "cannot execute: Exec format error")}, WireOutcome.CHROOTFAIL, "Exec format"),
        ({"print-architecture": (0, "i386\n")}, WireOutcome.CHROOTFAIL, "for i386"),
        ({"update": (100, "E: The repository has no Release file.")}, WireOutcome.CHROOTFAIL, "no Release file"),
        ({"update": (100, "E: write (28: No space left on device)")}, WireOutcome.BUILDERFAIL, "No space"),
        ({"download-only build-dep": (100, "E: Failed to fetch x  404")}, WireOutcome.GIVENBACK, "404"),
        ({"download-only build-dep": (100, "E: You don't have enough free space")}, WireOutcome.BUILDERFAIL, "space"),
        ({"download-only build-dep": (100, "E: Problem parsing dependency 7")}, WireOutcome.PACKAGEFAIL, "parsing"),
        (
            {"download-only build-dep": (100, "E: dpkg was interrupted"), "check": (100, "E: Broken packages")},
            WireOutcome.CHROOTFAIL,
            "Broken packages",
        ),
        ({"download-only": (0, ""), "build-dep": (100, "dpkg: error processing x")}, WireOutcome.PACKAGEFAIL, "x"),
        ({"download-only": (0, ""), "build-dep": (100, "x: No space left on device")}, WireOutcome.BUILDERFAIL, "spac"),
        ({"dpkg-source": (25, "dpkg-source: error: bad checksum")}, WireOutcome.PACKAGEFAIL, "bad checksum"),
        ({"buildpackage": (2, "E: a test\ndpkg-buildpackage: error: make\nx")}, WireOutcome.PACKAGEFAIL, "2: make"),
        ({"buildpackage": (137, "Killed")}, WireOutcome.PACKAGEFAIL, "ended by signal 9"),
        ({}, WireOutcome.PACKAGEFAIL, "the directory of the results"),
    ],
)
def test_the_failing_phase_decides_the_outcome(
    tmp_path: Path, scripts: dict[str, tuple[int, str]], outcome: WireOutcome, words: str
) -> None:
    ending, _ = ending_of(tmp_path, scripts)
    assert (ending.outcome, words in ending.text) == (outcome, True), ending


@pytest.mark.parametrize("phase", ["download-only build-dep", "build-dep"])
def test_unmet_dependencies_are_depfail_with_the_deepest_reason_of_each(tmp_path: Path, phase: str) -> None:
    scripts = {"satisfy": (100, DEEPER), "download-only": (0, ""), phase: (100, UNMET)}
    if phase.startswith("download"):
        del scripts["download-only"]
    ending, _ = ending_of(tmp_path, scripts)
    assert ending.outcome is WireOutcome.DEPFAIL
    assert ending.dependencies == ("curious-dep (>= 9)", "not-in-this-world (>= 2)")


def test_where_apt_knows_no_deeper_reason_the_relation_itself_is_missing(tmp_path: Path) -> None:
    ending, _ = ending_of(tmp_path, {"satisfy": (100, UNMET), "build-dep": (100, UNMET)})
    assert ending.dependencies == ("curious-dep (>= 9)", "hungry-dep | sated-dep")


def test_only_update_and_download_have_a_network_and_only_the_build_is_unprivileged(tmp_path: Path) -> None:
    _, scripted = ending_of(tmp_path, {})
    for command in scripted.ran:
        line = " ".join(command.argv)
        assert command.network is (" update" in line or "--download-only" in line), line
        assert (command.user is not None) is line.startswith(("dpkg-source", "dpkg-buildpackage")), line
    assert sum(command.network for command in scripted.ran) == 3, "update, fakeroot, build-dep"


@pytest.mark.parametrize(
    ("wishes", "dependencies", "kind"),
    [
        ({"architecture": "all"}, "--indep-only", "-A"),
        ({"arch_indep": False}, "--arch-only", "-B"),
        ({"arch_indep": True}, "", "-b"),
    ],
)
def test_only_what_is_built_is_asked_for(
    tmp_path: Path, wishes: dict[str, object], dependencies: str, kind: str
) -> None:
    _, scripted = ending_of(tmp_path, {}, **wishes)
    lines = [" ".join(command.argv) for command in scripted.ran]
    asked = [line for line in lines if "build-dep" in line]
    assert all(("-only" in line.replace("--download-only", "")) is bool(dependencies) for line in asked)
    assert all(dependencies in line for line in asked)
    assert lines[-1].endswith(f"dpkg-buildpackage -us -uc {kind}")


# -- the walk ----------------------------------------------------------------------------------------------------------
def walked(task: Task, steps: dict[Phase, Callable[[], Awaitable[Ending | None]]]) -> tuple[Ending, list[Phase]]:
    class Stub:
        def __init__(self, task: Task) -> None:
            task.tree.mkdir()

        def steps(self) -> tuple[Step, ...]:
            return tuple(steps.items())

    phases: list[Phase] = []
    discarded: list[Path] = []
    ending = asyncio.run(build(Stub, task, entered=phases.append, discard=discarded.append))
    assert discarded == [task.tree]
    return ending, phases


async def go_on() -> Ending | None:
    return None


async def take_for_ever() -> Ending | None:
    await asyncio.Event().wait()
    return None


def raising(error: Exception) -> Callable[[], Awaitable[Ending | None]]:
    async def step() -> Ending | None:
        raise error

    return step


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [
        (Phase.UNPACK, WireOutcome.BUILDERFAIL),
        (Phase.UPDATE, WireOutcome.CHROOTFAIL),
        (Phase.FETCH_DEPS, WireOutcome.GIVENBACK),
        (Phase.INSTALL_DEPS, WireOutcome.TIMEOUT),
        (Phase.BUILD, WireOutcome.TIMEOUT),
    ],
)
def test_a_build_whose_time_is_up_is_killed_and_the_phase_says_whose_fault_it_is(
    tmp_path: Path, phase: Phase, outcome: WireOutcome
) -> None:
    ending, _ = walked(task_in(tmp_path, wall_seconds=0), {phase: take_for_ever})
    assert ending.outcome is outcome
    assert ending.text == f"the build took longer than 0 s (limit: settings); killed in {phase}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("silent_seconds", "the build printed nothing for 2 min 30 s (limit: build)"),
        ("memory_bytes", "the build used more than 512 MiB of memory (limit: archive)"),
        ("processes", "the build ran more than 99 processes and threads at once (limit: settings)"),
        ("file_bytes", "the build wrote a file larger than 1048577 bytes (limit: settings)"),
        ("disk_bytes", "the build took more than 3 GiB of disk (limit: settings)"),
    ],
)
def test_each_limit_has_its_own_words_and_the_phase_says_whose_fault_it_is(
    tmp_path: Path, name: str, words: str
) -> None:
    task = task_in(tmp_path)
    limits = {
        "silent_seconds": 150,
        "memory_bytes": 512 << 20,
        "processes": 99,
        "file_bytes": (1 << 20) + 1,
        "disk_bytes": 3 << 30,
        "limits_from": ("memory_bytes=archive", "silent_seconds=build"),
    }
    task = replace(task, args=replace(task.args, **limits))  # type: ignore[arg-type]
    own = WireOutcome.TIMEOUT if name == "silent_seconds" else WireOutcome.PACKAGEFAIL
    for phase, outcome in (
        (Phase.UNPACK, WireOutcome.BUILDERFAIL),
        (Phase.UPDATE, WireOutcome.CHROOTFAIL),
        (Phase.FETCH_DEPS, WireOutcome.GIVENBACK),
        (Phase.INSTALL_DEPS, own),
        (Phase.BUILD, own),
    ):
        ending, _ = walked(task, {phase: raising(LimitReached(name))})
        assert (ending.outcome, ending.text) == (outcome, f"{words}; killed in {phase}")
        task.tree.rmdir()


@pytest.mark.parametrize(
    ("asked", "origin", "words"),
    [
        (1 << 20, (), "the build printed more than 1 MiB (limit: settings)"),
        (1 << 20, ("log_bytes=archive",), "the build printed more than 1 MiB (limit: archive)"),
        (2 << 20, ("log_bytes=archive",), "the build printed more than 1 MiB (limit: slave)"),
        (None, (), "the build printed more than 1 MiB (limit: slave)"),
    ],
)
def test_a_log_that_is_too_long_is_told_with_who_said_so(
    tmp_path: Path, asked: int | None, origin: tuple[str, ...], words: str
) -> None:
    task = task_in(tmp_path)
    task = replace(task, args=replace(task.args, log_bytes=asked, limits_from=origin))
    ending, _ = walked(task, {Phase.BUILD: raising(LogTooLong("more than 9 bytes"))})
    assert ending == packagefail(f"{words}; killed in BUILD")


@pytest.mark.parametrize(
    ("code", "output", "name"),
    [
        (153, "", "file_bytes"),
        (2, "make: *** [debian/rules:5: build] File size limit exceeded\n", "file_bytes"),
        (2, "tar: big: Cannot write: File too large\n", "file_bytes"),
        (2, "sh: 1: Cannot fork\n", "processes"),
        (2, "make: fork: Resource temporarily unavailable\n", "processes"),
        (2, "cc: error: pthread_create failed: Resource temporarily unavailable\n", "processes"),
        (2, "recv: Resource temporarily unavailable\n", None),
        (137, "Killed\n", None),
    ],
)
def test_what_the_kernel_refused_is_heard_from_the_command_s_words(code: int, output: str, name: str | None) -> None:
    limited = BinaryPackage("a.dsc", "all", True, "x", trusted=False, wall_seconds=1, file_bytes=1 << 20, processes=9)
    assert Allowance.of(limited).heard(code, output) == name
    free = replace(limited, file_bytes=None, processes=None)
    assert Allowance.of(free).heard(code, output) is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LogTooLong("more than 9 bytes"), WireOutcome.PACKAGEFAIL),
        (SandboxBroken("no namespaces"), WireOutcome.BUILDERFAIL),
        (OSError(28, "No space left on device"), WireOutcome.BUILDERFAIL),
    ],
)
def test_what_stops_a_step_becomes_an_outcome(tmp_path: Path, error: Exception, outcome: WireOutcome) -> None:
    ending, _ = walked(task_in(tmp_path), {Phase.BUILD: raising(error)})
    assert ending.outcome is outcome


def test_phases_are_told_in_order_and_cleanup_is_always_the_last(tmp_path: Path) -> None:
    async def fail() -> Ending | None:
        return packagefail("no")

    task = task_in(tmp_path)
    ending, phases = walked(task, {Phase.UNPACK: go_on, Phase.UPDATE: fail, Phase.BUILD: go_on})
    assert ending == packagefail("no")
    assert phases == [Phase.UNPACK, Phase.UPDATE, Phase.CLEANUP]
    assert "PACKAGEFAIL: no" in task.log.path.read_text()

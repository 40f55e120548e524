"""`.ci/bootstrap` on machines where something is missing: one line, the exact command, nothing half-done."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
ORDINARY = ("sh", "dirname", "mkdir", "cat", "cksum", "tr", "chmod", "rm", "sort", "comm", "tail", "dpkg-query")

Run = Callable[..., subprocess.CompletedProcess[str]]


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the folder of all commands that a machine has; an ordinary user is at the keyboard."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ORDINARY:
        (commands / name).symlink_to(str(shutil.which(name)))
    program(commands, "id", "echo 1000")
    program(commands, "apt-get", "echo apt-get was run; exit 1")
    return commands


@pytest.fixture
def bootstrap(machine: Path, tmp_path: Path) -> Run:
    """Return what runs a copy of the script on that machine."""
    checkout = tmp_path / "checkout"
    shutil.copytree(TOP / ".ci", checkout / ".ci")
    shutil.copy(TOP / "setup.cfg", checkout)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(checkout / ".ci" / "bootstrap"), *arguments]
        variables = {"PATH": str(machine), **environment}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=variables)

    return run


def test_an_ordinary_user_is_told_the_one_command_for_root(bootstrap: Run) -> None:
    done = bootstrap("test", "make")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "bootstrap: Debian packages are missing; as root, run: "
        "apt-get update && apt-get install make mmdebstrap zstd uidmap dpkg-dev iproute2 systemd python3 python3-venv\n"
    )


def test_a_python_without_venv_is_mended_by_its_debian_package(bootstrap: Run, machine: Path) -> None:
    for name in ("mmdebstrap", "zstd", "newuidmap", "dpkg-source"):
        program(machine, name, "exit 0")
    program(machine, "python3", "exit 1")
    assert bootstrap("run").stderr.endswith("as root, run: apt-get update && apt-get install python3-venv\n")


def test_a_python_that_is_too_old_is_refused_in_one_line(bootstrap: Run, machine: Path) -> None:
    for name in ("mmdebstrap", "zstd", "newuidmap", "dpkg-source"):
        program(machine, name, "exit 0")
    program(machine, "python3", 'case "$2" in *version_info*) exit 1 ;; esac; exit 0')
    done = bootstrap("run")
    assert done.returncode == 1
    assert done.stderr.startswith("bootstrap: python3 is older than Python 3.11; choose one: make PYTHON=")
    assert done.stderr.count("\n") == 1


def test_an_interpreter_that_is_not_there_is_named(bootstrap: Run, machine: Path) -> None:
    for name in ("mmdebstrap", "zstd", "newuidmap", "dpkg-source"):
        program(machine, name, "exit 0")
    assert bootstrap("run", PYTHON="/opt/none").stderr == "bootstrap: PYTHON=/opt/none: no such interpreter\n"


def test_what_apt_says_is_shown_where_it_fails(bootstrap: Run, machine: Path) -> None:
    program(machine, "id", "echo 0")
    done = bootstrap("run")
    assert done.returncode == 1
    assert "apt-get was run" in done.stderr
    assert "bootstrap: failed: apt_get update" in done.stderr


def test_a_machine_that_is_no_debian_is_told_what_is_needed(bootstrap: Run, machine: Path) -> None:
    (machine / "apt-get").unlink()
    assert "this is no Debian machine; please install: mmdebstrap" in bootstrap("run").stderr


def test_what_an_ordinary_user_lacks_besides_packages_is_in_the_same_command(bootstrap: Run, machine: Path) -> None:
    program(machine, "python3", 'case "$*" in *ordinary_user*) printf " && usermod him"; exit 1 ;; esac')
    assert bootstrap("run").stderr.endswith(
        "as root, run: apt-get update && apt-get install mmdebstrap zstd uidmap && usermod him\n"
    )


def test_an_ordinary_user_without_subordinate_ids_is_told_before_anything_is_made(
    bootstrap: Run, machine: Path, tmp_path: Path
) -> None:
    for name in ("mmdebstrap", "zstd", "newuidmap"):
        program(machine, name, "exit 0")
    program(
        machine,
        "python3",
        'case "$*" in *ordinary_user*) echo "him lacks; as root, run: usermod him" >&2; exit 1 ;; esac',
    )
    done = bootstrap("run")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "bootstrap: him lacks; as root, run: usermod him\n"
    assert not (tmp_path / "checkout" / ".state" / "venv").exists()

"""`buildd-master up`, as a person with one machine runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fix_ordinary_user import OrdinaryUser
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[3]


def descendants(pid: int) -> list[int]:
    """Return the pids of all processes below `pid`."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command_of(pid: int) -> str:
    """Return the words of a running process; empty if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


class OneMachine:
    """Command lines on one state directory, each a process of its own."""

    def __init__(self, state_directory: Path, user: OrdinaryUser | None = None) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUILDD_MASTER_")},
            "PYTHONPATH": str(PROJECT),
            "BUILDD_MASTER_STATE_DIRECTORY": str(state_directory),
        }
        self.up: subprocess.Popen[str] | None = None
        self._place = state_directory.parent
        self._user = user
        if user is not None:
            user.gets(self._place)

    def start(self, *arguments: str) -> str:
        """Start `up`, and return its first line once it is up."""
        self.up = subprocess.Popen(
            self._command("up", *arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.up.stdout is not None
        return self.up.stdout.readline()

    def stop(self) -> int:
        """Tell `up` to stop, and see that none of its processes is left."""
        assert self.up is not None
        assert self.up.stdout is not None
        family = descendants(self.up.pid)
        self.up.send_signal(signal.SIGTERM)
        code = self.up.wait(30)
        self.up.stdout.close()
        self.up = None
        assert [process for process in family if command_of(process)] == []
        return code

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments), env=self.environment, check=False, capture_output=True, text=True, timeout=60
        )

    def _command(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "buildd_master", *arguments]
        return command if self._user is None else self._user.command(*command, reach=self._place)


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneMachine]:
    """Give a machine without any farm, to ourselves or to a user whose fixture is named."""
    user = request.getfixturevalue(request.param) if getattr(request, "param", None) else None
    one = OneMachine(tmp_path_factory.mktemp("up") / "state", user)
    yield one
    if one.up is not None:
        one.stop()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="is about root, and about users whom root makes")
@pytest.mark.parametrize("machine", [None, "ordinary_user"], indirect=True)
def test_up_with_a_slave_is_a_farm_with_one_builder_and_leaves_nothing(machine: OneMachine) -> None:
    line = machine.start("--with-slave")
    assert line.startswith("READY builder ")
    (builder,) = json.loads(machine.run("builder", "list", "--json").stdout)["builders"]
    assert builder["url"] in line
    assert (builder["trusted"], builder["builderok"]) == (True, True)
    assert json.loads(machine.run("status", "--json").stdout)["master"]["running"] is True
    second = machine.run("up")
    assert second.returncode != 0
    assert "another master runs in" in second.stderr
    both = machine.run("up", "--with-slave")
    assert (both.returncode, both.stderr.count("\n")) == (1, 1)
    assert machine.stop() == 0
    refused = machine.run("status")
    assert refused.returncode == 3
    assert "start it with `buildd-master up`" in refused.stderr
    # The slave's URL stays, so that the builder's history does not fill up with changes.
    assert builder["url"] in machine.start("--with-slave")
    (again,) = json.loads(machine.run("builder", "list", "--json").stdout)["builders"]
    assert (again["url"], again["builderok"]) == (builder["url"], True)
    assert machine.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a slave that builds in chroots needs root")
def test_up_ends_when_its_slave_does(machine: OneMachine) -> None:
    machine.start("--with-slave")
    assert machine.up is not None
    (slave,) = [process for process in descendants(machine.up.pid) if "buildd_master.slave" in command_of(process)]
    os.kill(slave, signal.SIGKILL)
    assert machine.up.wait(30) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes users")
@pytest.mark.parametrize("machine", ["poor_user"], indirect=True)
def test_up_with_a_slave_says_what_an_ordinary_user_lacks_and_starts_nothing(machine: OneMachine) -> None:
    ran = machine.run("up", "--with-slave")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (3, "", 1)
    assert "has none; as root, run: usermod --add-subuids " in ran.stderr
    assert not Path(machine.environment["BUILDD_MASTER_STATE_DIRECTORY"]).exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a slave that builds in chroots needs root")
def test_up_that_is_killed_leaves_neither_master_nor_slave(machine: OneMachine) -> None:
    machine.start("--with-slave")
    assert machine.up is not None
    family = descendants(machine.up.pid)
    assert len(family) > 6
    assert machine.up.stdout is not None
    machine.up.stdout.close()
    machine.up.kill()
    machine.up.wait()
    wait_until(lambda: not any(map(command_of, family)), lambda: f"gone: {[*map(command_of, family)]}")
    machine.up = None

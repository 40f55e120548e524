"""`run_master.py`: starts, says so, stops, and says in one line why it can't."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from actors.run_file import RunningFarm, running_farm
from tests.fix_farm import PROJECT, session_processes

if TYPE_CHECKING:
    from tests.fix_farm import FarmUnderTest


def master_of(farm: FarmUnderTest) -> RunningFarm:
    running = running_farm(farm.settings.run_file)
    assert running is not None
    return running


def session_of(farm: FarmUnderTest) -> int:
    """The session that all actors are in."""
    return os.getsid(farm.pid("queue"))


def refused(**environment: str) -> str:
    """Run a master that can't start; return the one line that it says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUILDD_MASTER")}
    ended = subprocess.run(
        [sys.executable, str(PROJECT / "run_master.py")],
        env={**clean, "BUILDD_MASTER_USER": "", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "READY" not in ended.stdout
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_on_a_signal_and_leaves_no_process(whole_farm: FarmUnderTest, number: signal.Signals) -> None:
    whole_farm.lay_out()
    whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
    whole_farm.start()
    session = session_of(whole_farm)
    assert len(session_processes(session)) >= 6  # admin, logger, supervisor, queue, nursery, frog
    began = time.monotonic()
    assert whole_farm.stop(number) == 0
    assert time.monotonic() - began < 10
    assert session_processes(session) == []
    assert not whole_farm.settings.run_file.exists()
    assert "Traceback" not in whole_farm.log.read_text()


def test_a_hanging_actor_does_not_keep_it_from_stopping(whole_farm: FarmUnderTest) -> None:
    whole_farm.lay_out()
    whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
    whole_farm.start(stop_seconds=0.5)
    session = session_of(whole_farm)
    os.kill(whole_farm.pid("frog"), signal.SIGSTOP)
    assert whole_farm.stop() == 0
    assert session_processes(session) == []


def test_it_tells_systemd_when_it_is_ready_and_when_it_stops(
    whole_farm: FarmUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        whole_farm.start()
        assert systemd.recv(100) == b"READY=1"
        whole_farm.stop()
        assert systemd.recv(100) == b"STOPPING=1"


def test_when_it_is_killed_everything_dies_with_it_and_the_next_one_starts(whole_farm: FarmUnderTest) -> None:
    whole_farm.start()
    session = session_of(whole_farm)
    assert whole_farm.stop(signal.SIGKILL) == -signal.SIGKILL
    whole_farm.wait_until(lambda: not session_processes(session), "nothing is left")
    assert running_farm(whole_farm.settings.run_file) is None
    whole_farm.start()
    assert whole_farm.stop() == 0


@pytest.mark.parametrize("root", ["supervisor", "admin"])
def test_when_a_root_of_the_actors_dies_the_farm_starts_afresh_once(whole_farm: FarmUnderTest, root: str) -> None:
    whole_farm.start()
    assert whole_farm.process is not None
    assert whole_farm.process.stdout is not None
    for ready_again in (True, False):
        session = session_of(whole_farm)
        supervisor = whole_farm.pid("supervisor")
        admin = int((Path("/proc") / str(supervisor) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor if root == "supervisor" else admin, signal.SIGKILL)
        line = whole_farm.process.stdout.readline()
        assert line.startswith("READY") is ready_again
        assert session_processes(session) == []
    assert whole_farm.wait_exit() == 1


def test_a_taken_port_is_named(whole_farm: FarmUnderTest) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refused(
            BUILDD_MASTER_STATE_DIRECTORY=str(whole_farm.settings.state_directory),
            BUILDD_MASTER_DATABASE=whole_farm.database,
            BUILDD_MASTER_ADMIN_PORT=str(port),
        )
    assert f"port {port} on 127.0.0.1 is taken" in line


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    line = refused(
        BUILDD_MASTER_STATE_DIRECTORY=str(tmp_path / "state"),
        BUILDD_MASTER_DATABASE="postgresql://me:geheim@127.0.0.1:1/farm",
    )
    assert "127.0.0.1" in line
    assert "refused" in line
    assert "geheim" not in line


def test_a_database_without_our_tables_asks_for_migration(empty_database: str, tmp_path: Path) -> None:
    line = refused(BUILDD_MASTER_STATE_DIRECTORY=str(tmp_path / "state"), BUILDD_MASTER_DATABASE=empty_database)
    assert "buildd-master db migrate" in line


def test_a_second_master_on_the_same_database_is_refused(whole_farm: FarmUnderTest, tmp_path: Path) -> None:
    whole_farm.start()
    other = tmp_path / "other"
    line = refused(BUILDD_MASTER_STATE_DIRECTORY=str(other), BUILDD_MASTER_DATABASE=whole_farm.database)
    assert "another master" in line
    assert whole_farm.stop() == 0


def test_a_second_master_in_the_same_state_directory_is_refused_and_harms_nothing(whole_farm: FarmUnderTest) -> None:
    whole_farm.start()
    directory = whole_farm.settings.state_directory
    elsewhere = make_conninfo(whole_farm.database, dbname="template1")
    assert f"another master runs in {directory}" in refused(
        BUILDD_MASTER_STATE_DIRECTORY=str(directory), BUILDD_MASTER_DATABASE=elsewhere
    )
    assert "queue" in whole_farm.console("actors")  # the key file is still the running farm's
    assert whole_farm.stop() == 0


def test_a_bad_setting_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("wall_secods = 3\n")
    assert refused(BUILDD_MASTER_SETTINGS=str(file)) == f"buildd-master: wall_secods: no such setting ({file})"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_as_root_it_becomes_the_unprivileged_user_with_a_database_of_its_own_and_stops_both(tmp_path: Path) -> None:
    state = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "run_master.py"), "--state-directory", str(state)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY")
        assert (Path("/proc") / str(process.pid)).stat().st_uid == state.stat().st_uid != 0
        everybody = children_of(process.pid)
        assert len(everybody) >= 6
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert [pid for pid in everybody if (Path("/proc") / str(pid)).exists()] == []


def children_of(pid: int) -> list[int]:
    own = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [below for child in map(int, own) for below in (child, *children_of(child))]

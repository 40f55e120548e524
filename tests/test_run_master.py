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

import psutil
import psycopg
import pytest

from actors.master.head_start import CannotStart
from actors.master.run_file import running_farm
from actors.settings import Settings
from actors.wiring import Farm
from storage.database.embedded import Embedded
from tests.fix_farm import PROJECT, session_processes
from tests.fix_journal import NotifySocket
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


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


def test_it_says_ready_refuses_rivals_and_stops_without_leaving_a_process(
    whole_farm: FarmUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = whole_farm.settings.state_directory
    with NotifySocket(tmp_path / "notify") as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        whole_farm.lay_out()
        whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
        whole_farm.start()
        assert systemd.ready() == ["READY=1", "STATUS=1 builders"]
        monkeypatch.delenv("NOTIFY_SOCKET")
        session = session_of(whole_farm)
        assert len(session_processes(session)) >= 6  # admin, logger, supervisor, queue, nursery, frog

        with pytest.raises(CannotStart, match="another master works on the database"):
            Farm(Settings(state_directory=tmp_path / "other", database=whole_farm.database)).start()
        with pytest.raises(CannotStart, match=f"another master runs in {directory}"):
            Farm(Settings(state_directory=directory, database=whole_farm.database)).start()
        assert "frog" in whole_farm.console("actors")  # the rivals did no harm, not even to the key file

        began = time.monotonic()
        assert whole_farm.stop() == 0
        assert time.monotonic() - began < 10
        assert systemd.next() == ["STOPPING=1"]
    assert session_processes(session) == []
    assert not whole_farm.settings.run_file.exists()
    assert "Traceback" not in whole_farm.log.read_text()


@pytest.mark.slow
def test_a_hanging_actor_does_not_keep_it_from_stopping(whole_farm: FarmUnderTest) -> None:
    whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
    whole_farm.start(stop_seconds=0.5)
    session = session_of(whole_farm)
    os.kill(whole_farm.pid("frog"), signal.SIGSTOP)
    assert whole_farm.stop(signal.SIGINT) == 0
    assert session_processes(session) == []


def test_when_it_is_killed_all_die_also_those_that_hang(whole_farm: FarmUnderTest) -> None:
    whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
    whole_farm.start()
    session = session_of(whole_farm)
    for name in ("frog", "queue", "nursery-1"):
        os.kill(whole_farm.pid(name), signal.SIGSTOP)
    assert whole_farm.stop(signal.SIGKILL) == -signal.SIGKILL
    whole_farm.wait_until(lambda: not session_processes(session), "nothing is left")
    assert running_farm(whole_farm.settings.run_file) is None


@pytest.mark.slow
def test_when_a_root_of_the_actors_dies_it_starts_afresh_and_when_that_happens_too_often_it_gives_up_loudly(
    whole_farm: FarmUnderTest,
) -> None:
    whole_farm.start(fresh_starts=1)
    session = session_of(whole_farm)
    os.kill(whole_farm.pid("supervisor"), signal.SIGKILL)
    whole_farm.wait_ready()
    assert session_processes(session) == []

    session = session_of(whole_farm)
    os.kill(psutil.Process(whole_farm.pid("supervisor")).ppid(), signal.SIGKILL)  # Thespian's admin
    assert whole_farm.wait_exit() == 1
    assert session_processes(session) == []
    assert "died, 2 times in 300 s: the master gives up" in whole_farm.log.read_text()


@pytest.mark.slow
def test_a_root_that_dies_while_the_farm_starts_is_a_death_like_any_other(whole_farm: FarmUnderTest) -> None:
    whole_farm.builders.add("frog", "buildd://127.0.0.1:1", ["x86"])
    with whole_farm.conn.transaction():
        whole_farm.conn.execute("LOCK TABLE builder")  # the queue actor can't read who is registered: nobody is READY
        whole_farm.start(wait=False)
        assert whole_farm.process is not None
        master = psutil.Process(whole_farm.process.pid)

        def supervisors() -> list[psutil.Process]:
            return [one for one in master.children(recursive=True) if one.ppid() != master.pid and one.children()]

        whole_farm.wait_until(supervisors, "the supervisor has forked somebody")
        supervisors()[0].kill()
        whole_farm.wait_until(lambda: "started afresh" in whole_farm.log.read_text(), "it starts afresh")
    whole_farm.wait_ready()


def test_a_taken_port_is_named(whole_farm: FarmUnderTest) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} of 127.0.0.1 \\(address already in use"):
            Farm(whole_farm.settings.model_copy(update={"admin_port": port})).start()


def test_an_unreachable_database_is_named_in_one_line_without_its_password(tmp_path: Path) -> None:
    line = refused(
        BUILDD_MASTER_STATE_DIRECTORY=str(tmp_path / "state"),
        BUILDD_MASTER_DATABASE="postgresql://me:geheim@127.0.0.1:1/farm",
    )
    assert "127.0.0.1" in line
    assert "refused" in line
    assert "geheim" not in line


def test_a_database_without_our_tables_asks_for_migration(empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="buildd-master db migrate"):
        Farm(Settings(state_directory=tmp_path / "state", database=empty_database)).start()


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


@pytest.mark.slow
def test_an_embedded_database_that_is_killed_is_started_again_and_ends_with_the_master_however_that_ends(
    tmp_path: Path,
) -> None:
    state = tmp_path / "s"
    settings = Settings(state_directory=state)
    command = [sys.executable, str(PROJECT / "run_master.py"), "--state-directory", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("READY")
            server = Embedded(state / "postgres", user=settings.user)
            leader = int((state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(leader, signal.SIGKILL)
            wait_queue_listens(server, besides=leader)
            assert process.poll() is None
            wait_no_zombie_below(process.pid)
            below = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            _, said = process.communicate(timeout=15)
    assert psutil.wait_procs(below, timeout=15)[1] == []
    assert "the embedded database had ended and was started again" in said


def wait_queue_listens(server: Embedded, *, besides: int) -> None:
    """Wait until another server than `besides` answers, and the queue actor listens to it."""
    leader = server.directory / "data" / "postmaster.pid"

    def _listens() -> bool:
        if not server.running or int(leader.read_text().split()[0]) == besides:
            return False
        with psycopg.connect(server.dsn) as connection:
            names = connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()
        return ("queue (listens)",) in names

    wait_until(_listens, "there is a database, and the queue actor listens to it")


def wait_no_zombie_below(pid: int) -> None:
    """Wait until what the killed server left behind is buried."""
    below = psutil.Process(pid)
    wait_until(lambda: all(one.status() != psutil.STATUS_ZOMBIE for one in below.children()), "none is a zombie")


def test_the_embedded_database_never_runs_as_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    state = tmp_path / "s"
    with pytest.raises(CannotStart, match="never runs as root: set `user`"):
        Farm(Settings(state_directory=state, user="")).start()
    assert not (state / "postgres").exists()


def children_of(pid: int) -> list[int]:
    own = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [below for child in map(int, own) for below in (child, *children_of(child))]


def test_a_place_for_files_that_slaves_would_not_find_is_refused_at_the_start(whole_farm: FarmUnderTest) -> None:
    given = {
        "BUILDD_MASTER_STATE_DIRECTORY": str(whole_farm.settings.state_directory),
        "BUILDD_MASTER_DATABASE": whole_farm.database,
    }
    nowhere = "http://no-such-host.invalid:8219"
    said = refused(**given, BUILDD_MASTER_FILES_LISTEN="127.0.0.1:8219", BUILDD_MASTER_FILES_URL=nowhere)
    assert f"files_url = {nowhere}: slaves would not find it" in said
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        said = refused(**given, BUILDD_MASTER_FILES_LISTEN=taken)
    assert f"files_listen = {taken}: Address already in use" in said
    assert (whole_farm.settings.files_key_file.stat().st_mode & 0o777) == 0o600

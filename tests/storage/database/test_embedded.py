"""The embedded PostgreSQL: ours alone, also as root, gone when its starter is."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from host.unprivileged import FARM_USER
from storage.database.embedded import Embedded, EmbeddedDatabaseFailed

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

CHECKOUT = Path(__file__).parent.parent.parent.parent
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    server = Embedded(tmp_path_factory.mktemp("made") / "postgres", durable=False)
    server.start()
    server.stop()
    return server


@pytest.fixture
def made(_made: Embedded) -> Iterator[Embedded]:
    """Yield a server that was made, and ran, before: making one is what takes long."""
    data = _made.directory / "data"
    configuration = (data / "postgresql.conf").read_text()
    yield _made
    _made.stop()
    (data / "postgresql.conf").write_text(configuration)
    (data / "recovery.signal").unlink(missing_ok=True)


def test_a_new_server_answers_keeps_its_data_and_stops(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "postgres", durable=False)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.stop()
    assert not server.running
    try:
        with psycopg.connect(server.start()) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    finally:
        server.stop()


def test_a_server_that_still_stops_is_waited_for_only_at_last(made: Embedded) -> None:
    made.start()
    successor = Embedded(made.directory, durable=False)
    try:
        successor.launch()
        assert successor.pid is None
        made.stop()
        with psycopg.connect(successor.await_ready()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        pid = successor.pid
        successor.launch()
        assert successor.pid == pid
    finally:
        successor.stop()


@AS_ROOT
def test_roots_server_runs_as_the_farms_user_in_a_closed_directory(made: Embedded) -> None:
    with psycopg.connect(made.start()) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    status = made.directory.stat()
    assert pwd.getpwuid(status.st_uid).pw_name == FARM_USER
    assert status.st_mode & 0o777 == 0o700
    assert int(pid) > 0
    leader = int((made.directory / "data" / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{leader}").stat().st_uid == status.st_uid


@pytest.mark.slow
@AS_ROOT
def test_another_user_is_refused_even_where_the_directory_lets_it_pass() -> None:
    directory = tempfile.TemporaryDirectory(prefix="farm-", dir="/tmp")  # open to all, as a home may not be
    server = Embedded(Path(directory.name) / "postgres", durable=False)
    try:
        dsn = server.start()
        for closed in (server.directory, server.directory.parent):
            closed.chmod(0o711)
        nobody = pwd.getpwnam("nobody")
        child = os.fork()
        if child == 0:
            os.setuid(nobody.pw_uid)
            try:
                psycopg.connect(dsn).close()
            except psycopg.OperationalError as error:
                os._exit(7 if "authentication failed" in str(error) else 8)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        server.stop()
        directory.cleanup()


@AS_ROOT
def test_a_server_below_a_closed_home_works_and_the_home_stays_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "secret").write_text("mine")
    server = Embedded(home / "db", durable=False)
    try:
        with psycopg.connect(server.start()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "secret").read_text() == "mine"
    assert str(home) not in Path("/proc/self/mounts").read_text()


def test_the_server_ends_with_the_process_that_started_it(made: Embedded) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storage.database.embedded import Embedded;"
        "Embedded(Path(sys.argv[1]), durable=False).start(); print('up', flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(made.directory)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    assert made.running
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    # A new one waits until the old one has stopped, which nobody but the kernel has asked it to.
    with psycopg.connect(made.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_a_starter_that_is_killed_while_the_database_is_made_leaves_no_process_and_the_next_one_makes_it(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; from pathlib import Path; from storage.database.embedded import Embedded;"
        "Embedded(Path(sys.argv[1]), durable=False).start()"
    )
    starter = psutil.Popen(
        [sys.executable, "-c", program, str(tmp_path / "postgres")],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    while not (makers := [one for one in starter.children(recursive=True) if one.name() == "initdb"]):
        assert starter.poll() is None
    makers[0].suspend()  # it can't end by itself, nor do as it is asked
    below = starter.children(recursive=True)
    starter.kill()
    starter.wait()
    _, left = psutil.wait_procs(below, timeout=10)
    assert left == []
    server = Embedded(tmp_path / "postgres", durable=False)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_a_server_that_does_not_stop_when_it_is_told_to_is_killed_with_all_its_processes(
    made: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_STOP_SECONDS", "_QUIT_SECONDS"):
        monkeypatch.setattr(f"storage.database.embedded.{limit}", 0.1)
    made.start()
    leader = psutil.Process(made.pid)
    below = leader.children(recursive=True)
    leader.suspend()
    made.stop()
    assert psutil.wait_procs(below, timeout=10)[1] == []


def test_a_directory_that_is_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    server = Embedded(tmp_path / ("long" * 30))
    with pytest.raises(EmbeddedDatabaseFailed, match="too long for a socket: choose a shorter state directory"):
        server.start()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_says_its_last_words_and_where_to_read_on(made: Embedded) -> None:
    (made.directory / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedDatabaseFailed, match=r"ended at its start.*see .*log"):
        made.start()


def test_a_server_that_fails_after_it_began_says_what_failed_not_that_it_is_down(made: Embedded) -> None:
    (made.directory / "data" / "recovery.signal").touch()  # a recovery from nowhere
    with pytest.raises(EmbeddedDatabaseFailed, match=r"FATAL:.*restore_command"):
        made.start()


@AS_ROOT
def test_a_database_that_finds_no_room_says_so(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "postgres", durable=False)
    server.directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", server.directory], check=True)
    try:
        with pytest.raises(EmbeddedDatabaseFailed, match=r"can't make the embedded database.*No space left on device"):
            server.start()
    finally:
        subprocess.run(["umount", server.directory], check=True)

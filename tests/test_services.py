"""Master and slave as services of systemd: real processes, real sockets in systemd's and the journal's place."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.messages import Refused, Welcome
from tests.fix_farm import PROJECT, FarmUnderTest
from tests.fix_journal import FakeJournal, NotifySocket
from tests.fix_slaves import FARM, MasterClient, RealSlave

#: read by Python at its start: the journal's path is a constant of the library
_SITE = "import logging_journald, os\nlogging_journald.JournaldTransport.SOCKET_PATH = os.environ['TEST_JOURNAL']\n"


class Surroundings:
    """What systemd gives a service."""

    def __init__(self, directory: Path, systemd: NotifySocket, journal: FakeJournal) -> None:
        self.systemd, self.journal = systemd, journal
        self._directory = directory

    def log_into(self, stderr: Path) -> dict[str, str]:
        """Return the environment of a service whose standard error is `stderr`, which counts as the journal."""
        stderr.touch()
        status = stderr.stat()
        return {
            "NOTIFY_SOCKET": str(self.systemd.path),
            "WATCHDOG_USEC": "300000",
            "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
            "TEST_JOURNAL": str(self.journal.path),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self._directory), os.environ.get("PYTHONPATH")))),
        }


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Surroundings]:
    directory = tmp_path / "systemd"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(_SITE)
    with NotifySocket(directory / "notify") as systemd, FakeJournal(directory / "journal") as journal:
        yield Surroundings(directory, systemd, journal)


@pytest.mark.slow
def test_a_master_tells_systemd_how_it_is_and_reads_its_settings_again(
    whole_farm: FarmUnderTest, surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd, journal = surroundings.systemd, surroundings.journal
    file = tmp_path / "farm.toml"
    file.touch()
    environment = surroundings.log_into(whole_farm.log) | {"BUILDD_MASTER_SETTINGS": str(file)}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        whole_farm.builders.add("frog", f"buildd://127.0.0.1:{nobody.getsockname()[1]}", ["x86"])
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            whole_farm.start()
        assert whole_farm.process is not None
        assert systemd.ready() == ["READY=1", "STATUS=1 builders"]
        assert systemd.next() == ["WATCHDOG=1"]
        entry = journal.wait_entry("frog: not ok")
        assert (entry["BUILDER"], entry["ACTOR"], entry["PRIORITY"]) == ("frog", "frog", "4")

        file.write_text('admin_port = 4711\nlog_level = "WARNING"\n[limits]\nprocesses = 99\n[timers]\nsweep = 9\n')
        whole_farm.process.send_signal(signal.SIGHUP)
        systemd.wait_key("RELOADING")
        systemd.wait_line("READY=1")
        assert "changed: limits.processes, log_level, timers.sweep" in journal.wait_entry("SIGHUP")["MESSAGE"]
        assert "admin_port changed: takes effect at the next start" in journal.entry()["MESSAGE"]

        file.write_text("wall_secods = 77\n")
        whole_farm.process.send_signal(signal.SIGHUP)
        entry = journal.wait_entry("SIGHUP")
        assert f"nothing changed: wall_secods: no such setting ({file})" in entry["MESSAGE"]
        assert entry["PRIORITY"] == "3"

        supervisor = whole_farm.pid("supervisor")
        systemd.wait_line("WATCHDOG=1")
        os.kill(supervisor, signal.SIGSTOP)
        systemd.wait_line("STATUS=the supervisor does not answer")
        os.kill(supervisor, signal.SIGCONT)
        assert systemd.next() == ["STATUS=running"]
        assert systemd.next() == ["WATCHDOG=1"]
        assert whole_farm.stop() == 0
        systemd.wait_line("STOPPING=1")
    assert "frog" not in whole_farm.log.read_text()  # all of it is in the journal


def test_a_slave_tells_systemd_how_it_is_and_reads_its_token_again(
    surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd, journal = surroundings.systemd, surroundings.journal
    slave = RealSlave(tmp_path, "an-old-token")
    with monkeypatch.context() as patch:
        for name, value in surroundings.log_into(slave.errors).items():
            patch.setenv(name, value)
        slave.start()
    try:
        assert slave.process is not None
        assert systemd.next() == ["READY=1"]
        assert systemd.next() == ["WATCHDOG=1"]
        assert systemd.next() == ["WATCHDOG=1"]

        slave.token_file.write_text("a-new-token\n")
        slave.process.send_signal(signal.SIGHUP)
        systemd.wait_key("RELOADING")
        systemd.wait_line("READY=1")
        assert journal.wait_entry("SIGHUP")["SYSLOG_IDENTIFIER"] == "buildd-slave"
        with MasterClient(slave.port) as late:
            assert isinstance(late.hello("an-old-token", epoch=1), Refused)
        with MasterClient(slave.port) as master:
            assert isinstance(master.hello("a-new-token", epoch=1), Welcome)
        assert FARM in journal.wait_entry("opened")["MESSAGE"]

        slave.token_file.chmod(0o644)
        slave.process.send_signal(signal.SIGHUP)
        assert "nothing changed: token file" in journal.wait_entry("SIGHUP")["MESSAGE"]
    finally:
        slave.end(signal.SIGTERM)
    systemd.wait_line("STOPPING=1")


def test_a_terminal_that_hangs_up_stops_the_master_in_order(whole_farm: FarmUnderTest) -> None:
    environment = {"STATE_DIRECTORY": str(whole_farm.settings.state_directory), "DATABASE": whole_farm.database}
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "run_master.py")],
        env={
            **os.environ,
            "BUILDD_MASTER_USER": "",
            **{f"BUILDD_MASTER_{name}": it for name, it in environment.items()},
        },
        stdin=follower,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing else runs in this process
        text=True,
    )
    os.close(follower)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("READY")
            os.close(leader)
            assert process.wait(15) == 0
        finally:
            process.kill()
    assert not whole_farm.settings.run_file.exists()

"""What systemd is told and asked, on a real datagram socket."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from host.service import notify, watchdog_seconds


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_told_arrives_at_the_socket_that_systemd_names(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@buildd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1", "STATUS=all is well")
        assert systemd.recv(100) == b"READY=1\nSTATUS=all is well"


def test_nothing_happens_without_systemd_and_a_socket_that_is_gone_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    assert capsys.readouterr().err == "systemd can't be told READY=1: No such file or directory\n"


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("3000000", "", 3.0), ("3000000", "own", 3.0), ("3000000", "1", None), ("", "", None), ("0", "own", None)],
)
def test_the_watchdog_is_ours_only_if_it_names_us_or_nobody(
    microseconds: str, pid: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog_seconds() == seconds


_ASK = """
import signal, sys
from host.service import Terminal
terminal = Terminal()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
print("ready", flush=True)
signal.sigwait({signal.SIGHUP})
print(terminal.hung_up(), flush=True)
"""


@pytest.mark.parametrize("gone", [False, True])
def test_a_terminal_that_hung_up_is_told_from_a_signal_that_somebody_sent(gone: bool) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", _ASK], stdin=follower, stdout=subprocess.PIPE, text=True)
    os.close(follower)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if gone:
            os.close(leader)
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == f"{gone}\n"
    if not gone:
        os.close(leader)

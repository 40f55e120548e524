"""The daemon among hostile and clumsy peers, and the command line among wrong options.  No build is run here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.codec import encode
from protocol.messages import (
    Abort,
    Arg,
    Build,
    Echo,
    Fetch,
    Heartbeat,
    LogFrom,
    ResultFile,
    SlaveState,
    WireOutcome,
)
from slave.core.events import BuildEnded
from slave.core.record import Record
from slave.daemon import MOST_STRANGERS
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart, ImpossibleMove
from slave.readiness.preconditions import listen_address, read_token
from slave.session import Timing
from tests.fix_daemon import ATTEMPT, TOKEN, DaemonThread
from tests.fix_slaves import CHECKOUT, FARM, MasterClient
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

QUICK = Timing(heartbeat=0.05, silence=0.6, greeting=0.4)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[DaemonThread]:
    daemon = DaemonThread(tmp_path / "state", Timing(greeting=600))
    yield daemon
    daemon.stop()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[DaemonThread]:
    daemon = DaemonThread(tmp_path / "state", QUICK)
    yield daemon
    daemon.stop()


@pytest.mark.parametrize(
    ("junk", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame of"),
        (b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (b"\x00\x00\x00\x00", "frame of 0 bytes"),
        (b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1", "broke the protocol"),
        (encode(Heartbeat(1.0)), "does not belong"),
        (encode(Echo(1, b"")), "does not belong"),
    ],
)
def test_a_peer_that_speaks_otherwise_is_closed_with_a_word_and_harms_nobody(
    patient: DaemonThread, caplog: pytest.LogCaptureFixture, junk: bytes, words: str
) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    with patient.master(1) as master:
        stranger = MasterClient(patient.port)
        stranger.say_bytes(junk)
        stranger.wait_gone()
        stranger.socket.close()
        assert master.status().state is SlaveState.IDLE
    wait_until(lambda: words in caplog.text, caplog.text)


def test_a_frame_that_never_ends_is_no_sign_of_life(quick: DaemonThread) -> None:
    with quick.master(1) as master:
        began = time.monotonic()
        master.say_bytes(b"\x00\x0f\xff\xff")
        with contextlib.suppress(ConnectionError):
            while master.socket.recv(65536):  # its heartbeats set the pace
                assert time.monotonic() < began + PATIENCE
                master.say_bytes(b"\x80" * 100)


def test_a_connection_that_does_not_greet_is_closed(quick: DaemonThread) -> None:
    with MasterClient(quick.port) as stranger:
        stranger.wait_gone()


def test_a_silent_master_hears_heartbeats_and_then_the_end(quick: DaemonThread) -> None:
    with quick.master(1) as master:
        beats = 0
        master.socket.settimeout(PATIENCE)
        while piece := master.socket.recv(65536):
            beats += piece.count(b"Heartbeat")
        assert beats >= 5


def test_a_master_that_beats_is_kept(quick: DaemonThread) -> None:
    with quick.master(1) as master:
        until = time.monotonic() + 2 * QUICK.silence
        while time.monotonic() < until:
            assert master.socket.recv(65536), "closed"
            master.say(Heartbeat(0.0))


def test_a_crowd_of_strangers_keeps_no_master_out(patient: DaemonThread) -> None:
    crowd = [MasterClient(patient.port) for _ in range(MOST_STRANGERS + 5)]
    with patient.master(1) as master:
        assert master.status().state is SlaveState.IDLE
    crowd[0].wait_gone()
    for stranger in crowd:
        stranger.socket.close()


def test_a_peer_that_asks_and_never_reads_fills_no_memory(patient: DaemonThread) -> None:
    with patient.master(1) as master:
        master.socket.settimeout(1.0)
        sent, number = 0, 1000
        with contextlib.suppress(TimeoutError):
            while sent < 100 << 20:
                number += 1
                sent += master.socket.send(encode(Echo(number, bytes(64 << 10))))
        assert sent < 40 << 20, "the daemon stopped reading"
    with patient.master(2) as master:
        assert master.status().state is SlaveState.IDLE


def test_a_log_and_results_larger_than_every_buffer_arrive_whole(tmp_path: Path) -> None:
    log = os.urandom(1 << 20) * 24
    record = Record(
        farm=FARM,
        state=SlaveState.WAITING,
        attempt=ATTEMPT,
        outcome=WireOutcome.OK,
        files=(ResultFile("big.deb", 7 << 20, "0" * 64),),
    )
    daemon = DaemonThread(tmp_path / "state", Timing(), record, log)
    big = os.urandom(7 << 20)
    (tmp_path / "state" / "builds" / ATTEMPT / "results" / "big.deb").write_bytes(big)
    try:
        with daemon.master(1) as master:
            master.say(LogFrom(ATTEMPT, 0))
            assert master.fetch(ATTEMPT, "big.deb", len(big)) == big
            while len(master.log) < len(log):
                master.hear()
            assert master.log == log
            assert master.fetch(ATTEMPT, "big.deb", len(big), offset=6 << 20) == big[6 << 20 :]
    finally:
        daemon.stop()


def test_a_result_that_has_vanished_ends_the_session_and_not_the_slave(tmp_path: Path) -> None:
    files = (ResultFile("gone.deb", 5, "0" * 64),)
    record = Record(farm=FARM, state=SlaveState.WAITING, attempt=ATTEMPT, outcome=WireOutcome.OK, files=files)
    daemon = DaemonThread(tmp_path / "state", Timing(), record)
    try:
        with daemon.master(1) as master:
            master.say(Fetch(1, ATTEMPT, "gone.deb", 0))
            master.wait_gone()
        with daemon.master(2) as master:
            assert master.status().state is SlaveState.WAITING
    finally:
        daemon.stop()


def test_a_bug_ends_the_daemon_and_is_not_hidden(patient: DaemonThread) -> None:
    async def bug() -> BaseException | None:
        patient.daemon._in_background(broken())
        with pytest.raises(ImpossibleMove):
            await patient.daemon.crashed
        return patient.daemon.crashed.exception()

    async def broken() -> None:
        patient.daemon._tell(BuildEnded(ATTEMPT, WireOutcome.OK, "", 0.0))

    assert isinstance(asyncio.run_coroutine_threadsafe(bug(), patient.loop).result(PATIENCE), ImpossibleMove)


def test_an_abort_right_behind_its_build_is_obeyed_and_the_log_says_of_which_attempt(
    patient: DaemonThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    content = b"Source: tiny\n"
    args: dict[str, Arg] = {"dsc": "tiny_1.0.dsc", "architecture": "amd64", "arch_indep": True}
    args |= {"suite": "bookworm", "trusted": True, "wall_seconds": 60}
    files = {"tiny_1.0.dsc": hashlib.sha256(content).hexdigest()}
    with patient.master(1) as master:
        master.push(content)
        build = master.connection.send(Build(100, ATTEMPT, "binarypackage", "", files, args))
        master.say_bytes(build + master.connection.send(Abort(101, ATTEMPT)))
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.ABORTED
    about = [getattr(record, "attempt", "") for record in caplog.records if "attempt" in record.getMessage()]
    assert set(about) == {ATTEMPT}


# -- the command line --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8221", ("127.0.0.1", 8221)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("127.8.9.1:1", ("127.8.9.1", 1)),
    ],
)
def test_loopback_addresses_are_listened_on(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text, enrolled=False) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0:8221", "loopback addresses only"),
        ("192.0.2.1:8221", "loopback addresses only"),
        ("[::]:8221", "loopback addresses only"),
        ("example.org:8221", "no IP address"),
        ("127.0.0.1", "not HOST:PORT"),
        ("127.0.0.1:65536", "not HOST:PORT"),
        ("127.0.0.1:-1", "not HOST:PORT"),
    ],
)
def test_nothing_but_loopback_is_listened_on_and_the_reason_is_one_line(text: str, words: str) -> None:
    with pytest.raises(CannotStart, match=words) as why:
        listen_address(text, enrolled=False)
    assert "\n" not in str(why.value)


def test_a_token_is_read_without_its_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (TOKEN.encode(), 0o640, "chmod 600"),
        (TOKEN.encode(), 0o604, "chmod 600"),
        (b"\n", 0o600, "holds no token"),
        (b"\xff\xfe", 0o600, "not text"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_token_file_that_will_not_do_is_named(tmp_path: Path, content: bytes | None, mode: int, words: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(CannotStart, match=words) as why:
        read_token(path)
    assert str(path) in str(why.value)
    assert TOKEN not in str(why.value)


def command(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    token = directory / "token"
    token.write_text(TOKEN)
    token.chmod(stat.S_IRUSR)
    fixed = ["--state-directory", str(directory / "state"), "--token-file", str(token)]
    whole = [sys.executable, "-m", "slave", *fixed, *options]
    return subprocess.run(whole, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "docker"], "'docker' is none of chroot, userns, host"),
        (["--backend", "host", "--listen", "0.0.0.0:0"], "loopback"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_one(tmp_path: Path, options: list[str], words: str) -> None:
    done = command(tmp_path, *options)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_taken_port_and_a_taken_directory_are_named(patient: DaemonThread, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    taken = command(other, "--backend", "host", "--listen", f"127.0.0.1:{patient.port}")
    assert (taken.returncode, f"port {patient.port}" in taken.stderr) == (1, True), taken.stderr
    taken = command(tmp_path, "--backend", "host", "--listen", "127.0.0.1:0")
    assert (taken.returncode, "another buildd-slave" in taken.stderr) == (1, True), taken.stderr


def test_a_slave_can_be_released_from_its_farm(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.save(Record(farm=FARM, epoch=7))
    state.close()
    done = command(tmp_path, "enroll", "--again")
    assert done.returncode == 0, done.stderr
    assert FARM in done.stdout
    assert StateDirectory(tmp_path / "state").load() == Record()

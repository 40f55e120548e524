"""The actor system's ports: loopback only, and nothing is unpickled that was not made with the farm's key."""

from __future__ import annotations

import pickle
import secrets
import select
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.system.transport import AuthenticPickle, NotAuthentic, read_key, write_key
from tests.waiting import wait_until

CHECKOUT = Path(__file__).parents[3]

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[3]


class Forged:
    """Unpickling makes a file: proof that somebody unpickled it."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.proof), "w"))


@contextmanager
def running(key_file: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A small actor system: its first process, the admin's port, the actor's port."""
    write_key(key_file)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.actors.system.echo", str(key_file)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        admin, actor = (int(word) for word in process.stdout.readline().split())
        try:
            yield process, admin, actor
            process.communicate(timeout=20)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def actor_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    with running(tmp_path_factory.mktemp("transport") / "actors.key") as system:
        yield system


def send_and_hear(port: int, packet: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(packet)
        answer = b""
        while chunk := peer.recv(4096):
            answer += chunk
        return answer


def echoed(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["admin", "actor"])
def test_a_forged_pickle_is_answered_with_an_error_and_never_unpickled(
    actor_system: tuple[subprocess.Popen[str], int, int], kind: str, tmp_path: Path
) -> None:
    process, admin, actor = actor_system
    proof = tmp_path / "unpickled"
    packet = pickle.dumps(Forged(proof))
    for forged in (packet, secrets.token_bytes(32) + packet):
        answer = send_and_hear(admin if kind == "admin" else actor, b"%d>" % len(forged) + forged)
        assert b"DATAERR" in answer
    assert not proof.exists()
    assert echoed(process, "still alive") == "still alive"


def test_the_forged_pickle_would_have_done_harm(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Forged(tmp_path / "unpickled"))).close()
    assert (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("kind", ["admin", "actor"])
@pytest.mark.parametrize(
    "packet",
    [b"99999999999>", b"-5>", b"9" * 5000, b"nonsense>", b">", b"\xff" * 100],
    ids=["huge", "negative", "endless header", "no number", "no length", "binary"],
)
def test_an_odd_header_does_no_harm(
    actor_system: tuple[subprocess.Popen[str], int, int], kind: str, packet: bytes
) -> None:
    process, admin, actor = actor_system
    assert b"DATAERR" in send_and_hear(admin if kind == "admin" else actor, packet)
    assert echoed(process, "still alive") == "still alive"


def test_a_large_message_arrives_whole(actor_system: tuple[subprocess.Popen[str], int, int]) -> None:
    process, _, _ = actor_system
    assert echoed(process, "megabytes 5") == "x" * (5 << 20)
    assert echoed(process, "still alive") == "still alive"


def test_a_message_that_stops_half_way_keeps_nobody_else_waiting(
    actor_system: tuple[subprocess.Popen[str], int, int],
) -> None:
    process, admin, actor = actor_system
    for port in (admin, actor):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            for piece in (b"1", b"00", b">ab", b"c"):
                peer.sendall(piece)
                assert echoed(process, "still alive") == "still alive"


def test_a_watched_descriptor_that_is_closed_is_forgotten(
    actor_system: tuple[subprocess.Popen[str], int, int],
) -> None:
    process, _, actor = actor_system
    assert echoed(process, "watch") == "watch"
    (pid,) = [pid for pid in descendants(process.pid) if actor in ports_of(pid)]
    before = processor_ticks(pid)
    select.select([], [], [], 0.3)  # in which a loop that spins uses up to 30 ticks
    assert processor_ticks(pid) - before < 5
    assert echoed(process, "still alive") == "still alive"


def ports_of(pid: int) -> set[int]:
    listening = listening_sockets()
    return {listening[inode][1] for inode in sockets_of(pid) if inode in listening}


def processor_ticks(pid: int) -> int:
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_every_port_listens_on_loopback_only(actor_system: tuple[subprocess.Popen[str], int, int]) -> None:
    process, admin, actor = actor_system
    listening = listening_sockets()
    found = {listening[inode] for pid in descendants(process.pid) for inode in sockets_of(pid) if inode in listening}
    assert {port for _, port in found} >= {admin, actor}
    assert {address for address, _ in found} == {"0100007F"}


def listening_sockets() -> dict[str, tuple[str, int]]:
    """Inode → address as the kernel writes it, port; of all listening sockets."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                found[fields[9]] = (address, int(port, 16))
    return found


def sockets_of(pid: int) -> set[str]:
    links = [str(fd.readlink()) for fd in (Path("/proc") / str(pid) / "fd").iterdir()]
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def descendants(pid: int) -> list[int]:
    children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    return [pid, *(below for child in children for below in descendants(int(child)))]


def running_still(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_of_the_actor_system_die_with_the_process_that_started_it(tmp_path: Path) -> None:
    with running(tmp_path / "actors.key") as (process, _, _):
        everybody = descendants(process.pid)
        assert len(everybody) >= 4  # itself, admin, logger, actor
        process.kill()
        wait_until_gone(everybody)


def wait_until_gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(running_still, pids)), lambda: f"gone: {[*filter(running_still, pids)]}")


def test_the_key_file_is_private_new_each_time_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "actors.key"
    first = write_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_key(file) == first
    assert write_key(file) != first


@pytest.mark.parametrize("content", ["", "abcd", "not hex at all"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "actors.key"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"bytes instead of 32|hexadecimal"):
        read_key(file)


@given(st.binary(max_size=200), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_packet_with_any_changed_byte_is_refused(thing: bytes, place: int, change: int) -> None:
    pickler = AuthenticPickle(b"k" * 32)
    packet = bytearray(pickler.dumps(thing))
    assert pickler.loads(bytes(packet)) == thing
    packet[place % len(packet)] ^= change
    with pytest.raises(NotAuthentic):
        pickler.loads(bytes(packet))


@given(st.binary(max_size=200))
def test_a_packet_made_with_another_key_is_refused(thing: bytes) -> None:
    with pytest.raises(NotAuthentic):
        AuthenticPickle(b"a" * 32).loads(AuthenticPickle(b"b" * 32).dumps(thing))


def test_a_host_whose_name_nobody_knows_is_not_warned_of_and_logs_as_others_do() -> None:
    program = """
import logging, socket
def unknown(*_, **__): raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
socket.getaddrinfo = unknown
import actors.wiring, console.command, actors.queue.actor
assert logging.getLogger().handlers == []
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.stderr == ""

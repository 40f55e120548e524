"""The socket to a slave: whatever the other side does becomes a happening, in words, and never blocks."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from actors.builder import slave_link
from actors.builder.happenings import Down, Happening, Heard, Up
from actors.builder.slave_link import SlaveLink
from actors.core.builder.credentials import loopback
from protocol.connection import Connection, NeedData, Role
from protocol.messages import (
    CHUNK,
    Heartbeat,
    Hello,
    Log,
    Message,
    PutChunk,
    Query,
    SlaveState,
    Status,
    Welcome,
)
from tests.fix_certificates import Papers
from tests.waiting import PATIENCE, wait_until

ATTEMPT = "6c1d0f6e-3c53-4b62-9d5a-1f5bb1f1a001"
FARM = "0b6f3d4c-6c9e-4a3e-9d1b-8f6f0a1d2c3e"
WELCOME = Welcome(1, "bob", ("i386",), ("binarypackage",), "simulated", 1, Status(SlaveState.IDLE))


class Peer:
    """A listening socket, and the slave's end of one connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.connection = Connection(Role.SLAVE)
        self.socket: socket.socket | None = None

    def accept(self) -> socket.socket:
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(PATIENCE)
        return self.socket

    def wrap(self, context: ssl.SSLContext) -> None:
        """Accept, and shake hands; the other end must be pumped meanwhile."""
        self.socket = context.wrap_socket(self.accept(), server_side=True)

    def say(self, message: Message) -> None:
        assert self.socket is not None
        self.socket.sendall(self.connection.send(message))

    def hear(self) -> Message:
        assert self.socket is not None
        while isinstance(event := self.connection.next_event(), NeedData):
            self.connection.receive_data(self.socket.recv(1 << 16))
        return event  # type: ignore[return-value]

    def close(self) -> None:
        self.listener.close()
        if self.socket is not None:
            self.socket.close()


def wait_happening(link: SlaveLink) -> Happening:
    """Pump whenever the watched descriptor is readable, as Thespian would, until something happens; return the first."""
    kept = _happened.setdefault(link, deque())

    def _pump() -> None:
        if not link.eager:
            assert select.select([link.fileno()], [], [], PATIENCE)[0], "nothing became readable"
        kept.extend(link.pump())

    wait_until(lambda: kept, "something happened", meanwhile=_pump)
    return kept.popleft()


_happened: WeakKeyDictionary[SlaveLink, deque[Happening]] = WeakKeyDictionary()  # what was pumped and not asked for


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("secret\n")
    return file


@pytest.fixture
def link(token_file: Path) -> Iterator[SlaveLink]:
    link = SlaveLink(token_file, token_file.parent / "papers" / "master")
    yield link
    link.release()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def greeted(link: SlaveLink, peer: Peer) -> SlaveLink:
    """A link whose session is open."""
    link.connect("127.0.0.1", peer.port, tls=False)
    assert wait_happening(link) == Up()
    peer.accept()
    link.greet(7, FARM)
    link.flush()
    assert peer.hear() == Hello((1,), FARM, 7, "secret")
    peer.say(WELCOME)
    assert wait_happening(link) == Heard(WELCOME)
    return link


def test_nobody_listening_is_connection_refused(link: SlaveLink, peer: Peer) -> None:
    peer.close()
    link.connect("127.0.0.1", peer.port, tls=False)
    assert wait_happening(link) == Down("connection refused")


@pytest.mark.parametrize("host", ["192.0.2.1", "slave.example", "0.0.0.0", "8.8.8.8", "::2"])
def test_what_is_no_loopback_address_is_refused_without_a_packet(link: SlaveLink, host: str) -> None:
    link.connect(host, 8221, tls=False)
    happening = wait_happening(link)
    assert isinstance(happening, Down)
    assert host in happening.reason


@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("127.0.0.7", "127.0.0.7"), ("::1", "::1")])
def test_loopback_has_many_names(host: str, address: str) -> None:
    assert loopback(host) == address


def test_messages_pass_in_both_directions(greeted: SlaveLink, peer: Peer) -> None:
    greeted.send(Query(1))
    greeted.flush()
    assert peer.hear() == Query(1)
    peer.say(Heartbeat(1.5))
    assert wait_happening(greeted) == Heard(Heartbeat(1.5))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 1000])
def test_a_message_may_come_in_any_pieces(greeted: SlaveLink, peer: Peer, size: int) -> None:
    assert peer.socket is not None
    said = [Heartbeat(float(number)) for number in range(5)]
    frames = b"".join(peer.connection.send(message) for message in said)
    heard: list[Happening] = []
    for start in range(0, len(frames), size):
        peer.socket.sendall(frames[start : start + size])
        heard += greeted.pump()
    while len(heard) < len(said):
        heard.append(wait_happening(greeted))
    assert heard == [Heard(message) for message in said]


def test_a_slave_that_closes_is_told_once_and_in_words(greeted: SlaveLink, peer: Peer) -> None:
    assert peer.socket is not None
    peer.socket.close()
    assert wait_happening(greeted) == Down("the slave closed the connection")
    assert list(greeted.pump()) == []


def test_a_slave_that_closes_within_a_message_is_told_so(greeted: SlaveLink, peer: Peer) -> None:
    assert peer.socket is not None
    peer.socket.sendall(peer.connection.send(Heartbeat(1.0))[:7])
    peer.socket.close()
    happening = wait_happening(greeted)
    assert isinstance(happening, Down)
    assert "in the middle of a message (7 bytes" in happening.reason
    assert not happening.lied


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1", b"GET / HTTP/1.0\r\n\r\n"])
def test_garbage_is_the_slaves_lie_and_ends_the_connection(greeted: SlaveLink, peer: Peer, garbage: bytes) -> None:
    assert peer.socket is not None
    peer.socket.sendall(garbage)
    happening = wait_happening(greeted)
    assert isinstance(happening, Down)
    assert happening.lied
    assert peer.socket.recv(1) == b""


def test_what_came_before_the_garbage_is_heard(greeted: SlaveLink, peer: Peer) -> None:
    assert peer.socket is not None
    peer.socket.sendall(peer.connection.send(Heartbeat(1.0)) + b"\xff\xff\xff\xff")
    assert wait_happening(greeted) == Heard(Heartbeat(1.0))
    assert isinstance(wait_happening(greeted), Down)


def test_what_is_said_together_arrives_together(greeted: SlaveLink, peer: Peer) -> None:
    said = [Query(number) for number in range(100)]
    for message in said:
        greeted.send(message)
    assert peer.socket is not None
    peer.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.socket.recv(1)
    greeted.flush()
    assert greeted.unsent == 0
    assert [peer.hear() for _ in said] == said


def test_more_than_the_socket_takes_waits_and_arrives_in_order(greeted: SlaveLink, peer: Peer) -> None:
    pieces = [PutChunk("ab" * 32, number * CHUNK, bytes([number]) * CHUNK) for number in range(32)]
    for piece in pieces:
        greeted.send(piece)
    greeted.flush()
    assert greeted.unsent > 0
    assert peer.socket is not None
    heard: list[Message] = []
    while len(heard) < len(pieces):
        list(greeted.pump())
        peer.socket.settimeout(PATIENCE)
        heard.append(peer.hear()) if greeted.unsent == 0 else peer.connection.receive_data(peer.socket.recv(1 << 18))
        while greeted.unsent and not isinstance(event := peer.connection.next_event(), NeedData):
            heard.append(event)  # type: ignore[arg-type]
    assert heard == pieces


def test_a_slave_that_never_reads_is_given_up(greeted: SlaveLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_link, "UNSENT_LIMIT", 4 * CHUNK)
    for number in range(64):
        greeted.send(PutChunk("ab" * 32, number * CHUNK, bytes(CHUNK)))
        greeted.flush()
    happening = wait_happening(greeted)
    assert isinstance(happening, Down)
    assert "does not read" in happening.reason


def test_a_slave_that_never_stops_talking_leaves_time_for_others(greeted: SlaveLink, peer: Peer) -> None:
    assert peer.socket is not None
    peer.socket.setblocking(False)
    piece = bytes(CHUNK // 4)
    talk = b"".join(peer.connection.send(Log(ATTEMPT, number * len(piece), piece)) for number in range(300))
    with suppress(BlockingIOError):
        while talk:
            talk = talk[peer.socket.send(talk) :]
    assert select.select([greeted.fileno()], [], [], PATIENCE)[0]
    heard = list(greeted.pump())
    assert 0 < len(heard) <= slave_link.READS * slave_link.READ_BYTES // len(piece)
    assert select.select([greeted.fileno()], [], [], 0)[0], "what is left keeps it readable"


def test_nothing_is_told_of_a_connection_that_was_closed_on_purpose(greeted: SlaveLink, peer: Peer) -> None:
    peer.say(Heartbeat(1.0))
    greeted.close()
    assert list(greeted.pump()) == []
    greeted.send(Query(1))


def test_what_was_sent_just_before_the_close_arrives(greeted: SlaveLink, peer: Peer) -> None:
    greeted.send(Query(1))
    greeted.close()
    assert peer.hear() == Query(1)


def test_a_token_file_that_can_not_be_read_is_named(link: SlaveLink, peer: Peer, token_file: Path) -> None:
    token_file.unlink()
    link.connect("127.0.0.1", peer.port, tls=False)
    assert wait_happening(link) == Up()
    link.greet(7, FARM)
    assert wait_happening(link) == Down(f"the token file {token_file} can't be read: No such file or directory")


@pytest.mark.parametrize("content", ["", "\n", "x" * 100_000])
def test_a_token_file_without_a_token_is_named_and_its_content_is_not(
    link: SlaveLink, peer: Peer, token_file: Path, content: str
) -> None:
    token_file.write_text(content)
    link.connect("127.0.0.1", peer.port, tls=False)
    assert wait_happening(link) == Up()
    link.greet(7, FARM)
    assert wait_happening(link) == Down(f"the token file {token_file} holds no token: one line of ASCII text is one")


def test_a_second_connection_replaces_the_first(greeted: SlaveLink, peer: Peer) -> None:
    first = peer.socket
    assert first is not None
    greeted.connect("127.0.0.1", peer.port, tls=False)
    assert wait_happening(greeted) == Up()
    assert first.recv(1) == b""
    first.close()


# -- over TLS ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def secret_peer(link: SlaveLink, peer: Peer, papers: Papers) -> Peer:
    """A slave with the builder's certificate, whose session is open."""
    papers.master()
    context = papers.slave("bob").context()
    link.connect("127.0.0.1", peer.port, tls=True)
    shaken = threading.Thread(target=lambda: peer.wrap(context), daemon=True)
    shaken.start()
    up = wait_happening(link)
    shaken.join(PATIENCE)
    assert isinstance(up, Up)
    assert up.shown == papers.issued["bob"].shown
    link.greet(7, FARM)
    link.flush()
    assert peer.hear() == Hello((1,), FARM, 7), "no token is told where none is needed"
    peer.say(WELCOME)
    assert wait_happening(link) == Heard(WELCOME)
    return peer


def test_nothing_that_was_said_stays_unheard_in_a_record(link: SlaveLink, secret_peer: Peer) -> None:
    said = [Heartbeat(float(number)) for number in range(200)]
    assert secret_peer.socket is not None
    secret_peer.socket.sendall(b"".join(secret_peer.connection.send(message) for message in said))
    heard: list[Happening] = []
    while len(heard) < len(said):
        heard.append(wait_happening(link))
    assert heard == [Heard(message) for message in said]


def test_a_push_over_tls_arrives_whole_and_in_order(link: SlaveLink, secret_peer: Peer) -> None:
    pieces = [PutChunk("ab" * 32, number * CHUNK, bytes([number]) * CHUNK) for number in range(32)]
    heard: list[Message] = []
    reading = threading.Thread(target=lambda: heard.extend(secret_peer.hear() for _ in pieces), daemon=True)
    reading.start()
    for piece in pieces:
        link.send(piece)
    link.flush()
    while link.unsent:
        assert select.select([link.fileno()], [], [], PATIENCE)[0]
        list(link.pump())
    reading.join(PATIENCE)
    assert heard == pieces


def test_a_slave_that_closes_over_tls_is_told_in_the_same_words(link: SlaveLink, secret_peer: Peer) -> None:
    assert secret_peer.socket is not None
    secret_peer.socket.close()
    assert wait_happening(link) == Down("the slave closed the connection")


def test_garbage_instead_of_records_ends_the_connection(link: SlaveLink, secret_peer: Peer) -> None:
    assert isinstance(secret_peer.socket, ssl.SSLSocket)
    raw = socket.socket(fileno=secret_peer.socket.detach())
    raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    happening = wait_happening(link)
    raw.close()
    assert isinstance(happening, Down)
    assert happening.unfit
    assert "breaks TLS" in happening.reason


def test_every_address_of_a_name_is_tried(
    link: SlaveLink, peer: Peer, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers.master()
    refusing = socket.create_server(("127.0.0.1", 0))
    closed = refusing.getsockname()
    refusing.close()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (closed, ("127.0.0.1", peer.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    link.connect("slave.example", peer.port, tls=True)

    def _pump() -> None:
        assert select.select([link.fileno(), peer.listener.fileno()], [], [], PATIENCE)[0]
        assert list(link.pump()) == []

    wait_until(lambda: select.select([peer.listener], [], [], 0)[0], "the peer is called", meanwhile=_pump)
    there = peer.accept()
    assert select.select([link.fileno()], [], [], PATIENCE)[0]
    assert list(link.pump()) == []
    assert there.recv(2) == b"\x16\x03"


def test_a_name_that_nobody_knows_is_said_in_words(
    link: SlaveLink, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    papers.master()
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    link.connect("slave.example", 8221, tls=True)
    assert wait_happening(link) == Down("the name slave.example can't be looked up: Name or service not known")

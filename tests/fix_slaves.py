"""Slaves for tests, simulated and real, and a plain synchronous master to talk to them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar
from uuid import uuid4

import pytest

from protocol.connection import Connection, NeedData, PeerClosed, Role
from protocol.messages import (
    ChunkAck,
    EnsurePresent,
    Fetch,
    FetchData,
    Heartbeat,
    Hello,
    Log,
    Message,
    Present,
    PushFailed,
    PutChunk,
    Query,
    SlaveState,
    Status,
)
from protocol.transfer import Incoming, Push
from simulation.host import SlaveHost

FARM = "6f0d7c1e-6a0c-4d6e-9a52-5c9f5b7c0001"
PATIENCE = 20.0  #: seconds until a fact that does not come is a failure

M = TypeVar("M")

epochs = itertools.count(1)


class Gone(Exception):
    """The slave has closed the connection."""


class MasterClient:
    """One connection to a slave, as a master without any actors makes it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.connection = Connection(Role.MASTER)
        self.log = b""
        self.statuses: list[Status] = []
        self._ids = itertools.count(1)
        self._kept: list[Message] = []  # heard while something else was waited for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def next_id(self) -> int:
        return next(self._ids)

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.socket.sendall(self.connection.send(message))

    def say_bytes(self, junk: bytes) -> None:
        self.socket.sendall(junk)

    def hear(self) -> Message:
        """Return the next message but heartbeats; logs and statuses are noted on the way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            event = self.connection.next_event()
            if isinstance(event, NeedData):
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    self.connection.receive_data(self.socket.recv(65536))
                except ConnectionResetError:
                    raise Gone from None
            elif isinstance(event, PeerClosed):
                raise Gone
            elif not isinstance(event, Heartbeat):
                self._note(event)
                return event

    def _note(self, message: Message) -> None:
        if isinstance(message, Log):
            assert message.offset == len(self.log), "the log has a gap, or comes twice"
            self.log += message.data
        elif isinstance(message, Status):
            self.statuses.append(message)

    def wait_for(self, kind: type[M], which: Callable[[M], bool] = lambda _: True) -> M:
        """Return the next message of that kind, and keep what comes before it."""
        for message in self._kept:
            if isinstance(message, kind) and which(message):
                self._kept.remove(message)
                return message
        while True:
            message = self.hear()
            if isinstance(message, kind) and which(message):
                return message
            self._kept.append(message)

    def wait_gone(self) -> None:
        """Wait until the slave has closed."""
        with contextlib.suppress(Gone):
            while True:
                self.hear()

    def hello(self, token: str | None, *, epoch: int | None = None, farm: str = FARM, versions: Any = (1,)) -> Message:
        """Greet; return what the slave says to that."""
        self.say(Hello(versions, farm, next(epochs) if epoch is None else epoch, token))
        return self.hear()

    def ask(self, kind: type[Any], *fields: Any) -> Message:
        """Make a request and return its answer."""
        number = self.next_id
        self.say(kind(number, *fields))
        return self.wait_for(object, lambda message: getattr(message, "id", None) == number)  # type: ignore[return-value]

    def status(self) -> Status:
        """Ask for the state."""
        known = len(self.statuses)
        self.say(Query(self.next_id))
        while len(self.statuses) == known:
            self._kept.append(self.hear())
        return self.statuses[-1]

    def wait_state(self, state: SlaveState) -> Status:
        """Return the first status, known or yet to come, that is the last known and has this state."""
        while not self.statuses or self.statuses[-1].state is not state:
            self._kept.append(self.hear())
        return self.statuses[-1]

    def ensure_present(self, content: bytes) -> Present:
        present = self.ask(EnsurePresent, hashlib.sha256(content).hexdigest(), len(content))
        assert isinstance(present, Present), present
        return present

    def push(self, content: bytes, *, chunks: int | None = None, sha256: str | None = None) -> ChunkAck | PushFailed:
        """Push a file, or its next few chunks; return the last thing the slave said to it."""
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
        present = self.ask(EnsurePresent, sha256, len(content))
        assert isinstance(present, Present), present
        if present.have:
            return ChunkAck(sha256, len(content))
        push, sent, end = Push(sha256, len(content), present.offset), 0, -1
        answer = ChunkAck(sha256, present.offset)
        while not push.done and (chunks is None or sent < chunks or answer.offset != end):
            span = push.take() if chunks is None or sent < chunks else None
            if span is not None:
                sent, end = sent + 1, span.offset + span.length
                self.say(PutChunk(sha256, span.offset, content[span.offset : end]))
                continue
            said = self.wait_for(object, lambda m: isinstance(m, (ChunkAck, PushFailed)) and m.sha256 == sha256)
            if isinstance(said, PushFailed):
                return said
            assert isinstance(said, ChunkAck)
            answer = said
            push.acked(answer.offset)
        return answer

    def fetch(self, attempt: str, name: str, size: int, *, offset: int = 0, most: int | None = None) -> bytes:
        """Fetch a result from `offset` on; stop after `most` bytes."""
        number, incoming, content = self.next_id, Incoming(size, offset), b""
        self.say(Fetch(number, attempt, name, offset))
        while True:
            piece = self.wait_for(object, lambda message: getattr(message, "id", None) == number)
            assert isinstance(piece, FetchData), piece
            incoming.accept(piece.offset, piece.data, last=piece.last)
            content += piece.data
            if piece.last or (most is not None and len(content) >= most):
                return content


def new_attempt() -> str:
    return str(uuid4())


def wait_until(fact: Callable[[], object], what: str = "") -> None:
    """Wait until `fact` is true."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, f"waited in vain: {what or fact}"
        time.sleep(0.005)


@pytest.fixture
def slave_host() -> Iterator[SlaveHost]:
    """A thread to put simulated slaves into."""
    with SlaveHost() as host:
        yield host

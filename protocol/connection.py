"""One connection between master and slave, without the connection: bytes in, messages out, and who may say what when.

    connection = Connection(Role.MASTER)
    socket.sendall(connection.send(Hello(…)))
    connection.receive_data(socket.recv(65536))          # b"" when the peer has closed
    match connection.next_event():                       # again and again, until NeedData
        case NeedData(): …read more…
        case PeerClosed(): …
        case message: …

The same class serves master, slave, simulated slave and fuzzer.  It never does I/O, knows no clock, and never holds
more than one frame (1 MiB) of what it was given, however it was cut.  `protocol.codec` reads the frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

from protocol import codec
from protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocol.messages import (
    Abort,
    Accepted,
    Build,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    FetchData,
    Hello,
    MasterMessage,
    Message,
    Present,
    Query,
    Refused,
    Rejected,
    SlaveMessage,
    Welcome,
)

MAX_OUTSTANDING = 256  #: requests without an answer, at most

_LENGTH = 4  #: bytes of a frame's length


class Role(StrEnum):
    """Which side of the connection we are."""

    MASTER = "master"
    SLAVE = "slave"

    @property
    def peer(self) -> Role:
        """The other side."""
        return Role.SLAVE if self is Role.MASTER else Role.MASTER


class ConnectionState(StrEnum):
    """How far a connection has come; the same on both sides."""

    OPENING = "OPENING"  #: nothing was said
    GREETED = "GREETED"  #: the master has said `Hello`
    OPEN = "OPEN"  #: the slave has said `Welcome`
    CLOSED = "CLOSED"  #: refused, closed by the peer, or broken; for good


@dataclass(frozen=True, slots=True)
class NeedData:
    """There is no whole frame: `receive_data` more."""


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer will send no more."""

    unfinished: int = 0  #: bytes of a frame that never became whole; a peer that dies leaves some


Event = Message | NeedData | PeerClosed

_BY_MASTER: frozenset[type] = frozenset(get_args(MasterMessage))
_BY_SLAVE: frozenset[type] = frozenset(get_args(SlaveMessage))
_SPOKEN_BY = {Role.MASTER: _BY_MASTER, Role.SLAVE: _BY_SLAVE}
_GREETINGS: frozenset[type] = frozenset({Hello, Welcome, Refused})

#: state → message → next state.  While OPEN, everything but a greeting may be said by whoever may say it.
TRANSITIONS: dict[ConnectionState, dict[type, ConnectionState]] = {
    ConnectionState.OPENING: {Hello: ConnectionState.GREETED},
    ConnectionState.GREETED: {Welcome: ConnectionState.OPEN, Refused: ConnectionState.CLOSED},
    ConnectionState.OPEN: dict.fromkeys((_BY_MASTER | _BY_SLAVE) - _GREETINGS, ConnectionState.OPEN),
    ConnectionState.CLOSED: {},
}

#: request → the answers it may get.  `Query` is answered by `Status`, which carries no number.
ANSWERS: dict[type, frozenset[type]] = {
    Echo: frozenset({EchoReply}),
    EnsurePresent: frozenset({Present, Rejected}),
    Build: frozenset({Accepted, Rejected}),
    Fetch: frozenset({FetchData, Rejected}),
    Abort: frozenset({Accepted, Rejected}),
    Clean: frozenset({Accepted, Rejected}),
}
_NUMBERED: frozenset[type] = frozenset(ANSWERS) | {Query}
_ANSWERING: frozenset[type] = frozenset(answer for answers in ANSWERS.values() for answer in answers)


class Connection:
    """One side of one connection."""

    def __init__(self, role: Role) -> None:
        """Start a connection that nobody has spoken on."""
        self.role = role
        self.state = ConnectionState.OPENING
        self._input: deque[memoryview] = deque()
        self._frame = bytearray()  # the frame being received, its length included
        self._needed = _LENGTH  # bytes that `_frame` must have before it can be looked at
        self._ended = False  # the peer has closed
        self._last_request = -1
        self._outstanding: dict[int, type] = {}
        self._versions: tuple[int, ...] = ()

    @property
    def peer_version(self) -> tuple[int, ...]:
        """The versions that were offered and, once OPEN, the one that was chosen."""
        return self._versions

    def send(self, message: Message) -> bytes:
        """Return the bytes to write for `message`.

        Raises:
            LocalProtocolError: this side may not send it now, or it does not fit a frame; nothing has changed.
        """
        self._check(self.role, message, LocalProtocolError)
        frame = codec.encode(message)
        self._advance(message)
        return frame

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the socket; empty when the peer has closed.  Take all events before the next call."""
        if not data:
            self._ended = True
        elif self.state is not ConnectionState.CLOSED:
            self._input.append(memoryview(bytes(data)))  # views: cutting copies nothing

    def next_event(self) -> Event:
        """Return what the peer said next.

        Raises:
            RemoteProtocolError: at the point of the stream where the peer broke the protocol; the connection is
                CLOSED from then on, and every further call returns `PeerClosed`.
        """
        if self.state is ConnectionState.CLOSED:
            return PeerClosed()
        try:
            if not self._whole_frame():
                if not self._ended:
                    return NeedData()
                self.state = ConnectionState.CLOSED
                return PeerClosed(unfinished=len(self._frame))
            message = codec.decode(memoryview(self._frame)[_LENGTH:])
            self._check(self.role.peer, message, RemoteProtocolError)
        except RemoteProtocolError:
            self.state = ConnectionState.CLOSED
            self._input.clear()
            self._frame = bytearray()
            raise
        self._frame = bytearray()
        self._needed = _LENGTH
        self._advance(message)
        return message

    def _whole_frame(self) -> bool:
        """Move input into the frame; return True once it is whole, False if there is not enough."""
        while True:
            while len(self._frame) < self._needed and self._input:
                piece = self._input.popleft()
                missing = self._needed - len(self._frame)
                self._frame += piece[:missing]
                if len(piece) > missing:
                    self._input.appendleft(piece[missing:])
            if len(self._frame) < self._needed:
                return False
            if self._needed > _LENGTH:
                return True
            length = int.from_bytes(self._frame, "big")
            if not 0 < length <= codec.MAX_FRAME:
                raise RemoteProtocolError(
                    f"frame of {length} bytes announced; 1 to {codec.MAX_FRAME} are allowed"
                    f" (the stream goes on with {bytes(self._frame)!r})"
                )
            self._needed = _LENGTH + length

    def _check(self, speaker: Role, message: Message, fault: type[ProtocolError]) -> None:
        """Raise `fault` if `speaker` may not say `message` now."""
        kind = type(message)
        if kind not in _SPOKEN_BY[speaker]:
            raise fault(f"a {speaker} does not send {kind.__name__}")
        if kind not in TRANSITIONS[self.state]:
            raise fault(f"{kind.__name__} does not belong into a connection that is {self.state}")
        if isinstance(message, Welcome) and message.version not in self._versions:
            offered = ", ".join(map(str, self._versions))
            raise fault(f"protocol version {message.version} chosen, but only {offered} offered")
        number = getattr(message, "id", None)
        if number is None:
            return
        if kind in _NUMBERED:
            if number <= self._last_request:
                raise fault(f"{kind.__name__} {number} is not above the request before, {self._last_request}")
            if kind in ANSWERS and len(self._outstanding) >= MAX_OUTSTANDING:
                raise fault(f"{kind.__name__} {number}: {MAX_OUTSTANDING} requests wait for an answer already")
        elif kind in _ANSWERING:
            asked = self._outstanding.get(number)
            if asked is None:
                raise fault(f"{kind.__name__} answers request {number}, which waits for no answer")
            if kind not in ANSWERS[asked]:
                raise fault(f"{kind.__name__} is no answer to request {number}, a {asked.__name__}")

    def _advance(self, message: Message) -> None:
        """Remember that `message`, which `_check` allowed, was said."""
        kind = type(message)
        self.state = TRANSITIONS[self.state][kind]
        match message:
            case Hello(versions=versions):
                self._versions = versions
            case Welcome(version=version):
                self._versions = (version,)
            case FetchData(last=False):
                pass
            case Query(id=number):
                self._last_request = number
            case Echo(id=number) | EnsurePresent(id=number) | Build(id=number) | Fetch(id=number):
                self._ask(number, kind)
            case Abort(id=number) | Clean(id=number):
                self._ask(number, kind)
            case EchoReply(id=number) | Present(id=number) | Accepted(id=number) | Rejected(id=number):
                del self._outstanding[number]
            case FetchData(id=number):
                del self._outstanding[number]

    def _ask(self, number: int, kind: type) -> None:
        """Remember that request `number` waits for its answer."""
        self._last_request = number
        self._outstanding[number] = kind

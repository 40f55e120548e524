"""The only slave socket of the farm: bytes between a non-blocking socket and `protocol.connection`.

Thespian tells of readability only, so the socket lies in an epoll of its own, whose descriptor the actor watches: it is
readable whenever the socket has something to read, room to write, or has just been connected.  Never decides anything;
`actors.builder` hands what `pump` yields to `actors.core.builder`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

from protocol.connection import Connection, NeedData, PeerClosed, Role
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import VERSION, Hello, MasterMessage, Message, SlaveMessage

READ_BYTES = 256 * 1024  #: at a time
READS = 4  #: a pump, so that a slave that never stops talking does not keep the actor from its other messages
_AT_ONCE = 64  #: messages in one call
UNSENT_LIMIT = 16 * 1024 * 1024  #: bytes; a full window of a push is 4 MiB


@dataclass(frozen=True, slots=True)
class Up:
    """The connection stands; nothing was said."""


@dataclass(frozen=True, slots=True)
class Down:
    """It could not be made, or it broke; the socket is closed."""

    reason: str  #: in words
    lied: bool = False  #: the slave broke the protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """The slave said something."""

    message: SlaveMessage


Happening = Up | Down | Heard


class SlaveLink:
    """One connection at a time, to one slave."""

    def __init__(self, token_file: Path) -> None:
        """Prepare; `token_file` is read anew for every greeting."""
        self._token_file = token_file
        self._epoll = select.epoll()
        self._socket: socket.socket | None = None
        self._connection = Connection(Role.MASTER)
        self._connecting = False
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._wanted = 0  # what the epoll is asked for
        self._failed: Down | None = None  # happened outside of `pump`, which will say so

    def fileno(self) -> int:
        """Return the descriptor to watch for readability."""
        return self._epoll.fileno()

    @property
    def unsent(self) -> int:
        """Return the bytes that wait for the slave to read."""
        return self._unsent_bytes

    @property
    def eager(self) -> bool:
        """Return whether `pump` has something to say that no descriptor will tell of."""
        return self._failed is not None

    def connect(self, host: str, port: int) -> None:
        """Begin to connect; `pump` tells how it went.  Loopback only: the token goes in plain text."""
        self.close()
        address = loopback(host)
        if address is None:
            self._failed = Down(f"{host} is not a loopback address, and without encryption nothing else is allowed")
            return
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._connection, self._connecting = Connection(Role.MASTER), True
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._socket.connect_ex((address, port))
        if code not in {0, errno.EINPROGRESS}:
            self._fail(_words(code))
            return
        self._wanted = select.EPOLLIN | select.EPOLLOUT
        self._epoll.register(self._socket, self._wanted)

    def greet(self, epoch: int, farm: str) -> None:
        """Say `Hello`, with the token."""
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no plain text"
            self._fail(f"the token file {self._token_file} can't be read: {reason}")
            return
        try:
            self.send(Hello((VERSION,), farm, epoch, token))
        except LocalProtocolError:
            self._fail(f"the token file {self._token_file} holds no token: one line of ASCII text is one")

    def send(self, message: MasterMessage) -> None:
        """Have `message` sent by the next `flush`; does nothing when there is no connection."""
        if self._socket is None:
            return
        frame = self._connection.send(message)
        self._unsent.append(memoryview(frame))
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > UNSENT_LIMIT:
            self._fail(f"the slave does not read what it is sent: {self._unsent_bytes} bytes wait")

    def flush(self) -> None:
        """Send all that waits, or as much as the socket takes now; the rest goes when there is room.

        Once for several messages: a slave that is woken by each of them answers each by itself.
        """
        if self._unsent and not self._connecting:
            self._flush()

    def pump(self) -> Iterator[Happening]:
        """Read and write what is possible now and yield what happened; stops when `close` or `connect` is called."""
        if self._socket is not None and self._failed is None:
            yield from self._pump(self._socket)
        if self._failed is not None:
            down, self._failed = self._failed, None
            yield down

    def close(self) -> None:
        """Close the connection, if there is one, after a last attempt to send what waits; nothing is told of it."""
        if self._socket is not None and not self._connecting:
            self._flush()
        self._close()
        self._failed = None

    def release(self) -> None:
        """Close for good."""
        self.close()
        self._epoll.close()

    def _pump(self, ours: socket.socket) -> Iterator[Happening]:
        events = dict(self._epoll.poll(0)).get(ours.fileno(), 0)
        if not events:
            return
        if self._connecting:
            code = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code or events & (select.EPOLLERR | select.EPOLLHUP):
                self._fail(_words(code or errno.ECONNREFUSED))
                return
            if not events & select.EPOLLOUT:
                return
            self._connecting = False
            self._want(ours, select.EPOLLIN)
            yield Up()
        if self._socket is ours and events & select.EPOLLOUT:
            self._flush()
        for _ in range(READS):
            if self._socket is not ours or not self._read(ours):
                return
            yield from self._events(ours)

    def _read(self, ours: socket.socket) -> bool:
        """Read once; return False if there was nothing."""
        try:
            self._connection.receive_data(ours.recv(READ_BYTES))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail(_words(error.errno))
            return False
        return True

    def _events(self, ours: socket.socket) -> Iterator[Happening]:
        connection = self._connection
        while self._socket is ours:
            try:
                event = connection.next_event()
            except RemoteProtocolError as error:
                self._fail(str(error), lied=True)
                return
            match event:
                case NeedData():
                    return
                case PeerClosed(unfinished):
                    cut = f" in the middle of a message ({unfinished} bytes of it came)" if unfinished else ""
                    self._fail(f"the slave closed the connection{cut}")
                    return
                case message:
                    yield Heard(_by_slave(message))

    def _flush(self) -> None:
        """Write as much as the socket takes, and ask to be told when it takes more."""
        ours = self._socket
        if ours is None:
            return
        try:
            while self._unsent:
                self._sent(ours.sendmsg(tuple(islice(self._unsent, _AT_ONCE))))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._fail(_words(error.errno))
            return
        self._want(ours, select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0))

    def _sent(self, count: int) -> None:
        """Take `count` bytes off what waits."""
        self._unsent_bytes -= count
        while count and count >= len(self._unsent[0]):
            count -= len(self._unsent.popleft())
        if count:
            self._unsent[0] = self._unsent[0][count:]

    def _want(self, ours: socket.socket, wanted: int) -> None:
        if wanted != self._wanted:
            self._epoll.modify(ours, wanted)
            self._wanted = wanted

    def _fail(self, reason: str, *, lied: bool = False) -> None:
        self._close()
        self._failed = Down(reason, lied)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()  # which takes it out of the epoll as well
            self._socket = None
        self._connecting = False
        self._unsent.clear()
        self._unsent_bytes = 0


def loopback(host: str) -> str | None:
    """Return the loopback address that `host` is or names, without asking any name server; None if it is none."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return host if ip_address(host).is_loopback else None
    except ValueError:
        return None


def _words(code: int | None) -> str:
    words = os.strerror(code) if code else "the connection broke"
    return words[:1].lower() + words[1:]


def _by_slave(message: Message) -> SlaveMessage:
    """Narrow the type: a connection of role MASTER hands out what a slave may say, nothing else."""
    assert isinstance(message, SlaveMessage)  # noqa: S101
    return message

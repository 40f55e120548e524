"""The slave socket of our own protocol: bytes between a non-blocking socket and `protocol.connection`.

Thespian tells of readability only, so the socket lies in an epoll of its own, whose descriptor the actor watches: it is
readable whenever the socket has something to read, room to write, or has just been connected, or an address was found.
TLS (`certificates.channel`) keeps nothing back that the socket would have to tell of.  Never decides anything;
`actors.builder.actor` hands what `pump` yields to `actors.core.builder.core`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from actors.builder.happenings import Down, Happening, Heard, Up
from actors.builder.name_lookup import Found, Lookup
from actors.core.builder.credentials import loopback
from actors.core.timers import Timers
from certificates.channel import CUT, Channel, ChannelRefused
from certificates.files import CertificateFiles, NoCertificate
from protocol.connection import Connection, NeedData, PeerClosed, Role
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import VERSION, Hello, MasterMessage, Message, SlaveMessage

READ_BYTES = 256 * 1024  #: at a time
READS = 4  #: a pump, so that a slave that never stops talking does not keep the actor from its other messages
_AT_ONCE = 64  #: messages in one call
UNSENT_LIMIT = 16 * 1024 * 1024  #: bytes; a full window of a push is 4 MiB


class SlaveLink:
    """One connection at a time, to one slave."""

    def __init__(self, token_file: Path, certificates: Path) -> None:
        """Prepare; the token is read for every plain greeting, the certificates for every TLS connection if they changed.

        Args:
            token_file: the secret of plain connections.
            certificates: directory of the master's own.
        """
        self._token_file = token_file
        self._certificates = CertificateFiles(certificates, server=False)
        self._epoll = select.epoll()
        self._lookup: Lookup | None = None
        self._addresses: deque[Found] = deque()  # to be tried if this one does not answer
        self._socket: socket.socket | None = None
        self._connection = Connection(Role.MASTER)
        self._channel: Channel | None = None  # None: plain TCP
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

    @property
    def due(self) -> float:
        """Return the monotonic second at which `pump` is wanted, whatever the descriptor says: none."""
        return float("inf")

    def take_up(self, timers: Timers) -> None:
        """Do nothing: it waits for nothing by itself."""

    def connect(self, host: str, port: int, *, tls: bool) -> None:
        """Begin to connect; `pump` tells how it went.  Plain TCP is for loopback only: the token goes in plain text."""
        self.close()
        address = loopback(host)
        if address is None and not tls:
            self._failed = Down(f"{host} is not a loopback address, and without encryption nothing else is allowed")
            return
        self._connection = Connection(Role.MASTER)
        try:
            self._channel = Channel(self._certificates.context(), server=False) if tls else None
        except NoCertificate as error:
            self._failed = Down(f"this master can't show a certificate: {error}; `buildd-master ca init` makes one")
            return
        self._lookup = Lookup(address or host, port)
        if not self._found():
            self._epoll.register(self._lookup, select.EPOLLIN)

    def _found(self) -> bool:
        """Go on with the addresses of the host, if they are known by now."""
        found = None if self._lookup is None else self._lookup.found()
        if found is None:
            return False
        self._end_lookup()
        if isinstance(found, str):
            self._fail(found)
            return True
        self._addresses.extend(found)
        self._try_next()
        return True

    def _try_next(self) -> None:
        family, address = self._addresses.popleft()
        self._connecting = True
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._socket.connect_ex(address)
        if code not in {0, errno.EINPROGRESS}:
            self._not_connected(code)
            return
        self._wanted = select.EPOLLIN | select.EPOLLOUT
        self._epoll.register(self._socket, self._wanted)

    def _not_connected(self, code: int) -> None:
        """Try the next address of the host; give up after the last."""
        if not self._addresses or self._socket is None:
            self._fail(_words(code))
            return
        self._socket.close()
        self._try_next()

    def greet(self, epoch: int, farm: str) -> None:
        """Say `Hello`; over plain TCP with the token."""
        if self._channel is not None:
            self.send(Hello((VERSION,), farm, epoch))
            return
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
        if self._channel is None:
            self._queue(frame)
        else:
            self._channel.send(frame)
            self._queue(self._channel.to_send())
        if self._unsent_bytes > UNSENT_LIMIT:
            self._fail(f"the slave does not read what it is sent: {self._unsent_bytes} bytes wait")

    def _queue(self, data: bytes) -> None:
        if data:
            self._unsent.append(memoryview(data))
            self._unsent_bytes += len(data)

    def flush(self) -> None:
        """Send all that waits, or as much as the socket takes now; the rest goes when there is room.

        Once for several messages: a slave that is woken by each of them answers each by itself.
        """
        if self._unsent and not self._connecting:
            self._flush()

    def pump(self) -> Iterator[Happening]:
        """Read and write what is possible now and yield what happened; stops when `close` or `connect` is called."""
        if self._lookup is not None:
            self._found()
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
                self._not_connected(code or errno.ECONNREFUSED)
                return
            if not events & select.EPOLLOUT:
                return
            self._connecting = False
            self._addresses.clear()
            self._want(ours, select.EPOLLIN)
            if self._channel is None:
                yield Up()
            else:
                self._queue(self._channel.to_send())
                self._flush()
        if self._socket is ours and events & select.EPOLLOUT:
            self._flush()
        for _ in range(READS):
            if self._socket is not ours:
                return
            shaking = self._channel is not None and not self._channel.open
            if not self._read(ours):
                return
            if shaking and self._channel is not None and self._channel.open:
                yield Up(self._channel.shown, datetime.now(UTC))
            yield from self._events(ours)

    def _read(self, ours: socket.socket) -> bool:
        """Read once; return False if there was nothing, or it was the end."""
        shaking = self._channel is not None and not self._channel.open
        try:
            data = ours.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail(_words(error.errno) + (", during the TLS handshake" if shaking else ""))
            return False
        if shaking and not data:
            self._fail(CUT, unfit=True)
            return False
        if self._channel is None or not data:
            self._connection.receive_data(data)
            return True
        return self._decipher(self._channel, data)

    def _decipher(self, channel: Channel, data: bytes) -> bool:
        try:
            said = channel.receive(data)
        except ChannelRefused as error:
            self._queue(channel.to_send())  # tells the slave why
            self._flush()
            self._fail(str(error), unfit=True)
            return False
        self._queue(channel.to_send())
        self._flush()
        if said:
            self._connection.receive_data(said)
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

    def _fail(self, reason: str, *, lied: bool = False, unfit: bool = False) -> None:
        self._close()
        self._failed = Down(reason, lied, unfit)

    def _end_lookup(self) -> None:
        if self._lookup is not None:
            self._lookup.close()  # which takes it out of the epoll as well
            self._lookup = None

    def _close(self) -> None:
        self._end_lookup()
        self._addresses.clear()
        if self._socket is not None:
            self._socket.close()  # which takes it out of the epoll as well
            self._socket = None
        self._connecting = False
        self._unsent.clear()
        self._unsent_bytes = 0


def _words(code: int | None) -> str:
    words = os.strerror(code) if code else "the connection broke"
    return words[:1].lower() + words[1:]


def _by_slave(message: Message) -> SlaveMessage:
    """Narrow the type: a connection of role MASTER hands out what a slave may say, nothing else."""
    assert isinstance(message, SlaveMessage)  # noqa: S101
    return message

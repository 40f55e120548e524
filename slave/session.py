"""One connection to a master: bytes to messages and back, TLS, heartbeats, and what the master asked to have pushed.

Knows no state of the slave: `slave.daemon` tells it what to say.  A peer that does not read stops us from reading it:
nothing piles up here but one chunk a push, below asyncio's own high-water mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

from certificates.channel import CUT, Channel, ChannelRefused
from certificates.files import NoCertificate
from certificates.identity import Shown
from protocol.connection import Connection, ConnectionState, NeedData, PeerClosed, Role
from protocol.errors import RemoteProtocolError
from protocol.messages import (
    CHUNK,
    HEARTBEAT_SECONDS,
    Fetch,
    FetchData,
    Heartbeat,
    Log,
    MasterMessage,
    Message,
    SlaveMessage,
)
from protocol.transfer import spans

log = logging.getLogger("buildd-slave")

TLS_HANDSHAKE = b"\x16\x03"  #: what TLS begins with; as a frame's length it would be too long
READ_BYTES = 256 * 1024
HIGH_WATER = 512 * 1024  #: bytes that wait for the peer, before logs and results wait as well
LINGER_SECONDS = 5.0  #: a closed connection may take that long to deliver what was said


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a session waits; seconds."""

    heartbeat: float = HEARTBEAT_SECONDS
    silence: float = 45.0  #: a master that has sent no whole frame for so long is gone (dispatch-rules.md §8)
    greeting: float = 10.0  #: a connection that is no session by then is closed


@dataclass(frozen=True, slots=True)
class Secrecy:
    """How a connection is kept from others."""

    channel: Channel
    judge: Callable[[Shown], str]  #: why what the peer has shown is no master's; NoCertificate: ours can't be read


@dataclass(slots=True)
class _Following:
    """A log that this session has pushed to it."""

    attempt: str
    path: Path
    offset: int


class Session:
    """One connection; all methods belong to the loop's thread."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        timing: Timing,
        secrecy: Secrecy | None = None,
    ) -> None:
        self.number = number
        self.fault = ""  #: why the peer's certificate is no master's; known when it has said anything
        self.secrecy = secrecy  #: None: plain TCP
        peer = writer.get_extra_info("peername")
        self.name = f"session {number} from {peer[0]} port {peer[1]}" if peer else f"session {number}"
        self.began = time.monotonic()
        self._reader = reader
        self._writer = writer
        self._timing = timing
        self._connection = Connection(Role.SLAVE)
        self._last_said = self._last_heard = self.began
        self._why: str | None = None  # closed: for what reason
        self._following: _Following | None = None
        self._more_log = asyncio.Event()
        self._turn = asyncio.Lock()  # one chunk at a time waits for the peer
        self._tasks: set[asyncio.Task[None]] = set()
        writer.transport.set_write_buffer_limits(high=HIGH_WATER)
        self._start(self._watch())
        self._start(self._keep_pushing_log())

    @property
    def open(self) -> bool:
        """Whether the peer is an authenticated master."""
        return self._connection.state is ConnectionState.OPEN and self._why is None

    @property
    def closed(self) -> bool:
        """Whether nothing is said any more."""
        return self._why is not None

    # -- what the peer says ------------------------------------------------------------------------------------------
    async def messages(self) -> AsyncIterator[MasterMessage]:
        """Yield what the peer says, until the connection ends; logs why it ended."""
        try:
            while not self.closed:
                data = await self._reader.read(READ_BYTES)
                said = data if self.secrecy is None else self._decipher(self.secrecy, data)
                if self.secrecy is None and self._connection.state is ConnectionState.OPENING:
                    self._look_at_first(data)
                if said or not data:
                    self._connection.receive_data(said)
                for message in self._whole():
                    yield message
                if not self._writer.is_closing():
                    await self._writer.drain()
        except RemoteProtocolError as wrong:
            self.close(f"the peer broke the protocol: {wrong}")
        except OSError as wrong:
            self.close(f"connection lost: {wrong.strerror or wrong}")

    def _decipher(self, secrecy: Secrecy, data: bytes) -> bytes:
        """Return what the peer said; a peer that is refused hears why."""
        channel, shaking = secrecy.channel, not secrecy.channel.open
        if not data:
            if shaking:
                self.close(f"the peer {CUT}")
            return b""
        try:
            said = channel.receive(data)
            if shaking and channel.open:
                self.fault = secrecy.judge(channel.shown)
        except (ChannelRefused, NoCertificate) as refused:
            self._writer.write(channel.to_send())
            self.close(f"the peer {refused}" if isinstance(refused, ChannelRefused) else str(refused))
            return b""
        self._writer.write(channel.to_send())
        return said

    def _look_at_first(self, data: bytes) -> None:
        if data.startswith(TLS_HANDSHAKE):
            self.close("the peer speaks TLS, and this slave is not enrolled: `buildd-slave enroll` changes that")

    def _whole(self) -> Iterator[MasterMessage]:
        """Yield the messages that have arrived whole, one at a time: each may end the session."""
        while not self.closed:
            event = self._connection.next_event()
            if isinstance(event, PeerClosed):
                self.close("the peer closed it")
            elif isinstance(event, NeedData):
                return
            else:
                self._last_heard = time.monotonic()
                yield _by_master(event)

    # -- what we say -------------------------------------------------------------------------------------------------
    def say(self, message: SlaveMessage) -> None:
        """Send `message`; nothing happens if the connection has ended."""
        if self.closed or self._writer.is_closing() or self._connection.state is ConnectionState.CLOSED:
            return
        frame = self._connection.send(message)
        if self.secrecy is not None:
            self.secrecy.channel.send(frame)
            frame = self.secrecy.channel.to_send()
        self._writer.write(frame)
        self._last_said = time.monotonic()

    def close(self, why: str) -> None:
        """End the connection once what was said has left; the first reason is logged."""
        if self._why is not None:
            return
        self._why = why
        log.info("%s closed: %s", self.name, why)
        for task in self._tasks:
            task.cancel()
        self._writer.close()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._writer.transport.abort)

    def follow_log(self, attempt: str, path: Path, offset: int) -> None:
        """Push the log at `path` from `offset` on."""
        self._following = _Following(attempt, path, offset)
        self.push_log(attempt)

    def push_log(self, attempt: str) -> None:
        """Push what is new in the log of `attempt`, if the peer asked for it; as much as it takes in now."""
        following = self._following
        if following is None or following.attempt != attempt or self.closed:
            return
        with contextlib.suppress(FileNotFoundError), following.path.open("rb") as file:  # cleaned meanwhile
            file.seek(following.offset)
            while self._writer.transport.get_write_buffer_size() < HIGH_WATER:
                piece = file.read(CHUNK)
                if not piece:
                    return
                self.say(Log(attempt, following.offset, piece))
                following.offset += len(piece)
        self._more_log.set()

    def send_result(self, fetch: Fetch, path: Path) -> None:
        """Send the file at `path`, from `fetch.offset` on, as fast as the peer reads."""
        self._start(self._send_result(fetch, path))

    async def _send_result(self, fetch: Fetch, path: Path) -> None:
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(fetch.offset)
                for span in spans(os.fstat(file.fileno()).st_size, fetch.offset):
                    async with self._turn:
                        self.say(FetchData(fetch.id, span.offset, file.read(span.length), span.last))
                        await self._writer.drain()
        except OSError as wrong:
            self.close(f"{fetch.name} cannot be sent: {wrong.strerror or wrong}")

    async def _keep_pushing_log(self) -> None:
        """Go on pushing the log when the peer has read what it was sent."""
        with contextlib.suppress(OSError):  # the reader of this connection sees it, too
            while True:
                await self._more_log.wait()
                self._more_log.clear()
                async with self._turn:
                    await self._writer.drain()
                if self._following is not None:
                    self.push_log(self._following.attempt)

    async def _watch(self) -> None:
        """Send heartbeats; end the connection when the peer is silent."""
        timing = self._timing
        while True:
            now = time.monotonic()
            if not self.open and now >= self.began + timing.greeting:
                self.close(f"no Hello within {timing.greeting:g} s")
                return
            if now >= self._last_heard + timing.silence:
                self.close(f"the peer was silent for {timing.silence:g} s")
                return
            if self.open and now >= self._last_said + timing.heartbeat:
                self.say(Heartbeat(now))
                self._last_said = now  # also where the connection takes nothing any more: its reader will see it
            # A session may open while this sleeps: its first heartbeat is not to wait for the greeting's end.
            due = (now if not self.open else self._last_said) + timing.heartbeat
            ends = self._last_heard + timing.silence if self.open else self.began + timing.greeting
            await asyncio.sleep(max(0.01, min(due, ends) - now))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _by_master(message: Message) -> MasterMessage:
    """Narrow the type: `protocol.connection` lets only a master's messages through to a slave."""
    return message  # type: ignore[return-value]

"""One connection of a simulated slave: says what it is told, or something else on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

import msgpack

from protocol.connection import Connection, ConnectionState, NeedData, PeerClosed, Role
from protocol.messages import CHUNK, EchoReply, FetchData, Heartbeat, Log, MasterMessage, SlaveMessage
from protocol.transfer import spans
from simulation.slaves.script import Act

MEBIBYTE = 1024 * 1024
FLOOD = 100_000  #: answers in a flood: more than any master should listen to


class Session:
    """A socket, the protocol on it, and what the master asked to have pushed."""

    def __init__(self, number: int, writer: asyncio.StreamWriter, passed: Callable[[int, SlaveMessage], None]) -> None:
        """Begin on a fresh connection."""
        self.number = number
        self.closed = False
        self._writer = writer
        self._passed = passed  # told of all that is said
        self._connection = Connection(Role.SLAVE)
        self._log: tuple[str, int] | None = None  # attempt, and where its log goes on
        self._last_said = time.monotonic()
        self._held: list[bytes] | None = None  # while a delay lasts

    def messages(self, piece: bytes) -> Iterator[MasterMessage]:
        """Yield what `piece` completes; RemoteProtocolError where the master breaks the protocol."""
        self._connection.receive_data(piece)
        while not self.closed:
            event = self._connection.next_event()
            if isinstance(event, (NeedData, PeerClosed)):
                return
            yield event  # type: ignore[misc]  # the connection lets only a master's messages through

    def say(self, message: SlaveMessage, *, instead: SlaveMessage | None = None) -> None:
        """Send `message`; or pretend to, and send `instead`, unchecked."""
        frame = self._connection.send(message)
        self._passed(self.number, instead or message)
        self._write(frame if instead is None else unchecked_frame(instead))

    def hold(self, seconds: float) -> None:
        """Let everything from here on leave `seconds` later, in order."""
        if self._held is None:
            self._held = []
            asyncio.get_running_loop().call_later(seconds, self._release)

    def close(self) -> None:
        """Close, once what was said has left."""
        self.closed = True
        self._writer.close()

    def follow_log(self, attempt: str, offset: int) -> None:
        """Push the log of `attempt` from `offset` on."""
        self._log = (attempt, offset)

    def push_log(self, attempt: str, log: bytearray) -> None:
        """Push what is new in the `log` of `attempt`, if this session asked for it."""
        while self._log is not None and self._log[0] == attempt and not self.closed and self._log[1] < len(log):
            offset = self._log[1]
            piece = bytes(log[offset : offset + CHUNK])
            self.say(Log(attempt, offset, piece))
            self._log = (attempt, offset + len(piece))

    def send_file(
        self, request: int, content: bytes, offset: int, say: Callable[[SlaveMessage], None]
    ) -> asyncio.Task[None]:
        """Send `content` from `offset` on with `say`, as fast as the master reads."""
        return asyncio.get_running_loop().create_task(self._send_file(request, content, offset, say))

    async def _send_file(self, request: int, content: bytes, offset: int, say: Callable[[SlaveMessage], None]) -> None:
        try:
            for span in spans(len(content), offset):
                if self.closed:
                    return
                piece = content[span.offset : span.offset + span.length]
                say(FetchData(request, span.offset, piece, span.last))
                await self._writer.drain()
        except OSError:
            return

    async def beat(self, seconds: float) -> None:
        """Say `Heartbeat` whenever nothing else was said for so long."""
        while True:
            await asyncio.sleep(max(0.01, self._last_said + seconds - time.monotonic()))
            quiet = time.monotonic() - self._last_said >= seconds
            if quiet and self._connection.state is ConnectionState.OPEN:
                self.say(Heartbeat(time.monotonic()))

    async def misbehave(self, act: Act) -> None:
        """Do `act` instead of saying anything sensible."""
        try:
            match act:
                case Act.DROP:
                    self.close()
                case Act.GARBAGE:
                    self._write(b"\x00\x00\x00\x10" + b"\xc1" * 16)
                case Act.OVERSIZED:
                    self._write((MEBIBYTE + 1).to_bytes(4, "big") + b"\x81" * 100)
                case Act.ENDLESS:
                    self._write(MEBIBYTE.to_bytes(4, "big") + b"\x81")
                    while not self.closed:
                        self._write(b"\xa1")
                        await asyncio.sleep(0.2)
                case Act.FLOOD:
                    for _ in range(FLOOD):
                        self._write(unchecked_frame(EchoReply(1 << 40, b"")))
                        await self._writer.drain()
                case Act.MUTE | Act.DIE | Act.DELAY | Act.LIE:
                    pass  # the slave has seen to it
        except OSError:
            pass  # the master hung up, as it should

    def _write(self, frame: bytes) -> None:
        self._last_said = time.monotonic()
        if self._held is not None:
            self._held.append(frame)
        elif not self._writer.is_closing():
            self._writer.write(frame)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for frame in held:
            self._write(frame)


def unchecked_frame(message: SlaveMessage) -> bytes:
    """Return the frame of a message that our own codec might refuse to send."""
    payload: bytes = msgpack.packb({"message": type(message).__name__, **asdict(message)})
    return len(payload).to_bytes(4, "big") + payload

"""A faulty cable between master and slave: a TCP proxy on loopback that cuts, slows and resets what passes.

What does not pass is late, not lost: as with a real network, TCP delivers it once the cable is mended.  While it is
cut, neither end learns that the other has hung up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_PIECE = 16 * 1024  #: bytes passed at a time
_PATIENCE = 10.0  #: seconds that a call into the loop may take


@dataclass
class Cable:
    """One cable; all of its methods belong to the loop of its `Cables`."""

    target: int  #: port of the slave
    port: int = 0  #: that the master connects to
    rate: float | None = None  #: bytes a second that pass; None: as they come
    to_slave: asyncio.Event = field(default_factory=asyncio.Event)  #: set: bytes pass
    to_master: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _resets: int = 0

    async def plug_in(self) -> None:
        """Listen."""
        self.to_slave.set()
        self.to_master.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *, to_slave: bool, to_master: bool) -> None:
        """Let nothing pass, in these directions."""
        if to_slave:
            self.to_slave.clear()
        if to_master:
            self.to_master.clear()

    def mend(self) -> None:
        """Let everything pass again."""
        self.rate = None
        self.to_slave.set()
        self.to_master.set()

    def reset(self) -> None:
        """Break every connection, for both ends at once."""
        self._resets += 1
        for writer in self._writers:
            _reset(writer)

    async def pull_out(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        resets = self._resets
        try:
            await self.to_slave.wait()
            from_slave, other = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(other)
            await asyncio.gather(
                self._pass(reader, other, self.to_slave, resets), self._pass(from_slave, writer, self.to_master, resets)
            )
        except (OSError, asyncio.CancelledError):
            pass  # an end hung up, or nobody listens there
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    _reset(end) if self._resets != resets else end.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, resets: int
    ) -> None:
        while piece := await reader.read(_PIECE):
            await gate.wait()
            if self.rate is not None:
                await asyncio.sleep(len(piece) / self.rate)
                await gate.wait()
            writer.write(piece)
            await writer.drain()
        if self._resets != resets:
            raise ConnectionResetError
        await gate.wait()
        if writer.can_write_eof():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Cables:
    """A thread full of cables."""

    def __init__(self) -> None:
        """Prepare; entering the context starts the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cables", daemon=True)
        self._cables: list[Cable] = []

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Pull everything out, and stop."""
        for cable in self._cables:
            self._run(cable.pull_out())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def add(self, target: int) -> Cable:
        """Return a cable to the slave on port `target`."""
        cable = Cable(target)
        self._run(cable.plug_in())
        self._cables.append(cable)
        return cable

    def cut(self, cable: Cable, *, to_slave: bool = True, to_master: bool = True) -> None:
        """See `Cable.cut`."""
        self._loop.call_soon_threadsafe(lambda: cable.cut(to_slave=to_slave, to_master=to_master))

    def slow(self, cable: Cable, rate: float) -> None:
        """Let only so many bytes a second pass."""

        def set_rate() -> None:
            cable.rate = rate

        self._loop.call_soon_threadsafe(set_rate)

    def mend(self, cable: Cable) -> None:
        """See `Cable.mend`."""
        self._loop.call_soon_threadsafe(cable.mend)

    def reset(self, cable: Cable) -> None:
        """See `Cable.reset`."""
        self._loop.call_soon_threadsafe(cable.reset)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

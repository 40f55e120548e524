"""The simulated slave: the real protocol and the real machine on a real socket, and builds that are only a script.

Runs in an asyncio loop of its own choosing: `simulation.slaves.buildd.host` gives tests a thread full of them,
`python -m simulation.slaves.buildd` a process full of them.  Its builds (`simulation.slaves.buildd.builds`) and its cache
live in memory; one slave costs some kilobytes.  It does what `simulation.slaves.script` tells it, misbehaviour included;
`heard` and `said` keep what passed, with stamps.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from protocol.errors import RemoteProtocolError
from protocol.messages import (
    HEARTBEAT_SECONDS,
    Build,
    EchoReply,
    FetchData,
    Hello,
    Log,
    MasterMessage,
    PutChunk,
    SlaveMessage,
)
from simulation.slaves.buildd.builds import Builds
from simulation.slaves.buildd.cache import Cache
from simulation.slaves.buildd.session import Session
from simulation.slaves.script import Act, Script
from slave.core.events import (
    CloseSession,
    Event,
    HelloArrived,
    KeepCertificate,
    KillBuild,
    LookUp,
    MessageArrived,
    Order,
    PushLog,
    RemoveBuild,
    SaveState,
    Send,
    SendResult,
    SessionLost,
    StartBuild,
    StoreChunk,
)
from slave.core.machine import Machine, Traits
from slave.core.record import Record

RECORD_LENGTH = 20_000  #: messages that `heard` and `said` keep


@dataclass(frozen=True, slots=True)
class Passed:
    """One message that passed, without the bytes it carried."""

    at: float  #: monotonic seconds (CLOCK_MONOTONIC: the same for all processes of this machine)
    session: int
    message: MasterMessage | SlaveMessage


class SimulatedSlave:
    """One slave; all of its methods belong to the thread of its loop."""

    def __init__(
        self,
        name: str,
        script: Script | None = None,
        *,
        token: str,
        architectures: tuple[str, ...] = ("i386",),
        backend: str = "simulated",
        on_heard: Callable[[SimulatedSlave, Passed], None] | None = None,
    ) -> None:
        """Prepare a slave; `start` has it listen."""
        self.name = name
        self.script = script or Script()
        self.port = 0
        self.heard: deque[Passed] = deque(maxlen=RECORD_LENGTH)
        self.said: deque[Passed] = deque(maxlen=RECORD_LENGTH)
        self.cache = Cache()
        self.machine = Machine(Traits(name, architectures, backend))
        self._saved = Record()  # what would be on the disk
        self._token = token
        self._on_heard = on_heard
        self.builds = Builds(self.script, self.cache.files, self._tell, self._push_log)
        self._sessions: dict[int, Session] = {}
        self._last_session = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()  # until their sockets are closed, sessions or not
        self._kept: set[asyncio.Task[None]] = set()  # asyncio itself keeps tasks only weakly

    # -- what a test does to it ------------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """The URL to register."""
        return f"buildd://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on loopback; on the port it had before, if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """Close every connection and listen no more; builds go on, as they do behind a cut cable."""
        if self._server is not None:
            server, self._server = self._server, None
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening)
            await asyncio.sleep(0)  # what was accepted just now is attached to the server, or never closed
            server.close()
        self.drop()

    def drop(self) -> None:
        """Close every connection, and go on listening."""
        for session in tuple(self._sessions.values()):
            session.close()

    async def restart(self) -> None:
        """Die and come back: what ran is gone, what was saved is read."""
        await self.go_away()
        self.builds.give_up()
        self.machine = Machine(self.machine.traits, self._saved, log_size=len(self.builds.log))
        self._saved = self.machine.record
        await self.start()

    async def stop(self) -> None:
        """Be gone."""
        await self.go_away()
        for writer in self._writers:
            writer.transport.abort()
        tasks = [task for task in (*self._kept, self.builds.give_up()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._serving, return_exceptions=True)

    def finish(self) -> None:
        """Let a build that hangs come to its end."""
        self.builds.finish()

    # -- sessions --------------------------------------------------------------------------------------------------
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            if self._server is None:
                writer.transport.abort()  # accepted in the moment we went away
            else:
                await self._converse(reader, writer)
            with suppress(OSError):
                await writer.wait_closed()
        finally:
            self._writers.discard(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._last_session += 1
        session = Session(self._last_session, writer, self._say_passed)
        self._sessions[session.number] = session
        beats = asyncio.get_running_loop().create_task(session.beat(HEARTBEAT_SECONDS))
        try:
            while piece := await reader.read(1 << 18):
                for message in session.messages(piece):
                    await self._hear(session, message)
        except (OSError, RemoteProtocolError):
            pass  # the peer's fault, and the peer has lost its session for it
        finally:
            beats.cancel()
            session.close()
            del self._sessions[session.number]
            self._tell(SessionLost(session.number))

    async def _hear(self, session: Session, message: MasterMessage) -> None:
        at = time.monotonic()
        stripped = replace(message, data=b"") if isinstance(message, PutChunk) else message
        passed = Passed(at, session.number, stripped)
        self.heard.append(passed)
        if self._on_heard is not None:
            self._on_heard(self, passed)
        twist = self.script.twist(message)
        if twist is not None:
            if twist.act is Act.DIE:
                await self.go_away()
            elif twist.act is Act.DELAY:
                await asyncio.sleep(twist.seconds)
            else:
                await session.misbehave(twist.act)
            if twist.act is not Act.DELAY:
                return
        if isinstance(message, Hello):
            right = hmac.compare_digest(self._token.encode(), (message.token or "").encode())
            self._tell(HelloArrived(session.number, message, right, self._free(), at))
        else:
            self._tell(MessageArrived(session.number, message, at, self._missing(message)))

    def _missing(self, message: MasterMessage) -> frozenset[str]:
        if not isinstance(message, Build) or self.script.has_everything:
            return frozenset()
        return frozenset({*message.files.values(), message.chroot} - self.cache.files.keys() - {""})

    def _say_passed(self, number: int, message: SlaveMessage) -> None:
        stripped = replace(message, data=b"") if isinstance(message, (Log, FetchData, EchoReply)) else message
        self.said.append(Passed(time.monotonic(), number, stripped))

    def _free(self) -> int:
        return max(0, self.script.cache_limit - self.cache.size)

    # -- orders ----------------------------------------------------------------------------------------------------
    def _tell(self, event: Event) -> None:
        for order in self.machine.handle(event):
            self._obey(order)

    def _obey(self, order: Order) -> None:
        match order:
            case Send(number, message):
                self._say(number, message)
            case CloseSession(number):
                if number in self._sessions:
                    self._sessions[number].close()
            case LookUp(number, request):
                self._say(number, self.cache.look_up(request, has_everything=self.script.has_everything))
            case StoreChunk(number, chunk):
                answer = self.cache.store(chunk, self._free())
                if answer is not None:
                    self._say(number, answer)
            case SendResult(number, fetch):
                if number in self._sessions:
                    say, content = partial(self._say, number), self.builds.results[fetch.name]
                    self._keep(self._sessions[number].send_file(fetch.id, content, fetch.offset, say))
            case PushLog(number, attempt, offset):
                if number in self._sessions:
                    self._sessions[number].follow_log(attempt, offset)
                    self._push_log(attempt)
            case KeepCertificate():
                pass  # it speaks plain TCP only
            case _:
                self._obey_for_build(order)

    def _obey_for_build(self, order: SaveState | StartBuild | KillBuild | RemoveBuild) -> None:
        match order:
            case SaveState(record):
                self._saved = record
            case StartBuild():
                self.builds.start(order)
            case KillBuild(attempt):
                self.builds.kill(attempt)
            case RemoveBuild():
                self.builds.remove()
            case _:
                assert_never(order)

    def _keep(self, work: asyncio.Task[None]) -> None:
        self._kept.add(work)
        work.add_done_callback(self._kept.discard)

    def _say(self, number: int, message: SlaveMessage) -> None:
        session = self._sessions.get(number)
        if session is None or session.closed:
            return
        twist = self.script.twist(message)
        if twist is None:
            session.say(message)
        elif twist.act is Act.DIE:
            self._keep(asyncio.get_running_loop().create_task(self.go_away()))
        elif twist.act is Act.DELAY:
            session.hold(twist.seconds)
            session.say(message)
        elif twist.act is Act.LIE and twist.lie is not None:
            session.say(message, instead=twist.lie(message))
        else:
            self._keep(asyncio.get_running_loop().create_task(session.misbehave(twist.act)))

    def _push_log(self, attempt: str) -> None:
        for session in tuple(self._sessions.values()):
            session.push_log(attempt, self.builds.log)

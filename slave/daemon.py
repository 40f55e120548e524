"""The slave on a real machine: obeys `slave.core.machine` with sockets, files and processes.

One asyncio loop.  What takes time goes to threads (cache, removal of trees) or to processes (builds); a bug in a build
ends the daemon, whose next start reports the build as lost and cleans up: nothing is hidden.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import shutil
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from certificates.files import NoCertificate
from protocol.messages import Build, Hello, MasterMessage, Phase, PushFailed, PutChunk
from slave.building.backend import Task
from slave.building.binarypackage import BACKENDS, build, processors
from slave.core.events import (
    BuildEnded,
    CloseSession,
    Event,
    HelloArrived,
    KeepCertificate,
    KillBuild,
    LogGrew,
    LookUp,
    MessageArrived,
    PhaseEntered,
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
from slave.core.outcomes import Ending, builderfail
from slave.disk.build_log import BuildLog
from slave.disk.cache import FileCache
from slave.disk.roots import UNMEASURED, Choice, Roots
from slave.disk.state_directory import StateDirectory, removal
from slave.isolation import leftovers
from slave.joining.credentials import Credentials
from slave.session import Secrecy, Session, Timing

log = logging.getLogger("buildd-slave")

MOST_STRANGERS = 16  #: connections that have not greeted yet; one more, and the oldest is closed
READ_AHEAD = 512 * 1024  #: bytes that asyncio reads before anybody asks
KILL_SECONDS = 4.0  #: a stopping slave waits so long for its build to be gone


@dataclass(frozen=True, slots=True)
class Limits:
    """What the slave allows."""

    cache_bytes: int = 20 << 30
    log_bytes: int = 128 << 20  #: of one build


class Daemon:
    """One running slave.

    Args:
        traits: what it is.
        choice: how a build gets its root.
        state: its directory, locked.
        token: what a master must show over plain TCP; never logged.
        credentials: what is shown, and believed, over TLS; None: plain TCP, which is for loopback.
    """

    def __init__(
        self,
        traits: Traits,
        state: StateDirectory,
        token: str,
        *,
        choice: Choice = UNMEASURED,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.traits = traits
        self._state = state
        self._token = token.encode()
        self._credentials = credentials
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        self._sessions: dict[int, Session] = {}
        self._last_session = 0
        self._building: asyncio.Task[None] | None = None
        self._trash_waits = asyncio.Event()
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        record = state.load()
        self._machine = Machine(traits, record, log_size=state.log_size(record.attempt))
        self._cache = FileCache(state.cache, self._limits.cache_bytes)
        self._roots = Roots(state.path, choice, self._discard, state.empty_trash)
        self._server: asyncio.Server | None = None
        self._background: set[asyncio.Task[None]] = set()

    def token_changed(self, token: str) -> None:
        """Take another token; sessions that stand go on."""
        self._token = token.encode()

    # -- life --------------------------------------------------------------------------------------------------------
    async def start(self, host: str, port: int) -> int:
        """Clean up after an earlier life, listen, and return the port.

        Raises:
            OSError: the address is taken, or is none of this machine.
        """
        await self._clean_up()
        if self._machine.restarted:
            self._state.save(self._machine.record)
            attempt, text = self._machine.record.attempt, self._machine.record.text
            log.warning("attempt %s: %s", attempt, text, extra={"attempt": attempt})
        self._server = await asyncio.start_server(self._accept, host, port, limit=READ_AHEAD)
        self._in_background(self._empty_trash())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Kill the build, end the sessions; nothing is left running or mounted."""
        if self._server is not None:
            self._server.close()
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait({self._building}, timeout=KILL_SECONDS)
        for session in tuple(self._sessions.values()):
            session.close("the slave stops")
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        leftovers.kill(self._state.path)
        leftovers.unmount(self._state.path)
        self._cache.close()

    async def _clean_up(self) -> None:
        killed = leftovers.kill(self._state.path)
        if killed and not await leftovers.gone(self._state.path):
            log.error("processes of an earlier slave do not die: %s", leftovers.marked(self._state.path))
        unmounted = leftovers.unmount(self._state.path)
        if killed or unmounted:
            log.warning("an earlier slave had left processes %s and mounts %s", killed, unmounted)
        self._state.discard_all_but(self._machine.record.attempt)
        self._roots.bases.clean_up(self._cache.hashes)
        self._trash_waits.set()

    async def _empty_trash(self) -> None:
        while True:
            await self._trash_waits.wait()
            self._trash_waits.clear()
            for tree in self._state.rubbish():
                remover = await asyncio.create_subprocess_exec(*removal(tree))
                try:
                    await remover.wait()
                finally:
                    if remover.returncode is None:  # the slave stops: the next start goes on
                        remover.kill()
                        await remover.wait()

    # -- sessions ----------------------------------------------------------------------------------------------------
    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._last_session += 1
        try:
            secrecy = None if self._credentials is None else _secrecy(self._credentials)
        except NoCertificate as error:
            log.error("no session: %s", error)  # noqa: TRY400 - its words tell
            writer.close()
            return
        session = Session(self._last_session, reader, writer, self._timing, secrecy)
        strangers = [one for one in self._sessions.values() if not one.open]
        if len(strangers) >= MOST_STRANGERS:
            strangers[0].close("too many connections that do not greet")
        self._sessions[session.number] = session
        self._in_background(self._serve(session))

    async def _serve(self, session: Session) -> None:
        try:
            async for message in session.messages():
                await self._hear(session, message)
        finally:
            session.close("the slave stops")
            del self._sessions[session.number]
            self._tell(SessionLost(session.number))

    async def _hear(self, session: Session, message: MasterMessage) -> None:
        at = time.monotonic()
        if isinstance(message, Hello):
            plain = session.secrecy is None
            right = not plain or hmac.compare_digest(self._token, (message.token or "").encode())
            free = shutil.disk_usage(self._state.path).free
            orders = self._machine.handle(HelloArrived(session.number, message, right, free, at, session.fault))
            if session.number == self._machine.session:
                log.info("%s opened: farm %s, epoch %d", session.name, message.farm, message.epoch)
        else:
            missing: frozenset[str] = frozenset()
            if isinstance(message, Build):
                wanted = {*message.files.values(), message.chroot} - {""}
                missing = await asyncio.to_thread(self._cache.missing, wanted)
            orders = self._machine.handle(MessageArrived(session.number, message, at, missing))
        for order in orders:
            match order:
                case LookUp(_, request):
                    session.say(await asyncio.to_thread(self._cache.look_up, request))
                case StoreChunk(_, chunk):
                    await self._store(session, chunk)
                case _:
                    self._obey(order)

    async def _store(self, session: Session, chunk: PutChunk) -> None:
        answer = await asyncio.to_thread(self._cache.store, chunk)
        if isinstance(answer, PushFailed):  # tarballs may have had to go, in vain
            self._roots.bases.prune(self._cache.hashes)
        if answer is not None:
            session.say(answer)

    # -- orders ------------------------------------------------------------------------------------------------------
    def _tell(self, event: Event) -> None:
        for order in self._machine.handle(event):
            if not isinstance(order, (LookUp, StoreChunk)):  # these answer messages only, and are obeyed there
                self._obey(order)

    def _obey(
        self,
        order: Send
        | CloseSession
        | SaveState
        | StartBuild
        | KillBuild
        | RemoveBuild
        | SendResult
        | PushLog
        | KeepCertificate,
    ) -> None:
        match order:
            case SaveState(record):
                self._state.save(record)
            case StartBuild():
                self._start_build(order)
            case KillBuild(attempt):
                log.info("attempt %s is killed", attempt, extra={"attempt": attempt})
                if self._building is not None:  # soon: the task must have begun, to be told that it is cancelled
                    asyncio.get_running_loop().call_soon(self._building.cancel)
            case RemoveBuild(attempt):
                self._discard(self._state.build(attempt))
            case KeepCertificate(data):
                if self._credentials is not None:
                    self._credentials.keep(data)
            case _:
                self._obey_for_session(order)

    def _obey_for_session(self, order: Send | CloseSession | SendResult | PushLog) -> None:
        session = self._sessions.get(order.session)
        if session is None:
            return
        match order:
            case Send(_, message):
                session.say(message)
            case CloseSession(_, why):
                session.close(why)
            case SendResult(_, fetch):
                session.send_result(fetch, self._state.build(fetch.attempt) / "results" / fetch.name)
            case PushLog(_, attempt, offset):
                session.follow_log(attempt, self._state.log(attempt), offset)
            case _:
                assert_never(order)

    def _discard(self, path: Path) -> None:
        self._state.discard(path)
        self._trash_waits.set()

    # -- the build ---------------------------------------------------------------------------------------------------
    def _start_build(self, order: StartBuild) -> None:
        log.info(
            "attempt %s: %s for %s %s",
            *(order.attempt, order.args.dsc, order.args.suite, order.args.architecture),
            extra={"attempt": order.attempt},
        )
        self._cache.use({sha256 for _, sha256 in order.files} | ({order.chroot} - {""}))
        self._building = asyncio.get_running_loop().create_task(self._build(order))
        self._building.add_done_callback(self._build_is_over)

    def _build_is_over(self, task: asyncio.Task[None]) -> None:
        if self._building is task:
            self._building = None
        self._is_over(task)

    async def _build(self, order: StartBuild) -> None:
        attempt = order.attempt
        try:
            ending = await self._run(order)
        except asyncio.CancelledError:
            if not self._machine.aborting:
                raise  # the slave stops: its next start says what became of the build
            ending = builderfail("aborted")  # the machine knows better
        self._cache.release()
        self._roots.bases.prune(self._cache.hashes)
        log.info("attempt %s: %s: %s", attempt, ending.outcome, ending.text, extra={"attempt": attempt})
        at = time.monotonic()
        self._tell(BuildEnded(attempt, ending.outcome, ending.text, at, ending.files, ending.dependencies))

    async def _run(self, order: StartBuild) -> Ending:
        attempt = order.attempt
        directory = self._state.build(attempt)
        self._state.discard(directory)
        limit = min(self._limits.log_bytes, order.args.log_bytes or self._limits.log_bytes)
        try:
            directory.mkdir(parents=True)
            build_log = BuildLog(self._state.log(attempt), limit=limit, grew=lambda size: self._log_grew(attempt, size))
        except OSError as wrong:
            return builderfail(f"the log cannot be written: {wrong.strerror}")
        task = Task(
            args=order.args,
            chroot=self._cache.path(order.chroot) if order.chroot else None,
            files={name: self._cache.path(sha256) for name, sha256 in order.files},
            directory=directory,
            state_directory=self._state.path,
            log=build_log,
            roots=self._roots,
            parallel=processors(),
        )
        try:
            return await build(
                BACKENDS[self.traits.backend],
                task,
                entered=lambda phase: self._entered(attempt, phase),
                discard=self._discard,
            )
        finally:
            build_log.close()

    def _entered(self, attempt: str, phase: Phase) -> None:
        self._tell(PhaseEntered(attempt, phase, time.monotonic()))

    def _log_grew(self, attempt: str, size: int) -> None:
        self._tell(LogGrew(attempt, size))
        for session in tuple(self._sessions.values()):
            session.push_log(attempt)

    # -- tasks -------------------------------------------------------------------------------------------------------
    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        """Have `crashed` say what no task expected: a bug, or a disk that takes no record."""
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.crashed.done():
            self.crashed.set_exception(error)


def _secrecy(credentials: Credentials) -> Secrecy:
    return Secrecy(credentials.channel(), credentials.fault)

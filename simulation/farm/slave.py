"""A slave on the virtual network: the real machine of the daemon (`slave.machine`), around it a little of its shell.

Builds take the time that their plan says, and end as it says, unless something is wrong with this machine
(`simulation.scenario.plan.Trouble`).  What it builds is what was pushed to it, never what the master thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from protocol.messages import (
    CHUNK,
    HEARTBEAT_SECONDS,
    Build,
    ChunkAck,
    Clean,
    FetchData,
    Heartbeat,
    Hello,
    Log,
    MasterMessage,
    Message,
    Present,
    PushFailed,
    PutChunk,
    RejectionCode,
    ResultFile,
    SlaveMessage,
    WireOutcome,
)
from simulation.environment.cable import Cable, Connection
from simulation.environment.ground import Ground
from simulation.observers.witnesses import Witnesses
from simulation.scenario.chance import share
from simulation.scenario.plan import PlannedBuilder, PlannedJob, Trouble
from slave.events import (
    BuildEnded,
    CloseSession,
    Event,
    HelloArrived,
    KeepCertificate,
    KillBuild,
    LogGrew,
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
from slave.machine import Machine, Traits
from slave.record import Record

SILENCE: Final = 45.0  #: seconds without a word of the master, after which its session is over
KILLING: Final = 0.3  #: seconds that killing a build takes
BROKEN_AFTER: Final = 20.0  #: seconds until a broken machine breaks a build
FAILS_AFTER: Final = 3.0  #: seconds until a black hole fails one
DIES_AFTER: Final = 40.0  #: seconds until a machine that dies in builds dies in one
RISES_AFTER: Final = 90.0  #: seconds that it then takes to come back
_FREE: Final = 1 << 36
_LOG: Final = b"a line of a simulated log, as good as any other\n"


@dataclass(slots=True)
class _Peer:
    """A connection, as the slave has it."""

    number: int
    connection: Connection
    heard_at: float
    said_at: float
    log: tuple[str, int] | None = None  # attempt, and where its log goes on
    out: list[SlaveMessage] = field(default_factory=list)


class VirtualSlave:
    """One machine with its slave.

    Attributes:
        wrong: what is wrong with it, each as often as it began.
        lie: what becomes of what it says; None: it is honest.
    """

    def __init__(
        self,
        ground: Ground,
        witnesses: Witnesses,
        planned: PlannedBuilder,
        cable: Cable,
        architectures: tuple[str, ...],
    ) -> None:
        """Switch it on."""
        self.planned = planned
        self.cable = cable
        self.up = True
        self.hung = 0
        self.wrong: dict[Trouble, int] = {}
        self.lie: Callable[[SlaveMessage], SlaveMessage] | None = None
        self.machine = Machine(Traits(planned.name, architectures, "simulated"))
        self._agenda = ground.agenda
        self._contents = ground.contents
        self._witnesses = witnesses
        self._saved = Record()  # what is on its disk
        self._cache: dict[str, int] = {}  # SHA-256 → bytes
        self._arriving: dict[str, list[int]] = {}  # SHA-256 → bytes that are here, of how many
        self._log = 0  # bytes
        self._results: dict[str, bytes] = {}
        self._peers: dict[int, _Peer] = {}
        self._number = 0
        self._building: tuple[str, PlannedJob] | None = None  # attempt, and what is built in it
        self._run = 0  # of the process and its build: what was put on the agenda before counts no more
        self._waiting: list[Callable[[], None]] = []  # while it hangs
        self._beating = False

    def suffers(self, trouble: Trouble) -> bool:
        """Return whether this is wrong with it."""
        return self.wrong.get(trouble, 0) > 0

    # --- connections ------------------------------------------------------------------------------

    def accept(self, connection: Connection) -> None:
        """Take a new connection."""
        self._number += 1
        now = self._agenda.now
        self._peers[self._number] = _Peer(self._number, connection, now, now)

    def hear(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Take what the master says."""
        if self.hung:
            self._waiting.append(lambda: self.hear(connection, messages))
            return
        peer = self._peer(connection)
        if peer is None:
            return
        peer.heard_at = self._agenda.now
        for message in messages:
            if peer.number in self._peers:
                self._hear(peer, message)  # type: ignore[arg-type]  # a master's: nobody else is at the other end
        self._flush()

    def part(self, connection: Connection, reason: str) -> None:
        """Take in that the master is gone."""
        if self.hung:
            self._waiting.append(lambda: self.part(connection, reason))
            return
        peer = self._peer(connection)
        if peer is not None:
            del self._peers[peer.number]
            connection.close_slave()
            self._tell(SessionLost(peer.number))

    def _peer(self, connection: Connection) -> _Peer | None:
        for peer in self._peers.values():
            if peer.connection is connection:
                return peer
        return None

    def watch(self) -> None:
        """Begin to say and expect heartbeats as messages: something is wrong with the network, or was."""
        now = self._agenda.now
        for peer in self._peers.values():
            peer.heard_at = now - share(self.planned.name, now) * HEARTBEAT_SECONDS
            peer.said_at = now - share(self.planned.name, now, 1) * HEARTBEAT_SECONDS
        if not self._beating:
            self._beating = True
            self._beat()

    def _beat(self) -> None:
        """Say a heartbeat where nothing else was said, and give up a master that says nothing."""
        if not self.cable.watched:
            self._beating = False
            return
        now = self._agenda.now
        if self.up and not self.hung:
            for peer in tuple(self._peers.values()):
                if now - peer.heard_at >= SILENCE:
                    self._close(peer.number, "the peer was silent")
                elif peer.number == self.machine.session and now - peer.said_at >= HEARTBEAT_SECONDS:
                    self._say(peer, Heartbeat(now))
            self._flush()
        self._agenda.after(1.0, self._beat)

    # --- its process ------------------------------------------------------------------------------

    def die(self, *, silently: bool) -> None:
        """End the process; `silently`: with the whole machine, so that no connection is closed."""
        self.up = False
        self._run += 1
        self._stop("died")
        for peer in self._peers.values():
            peer.connection.close_slave("connection reset by peer", silently=silently)
        self._peers.clear()
        self._waiting.clear()

    def rise(self) -> None:
        """Begin the process anew with what was saved."""
        if self.up:
            return
        self.up = True
        self.machine = Machine(self.machine.traits, self._saved, log_size=self._log)
        self._saved = self.machine.record
        self._arriving.clear()
        self._witnesses.note("risen", builder=self.planned.name)

    def hang(self) -> None:
        """Do nothing more, with all connections open."""
        self.hung += 1

    def go_on(self) -> None:
        """Go on with what has waited."""
        self.hung -= 1
        if not self.hung:
            waiting, self._waiting = self._waiting, []
            for what in waiting:
                what()

    # --- what the master asks -----------------------------------------------------------------------

    def _hear(self, peer: _Peer, message: MasterMessage) -> None:
        at = self._agenda.now
        if isinstance(message, Hello):
            self._tell(HelloArrived(peer.number, message, token_right=True, free_disk=_FREE, at=at))
            return
        if self.wrong and isinstance(message, Clean) and self.suffers(Trouble.NEVER_CLEAN):
            return
        missing: frozenset[str] = frozenset()
        if isinstance(message, Build):
            missing = frozenset(file for file in (*message.files.values(), message.chroot) if file not in self._cache)
        self._tell(MessageArrived(peer.number, message, at, missing))

    def _tell(self, event: Event) -> None:
        for order in self.machine.handle(event):
            self._obey(order)

    def _obey(self, order: Order) -> None:  # noqa: C901 - one case an order
        match order:
            case Send():
                self._say(self._peers.get(order.session), order.message)
            case SaveState():
                self._saved = order.record
            case LookUp():
                number, request = order.session, order.request
                offset = self._arriving.setdefault(request.sha256, [0, request.size])[0]
                have = request.sha256 in self._cache
                self._say(self._peers.get(number), Present(request.id, have, 0 if have else offset))
            case StoreChunk():
                self._store(self._peers.get(order.session), order.chunk)
            case PushLog(number, attempt, offset):
                peer = self._peers.get(number)
                if peer is not None:
                    peer.log = (attempt, offset)
                    self._push_log()
            case SendResult(number, fetch):
                self._send_result(self._peers.get(number), fetch.id, fetch.name, fetch.offset)
            case StartBuild():
                self._start(order)
            case KillBuild(attempt):
                if not self.suffers(Trouble.DEAF):
                    self._agenda.after(KILLING, self._killed, self._run, attempt)
            case RemoveBuild(attempt):
                self._witnesses.cleaned(self.planned.name, attempt)
                self._results, self._log = {}, 0
            case CloseSession(number, why):
                self._close(number, why)
            case KeepCertificate():
                pass
            case _:
                assert_never(order)

    def _say(self, peer: _Peer | None, message: SlaveMessage) -> None:
        if peer is not None:
            peer.out.append(message if self.lie is None else self.lie(message))
            peer.said_at = self._agenda.now

    def _flush(self) -> None:
        for peer in self._peers.values():
            if peer.out:
                said, peer.out = peer.out, []
                peer.connection.to_master(said)

    def _close(self, number: int, why: str) -> None:
        peer = self._peers.pop(number, None)
        if peer is None:
            return
        if peer.out:
            peer.connection.to_master(peer.out)
        peer.connection.close_slave(f"the slave closed the connection: {why}")
        self._tell(SessionLost(number))

    def _store(self, peer: _Peer | None, chunk: PutChunk) -> None:
        arriving = self._arriving.get(chunk.sha256)
        if arriving is None:
            return
        if self.suffers(Trouble.SLAVE_DISK_FULL):
            del self._arriving[chunk.sha256]
            self._say(peer, PushFailed(chunk.sha256, RejectionCode.NO_SPACE, "no space left on device"))
            return
        if chunk.offset != arriving[0]:
            del self._arriving[chunk.sha256]
            self._say(peer, PushFailed(chunk.sha256, RejectionCode.BAD_OFFSET, f"{arriving[0]} was due"))
            return
        arriving[0] += len(chunk.data)
        if arriving[0] >= arriving[1]:
            del self._arriving[chunk.sha256]
            self._cache[chunk.sha256] = arriving[1]
        self._say(peer, ChunkAck(chunk.sha256, chunk.offset + len(chunk.data)))

    def _push_log(self) -> None:
        for peer in self._peers.values():
            if peer.log is not None and peer.log[1] < self._log:
                attempt, offset = peer.log
                peer.log = (attempt, self._log)
                self._say(
                    peer, Log(attempt, offset, (_LOG * (1 + (self._log - offset) // len(_LOG)))[: self._log - offset])
                )

    def _send_result(self, peer: _Peer | None, request: int, name: str, offset: int) -> None:
        content = self._results[name]
        while True:
            piece = content[offset : offset + CHUNK]
            last = offset + len(piece) == len(content)
            self._say(peer, FetchData(request, offset, piece, last))
            offset += len(piece)
            if last:
                return

    # --- builds -----------------------------------------------------------------------------------

    def _start(self, order: StartBuild) -> None:
        contents, self._run = self._contents, self._run + 1
        self._stop("superseded")
        dsc = dict(order.files)[order.args.dsc]
        job = contents.sources[dsc]
        self._building, self._log = (order.attempt, job), 0
        self._witnesses.began(self.planned.name, order.attempt, job, trusted=order.args.trusted)
        seconds, outcome, text = job.seconds * self.planned.slowness, job.outcome, ""
        contents.tries[job.source] += 1
        seconds *= 0.95 + 0.1 * share(job.source, contents.tries[job.source])
        if self.suffers(Trouble.KILLS):
            self._agenda.after(min(seconds, DIES_AFTER), self._dies, self._run)
            return
        if self.suffers(Trouble.BLACK_HOLE):
            seconds, outcome, text = FAILS_AFTER, WireOutcome.PACKAGEFAIL, "make: *** Error 1"
        elif self.suffers(Trouble.BROKEN):
            seconds, outcome, text = min(seconds, BROKEN_AFTER), WireOutcome.BUILDERFAIL, "read-only file system"
        if outcome is WireOutcome.GIVENBACK:
            contents.sources[dsc] = replace(job, outcome=WireOutcome.OK)
        limit = order.args.wall_seconds
        if seconds > limit:
            seconds, outcome, text = limit, WireOutcome.TIMEOUT, f"longer than {limit} s"
        self._agenda.after(seconds, self._end, self._run, order, outcome, text)

    def _stop(self, how: str) -> None:
        if self._building is not None:
            (attempt, job), self._building = self._building, None
            self._witnesses.stopped(self.planned.name, attempt, job, how)

    def _dies(self, run: int) -> None:
        if run == self._run and self.up:
            self.die(silently=False)
            self._agenda.after(RISES_AFTER, self.rise)

    def _end(self, run: int, order: StartBuild, outcome: WireOutcome, text: str) -> None:
        if run != self._run:
            return
        if self.hung:
            self._waiting.append(lambda: self._end(run, order, outcome, text))
            return
        files: tuple[ResultFile, ...] = ()
        dependencies: tuple[str, ...] = ()
        dsc = dict(order.files)[order.args.dsc]
        if outcome is WireOutcome.OK:
            made = self._contents.build(dsc, order.args.architecture, order.attempt)
            self._results = {file.name: octets for file, octets in made}
            files = tuple(file for file, _ in made)
            for file in files:
                self._witnesses.made(file.sha256)
        elif outcome is WireOutcome.DEPFAIL:
            dependencies = self._contents.sources[dsc].dependencies
        self._ended(order.attempt, outcome, text, files, dependencies)

    def _killed(self, run: int, attempt: str) -> None:
        if run != self._run:
            return
        if self.hung:
            self._waiting.append(lambda: self._killed(run, attempt))
            return
        self._ended(attempt, WireOutcome.ABORTED, "aborted")

    def _ended(
        self,
        attempt: str,
        outcome: WireOutcome,
        text: str,
        files: tuple[ResultFile, ...] = (),
        dependencies: tuple[str, ...] = (),
    ) -> None:
        self._run += 1
        self._stop(str(outcome))
        self._log = len(_LOG)
        self._tell(LogGrew(attempt, self._log))
        self._push_log()
        self._tell(BuildEnded(attempt, outcome, text, self._agenda.now, files, dependencies))
        self._flush()

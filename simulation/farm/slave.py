"""A slave on the virtual network: the real machine of the daemon (`slave.core.machine`), around it a little of its shell.

What it builds is in `simulation.farm.builds`, what was pushed to it in `simulation.farm.cache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from protocol.messages import (
    CHUNK,
    HEARTBEAT_SECONDS,
    Clean,
    FetchData,
    Heartbeat,
    Hello,
    Log,
    MasterMessage,
    Message,
    SlaveMessage,
)
from simulation.environment.cable import Cable, Connection
from simulation.environment.ground import Ground
from simulation.farm.builds import Builds, log_from
from simulation.farm.cache import Cache
from simulation.observers.witnesses import Witnesses
from simulation.scenario.chance import share
from simulation.scenario.plan import PlannedBuilder, Trouble
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

SILENCE: Final = 45.0  #: seconds without a word of the master, after which its session is over
RISES_AFTER: Final = 90.0  #: seconds that a machine which died in a build takes to come back
_FREE: Final = 1 << 36


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
        self._witnesses = witnesses
        self._saved = Record()  # what is on its disk
        self._cache = Cache()
        self._builds = Builds(ground, witnesses, planned, self)
        self._peers: dict[int, _Peer] = {}
        self._number = 0
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
        self._builds.die()
        for peer in self._peers.values():
            peer.connection.close_slave("connection reset by peer", silently=silently)
        self._peers.clear()
        self._waiting.clear()

    def rise(self) -> None:
        """Begin the process anew with what was saved."""
        if self.up:
            return
        self.up = True
        self.machine = Machine(self.machine.traits, self._saved, log_size=self._builds.log)
        self._saved = self.machine.record
        self._cache.forget_parts()
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
        self._tell(MessageArrived(peer.number, message, at, self._cache.missing(message)))

    def _tell(self, event: Event) -> None:
        for order in self.machine.handle(event):
            self._obey(order)

    def _obey(self, order: Order) -> None:  # noqa: C901 - one case an order
        match order:
            case Send():
                self._say(self._peers.get(order.session), order.message)
            case SaveState():
                self._saved = order.record
            case LookUp(number, request):
                self._say(self._peers.get(number), self._cache.look_up(request))
            case StoreChunk(number, chunk):
                answer = self._cache.store(chunk, full=self.suffers(Trouble.SLAVE_DISK_FULL))
                if answer is not None:
                    self._say(self._peers.get(number), answer)
            case PushLog(number, attempt, offset):
                peer = self._peers.get(number)
                if peer is not None:
                    peer.log = (attempt, offset)
                    self._push_log()
            case SendResult(number, fetch):
                self._send_result(self._peers.get(number), fetch.id, fetch.name, fetch.offset)
            case StartBuild():
                self._builds.start(order)
            case KillBuild(attempt):
                self._builds.kill(attempt)
            case RemoveBuild(attempt):
                self._builds.remove(attempt)
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

    def _push_log(self) -> None:
        end = self._builds.log
        for peer in self._peers.values():
            if peer.log is not None and peer.log[1] < end:
                attempt, offset = peer.log
                peer.log = (attempt, end)
                self._say(peer, Log(attempt, offset, log_from(offset, end)))

    def _send_result(self, peer: _Peer | None, request: int, name: str, offset: int) -> None:
        content = self._builds.results[name]
        while True:
            piece = content[offset : offset + CHUNK]
            last = offset + len(piece) == len(content)
            self._say(peer, FetchData(request, offset, piece, last))
            offset += len(piece)
            if last:
                return

    # --- what its builds ask ------------------------------------------------------------------------

    def postpones(self, act: Callable[[], None]) -> bool:
        """Return whether it hangs; then `act` is called when it goes on."""
        if self.hung:
            self._waiting.append(act)
        return bool(self.hung)

    def break_down(self) -> None:
        """Die in the midst of a build, and come back later."""
        self.die(silently=False)
        self._agenda.after(RISES_AFTER, self.rise)

    def build_ended(self, grew: LogGrew, ended: BuildEnded) -> None:
        """Take in that its build has ended."""
        self._tell(grew)
        self._push_log()
        self._tell(ended)
        self._flush()

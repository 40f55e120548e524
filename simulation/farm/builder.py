"""A builder's actor without Thespian, socket or disk: obeys the real core (`actors.core.builder.core`).

The counterpart of `actors.builder.actor`; its files are in `simulation.farm.files`.  Quiet heartbeats are deadlines here,
not messages: while nothing is wrong with the network, the core's timers for silence stand still, because a heartbeat
always comes in time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from actors.core.builder.core import BuilderCore
from actors.core.builder.events import (
    Begun,
    Connected,
    ConnectionEnded,
    Event,
    FromQueueMessage,
    QueueReplaced,
    QueueSaid,
    Retired,
    RowChanged,
    SlaveSaid,
    TimeCame,
    TimersChanged,
)
from actors.core.builder.orders import (
    Connect,
    Disconnect,
    Greet,
    Leave,
    Send,
    SendChunk,
    ShowPush,
    Tell,
)
from actors.core.builder.stages import Stage
from actors.core.timers import Timers
from actors.messages import AdoptionWanted, Finished, Ready, SessionWanted
from actors.queue.reports import Report
from protocol.messages import VERSION, Hello, Message, PutChunk
from simulation.environment.cable import Connection
from simulation.environment.ground import Ground
from simulation.farm.files import ABOUT_FILES, Files
from simulation.scenario.chance import share
from storage.records import Builder

_RESOLUTION: Final = 0.001  #: seconds; no timer is more exact, and sums of seconds are not either
_SAID_AGAIN: Final = (SessionWanted, Ready, AdoptionWanted, Finished)  #: until there is an answer
_CORE_STEPS: Final = 1000  #: events that one may lead to, at most: more is a core that never comes to rest


def quiet(timers: Timers) -> Timers:
    """Return the timers of a core whose slave is never silent, and whom the queue actor does not forget."""
    return replace(timers, heartbeat=math.inf, suspect=math.inf, lost=math.inf, ready_again=math.inf)


class Inbox(Protocol):
    """The queue actor, as its builders know it."""

    def receive(self, report: Report, sender: VirtualBuilder) -> None:
        """Take a message."""


class VirtualBuilder:
    """One life of a builder's actor."""

    def __init__(
        self,
        ground: Ground,
        builder: Builder,
        generation: int,
        queue: Inbox | None,
        ended: Callable[[str, int, str], object],
    ) -> None:
        """Begin its life.

        Args:
            ground: what it stands on.
            builder: its row.
            generation: which of its lives this is.
            queue: the queue actor; None: there is none now.
            ended: told its name, its generation and why, when it has ended by itself.
        """
        self.name = builder.name
        self.generation = generation
        self.alive = True
        self.hung = False
        self._ended = ended
        self._agenda = ground.agenda
        self._mail = ground.mail
        self._files = Files(ground.disk, ground.agenda)
        self._network = ground.network
        self._timers = ground.plan.timers
        self._queue = queue
        self._way = f"{builder.name} {generation}>"
        self.way_in = f">{builder.name} {generation}"  #: of what the queue actor says
        self._watching = bool(self._network.cables[self.name].watched)
        self.core = BuilderCore(builder, generation, self._timers if self._watching else quiet(self._timers))
        self._connection: Connection | None = None
        self._out: list[Message] = []
        self._waiting: deque[Event] = deque()
        self._backlog: list[Event] = []  # while it hangs
        self._alarm = math.inf
        self._happened(Begun(self._now))

    @property
    def _now(self) -> float:
        return self._agenda.now

    # --- what happens to it -----------------------------------------------------------------------

    def queue_said(self, message: FromQueueMessage) -> None:
        """The queue actor sent a message."""
        self._happened(QueueSaid(self._now, message))

    def queue_replaced(self, queue: Inbox) -> None:
        """There is another queue actor."""
        self._queue = queue
        self._happened(QueueReplaced(self._now))

    def row_changed(self, builder: Builder) -> None:
        """The builder's row was changed."""
        self._happened(RowChanged(self._now, builder))

    def retire(self) -> None:
        """The builder is no longer registered."""
        self._happened(Retired(self._now))

    def hear(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Take what the slave says."""
        if connection is not self._connection or not self.alive:
            return
        if self.hung:
            self._backlog.extend(_said(self._now, message) for message in messages)
            return
        for message in messages:
            self._waiting.append(_said(self._now, message))
            self._settle()
            if connection is not self._connection:
                break
        self._rest()

    def part(self, connection: Connection, reason: str) -> None:
        """Take in that the connection is gone."""
        if connection is self._connection:
            self._connection = None
            self._happened(ConnectionEnded(self._now, reason))

    def watch(self, *, watching: bool) -> None:
        """Count silence from now on, or no more."""
        if watching == self._watching or not self.alive:
            return
        self._watching = watching
        if self.core.session.open:  # the last heartbeat of either side came within these seconds
            heartbeat = self._timers.heartbeat
            self.core.session.heard(self._now - share(self.name, self._now, 2) * heartbeat)
            self.core.session.spoke(self._now - share(self.name, self._now, 3) * heartbeat)
        self._happened(TimersChanged(self._now, self._timers if watching else quiet(self._timers)))

    @property
    def connection(self) -> Connection | None:
        """The connection to its slave."""
        return self._connection

    def kill(self) -> None:
        """End its process: a crash, or with its nursery or the whole master."""
        self.alive = False
        self._waiting.clear()
        if self._connection is not None:
            self._connection.close_master("connection reset by peer")
            self._connection = None

    def hang(self) -> None:
        """Do nothing more."""
        self.hung = True

    def go_on(self) -> None:
        """Take what has come meanwhile."""
        if not self.hung:
            return
        self.hung = False
        backlog, self._backlog = self._backlog, []
        for event in backlog:
            self._happened(replace(event, at=self._now))
        self._set_alarm()

    # --- the core ---------------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        if not self.alive:
            return
        if self.hung:
            self._backlog.append(event)
            return
        self._waiting.append(event)
        self._settle()
        self._rest()

    def _settle(self) -> None:
        waiting, handle, steps = self._waiting, self.core.handle, 0
        while waiting:
            steps += 1
            for order in handle(waiting.popleft()):
                _OBEY[type(order)](self, order)
        if steps > _CORE_STEPS:
            raise AssertionError(f"the core of {self.name} does not come to rest")

    def _rest(self) -> None:
        self._flush()
        if self.alive:
            self._set_alarm()

    def _set_alarm(self) -> None:
        due = max(self.core.deadline(), self._now + _RESOLUTION)
        if due < self._alarm:
            self._alarm = due
            self._agenda.at(due, self._rung, due)

    def _rung(self, alarm: float) -> None:
        if alarm != self._alarm or not self.alive:
            return
        self._alarm = math.inf
        if self.hung:
            return
        due = self.core.deadline()
        if due > self._now:
            self._alarm = due
            if due < math.inf:
                self._agenda.at(due, self._rung, due)
        else:
            self._happened(TimeCame(self._now))

    def forgotten(self) -> None:
        """Say `Ready` again if the slave waits for a job: the queue actor does not know.

        Quiet repetitions of `Ready` are deadlines here, like quiet heartbeats (`quiet`): to one who remembers they would
        change nothing.
        """
        if self.alive and not self.hung and not self._watching and self.core.stage is Stage.IDLE:
            self.core.reports.ready_at = self._now  # what its own timer would have done
            self._happened(TimeCame(self._now))

    # --- orders -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._out:
            said, self._out = self._out, []
            if self._connection is not None:
                self._connection.to_slave(said)

    def _tell(self, order: Tell) -> None:
        if self._queue is not None:
            mail, message = self._mail, order.message
            send = mail.try_to_send if isinstance(message, _SAID_AGAIN) else mail.send
            send(self._way, self._queue.receive, message, self)

    def _connect(self, order: Connect) -> None:
        self._disconnect(None)
        self._network.connect(self, order.port)

    def connected(self, connection: Connection) -> None:
        """Take the connection that was ordered."""
        self._connection = connection
        self._happened(Connected(self._now))

    def not_connected(self, reason: str) -> None:
        """Take in that there is none."""
        self._happened(ConnectionEnded(self._now, reason))

    def _greet(self, order: Greet) -> None:
        self._out.append(Hello((VERSION,), order.farm, order.epoch, "token"))

    def _send(self, order: Send) -> None:
        self._out.append(order.message)

    def _send_chunk(self, order: SendChunk) -> None:
        self._out.append(PutChunk(order.sha256, order.offset, bytes(order.length)))

    def _disconnect(self, order: Disconnect | None) -> None:  # noqa: ARG002 - its reason is for logs
        self._flush()
        self._network.hang_up(self)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close_master()

    def _leave(self, order: Leave) -> None:  # noqa: ARG002 - there is nothing in it
        self._flush()
        self.kill()
        self._ended(self.name, self.generation, "retired")

    def _ignore(self, order: ShowPush) -> None:
        pass

    def _about_files(self, order: Any) -> None:  # noqa: ANN401 - one of `ABOUT_FILES`
        event = self._files.obey(order)
        if event is not None:
            self._waiting.append(event)


def _said(at: float, message: Message) -> SlaveSaid:
    return SlaveSaid(at, message)  # type: ignore[arg-type]  # a slave's: nobody else is at the other end


_OBEY: Final[Mapping[type[Any], Callable[[VirtualBuilder, Any], None]]] = {
    Tell: VirtualBuilder._tell,  # noqa: SLF001 - its own
    Connect: VirtualBuilder._connect,  # noqa: SLF001
    Greet: VirtualBuilder._greet,  # noqa: SLF001
    Send: VirtualBuilder._send,  # noqa: SLF001
    SendChunk: VirtualBuilder._send_chunk,  # noqa: SLF001
    ShowPush: VirtualBuilder._ignore,  # noqa: SLF001
    Disconnect: VirtualBuilder._disconnect,  # noqa: SLF001
    Leave: VirtualBuilder._leave,  # noqa: SLF001
    **dict.fromkeys(ABOUT_FILES, VirtualBuilder._about_files),  # noqa: SLF001
}

"""A whole farm in virtual time: put together from a plan, and run.

The cores, the queue actor's desk and turns, the slave's machine and the protocol's messages are the product's own; the
database is its twin in memory.  What is only modelled: `simulation.environment`, and the shells of actors
and slaves in `simulation.farm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from actors.core.builder.orders import Connect
from simulation.environment.agenda import Agenda
from simulation.environment.cable import Cable, Connection
from simulation.environment.contents import Contents
from simulation.environment.database import Server
from simulation.environment.disk import Disk
from simulation.environment.mail import Mail
from simulation.farm.builder import VirtualBuilder
from simulation.farm.faults import Faults
from simulation.farm.people import People
from simulation.farm.slave import VirtualSlave
from simulation.farm.supervisor import VirtualSupervisor
from simulation.observers.ledger import Ledger, Summary
from simulation.observers.story import Line, Story
from simulation.observers.validator import Validator
from simulation.scenario.chance import stream
from simulation.scenario.plan import HOUR, Act, Deed, Plan, PlannedJob
from storage.memory.database import MemoryFarm
from storage.records import Builder

EPOCH: Final = datetime(2026, 1, 5, tzinfo=UTC)
FIRST_PORT: Final = 10_000
_ROUND: Final = 2 * HOUR  #: how often an operator looks after builders, once nothing more goes wrong
_RECOVERED: Final = 1000.0  #: seconds after the last trouble in which every slave is connected again
_PARTS: Final = 200  #: of the plan's hours, after each of which it is told how far they are
_SETTLING: Final = 300.0  #: seconds between two looks whether all is built
NOTIFIED: Final = 0.0005  #: seconds from a commit until who listens has heard of it


class World:
    """A farm, and all around it."""

    def __init__(self, plan: Plan, *, validate: bool = False, write: Callable[[Line], object] | None = None) -> None:
        """Build the farm; `run` lets it live.

        Args:
            plan: what it is made of, and what happens.
            validate: look at the invariants after every step.
            write: takes the lines of the story; None: it is not told.
        """
        self.plan = plan
        self.timers = plan.timers
        self.limits = plan.limits
        self.rules = plan.rules
        self.agenda = Agenda()
        self.troubled_at = -math.inf  #: second at which something of the farm itself was wrong last
        self._jump = timedelta(0)
        self._jumped_at = -math.inf
        self._stopped = 1
        self._ids = 0
        self._wall_at, self._wall = -1.0, EPOCH  # the time of day, and of which second
        self.rows = MemoryFarm(now=self.time_of_day, new_uuid=self._new_uuid)
        self.server = Server(self.rows, str(UUID(int=plan.seed + 1)), self._notify)
        self._notifying = False
        self.mail = Mail(self.agenda, stream(plan.seed, "mail"))
        self.disk = Disk()
        self.contents = Contents()
        self.ledger = Ledger(self.rows, self.agenda, self.contents, plan.hours)
        self.story = None if write is None else Story(self.rows, self.agenda, write)
        self.validator = Validator(self) if validate else None
        self.people = People(self)
        self.cables: dict[str, Cable] = {}
        self.slaves: dict[str, VirtualSlave] = {}
        self._ports: dict[int, str] = {}
        self._calls: dict[VirtualBuilder, int] = {}
        self._call = 0
        families = {family for builder in plan.builders for family in builder.families}
        families |= {job.family for job in plan.jobs}
        owners = {job.owner for job in plan.jobs if job.owner is not None}
        self.people.set_up(tuple(sorted(families)), tuple(sorted(owners)))
        for port, planned in enumerate(plan.builders, FIRST_PORT):
            self._ports[port] = planned.name
            cable = self.cables[planned.name] = Cable(self.agenda, planned.latency)
            architectures = tuple(self.people.tag_of[family] for family in planned.families)
            self.slaves[planned.name] = VirtualSlave(self, planned, cable, architectures)
            self.people.register(planned, port)
        self.supervisor = VirtualSupervisor(self)
        self.faults = Faults(self)
        for job in plan.jobs:
            self.agenda.at(job.at, self.people.upload, job)
        for deed in plan.deeds:
            self.agenda.at(deed.at, self.people.do, deed)

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let it live: the time of the plan, then until everything is built that can be, or the time for that is over.

        Args:
            progress: called now and then with the hours that are over.

        Raises:
            Broken: an invariant does not hold, and somebody looked.
        """
        after_step = None if self.validator is None else self.validator.after_step
        self.ledger.curve.clear()
        self.ledger.look()
        self.note("begun", seed=self.plan.seed, builders=len(self.plan.builders), hours=self.plan.hours)
        self.start_master()
        self._call_the_roll()
        for part in range(1, _PARTS + 1):
            self.agenda.run(self.plan.hours * HOUR * part / _PARTS, after_step)
            if progress is not None:
                progress(self.agenda.now / HOUR)
        end = (self.plan.hours + (0.0 if self.plan.capacity else self.plan.settle_hours)) * HOUR
        if self.plan.deeds:
            self.agenda.after(_ROUND, self._operator_looks)
        over = max((fault.at + fault.seconds for fault in self.plan.faults), default=-_RECOVERED) + _RECOVERED
        while self.agenda.now < end and (self.rows.table("buildqueue") or self.agenda.now < over):
            self.agenda.run(min(end, self.agenda.now + _SETTLING), after_step)
        if self.validator is not None:
            for _ in range(2):
                self.validator.look_at_everything()
                self.agenda.run(self.agenda.now + _SETTLING, after_step)
            self.validator.look_at_everything()
        self.ledger.look()
        self.note("end")

    def summary(self) -> Summary:
        """Return what has come of it."""
        return self.ledger.summary()

    # --- the master -------------------------------------------------------------------------------

    def start_master(self) -> None:
        """Start it, if it does not run."""
        self._stopped = max(0, self._stopped - 1)
        if not self._stopped:
            self.supervisor = VirtualSupervisor(self)
            self.supervisor.begin()

    def stop_master(self) -> None:
        """End all its processes; what nobody has started again stays down."""
        self._stopped += 1
        self.supervisor.kill()

    def _operator_looks(self) -> None:
        self.people.do(Deed(self.agenda.now, Act.SET_OK))
        self.agenda.after(_ROUND, self._operator_looks)

    def jump_clock(self, by: timedelta) -> None:
        """Set the clock of the master's machine, and so its database's."""
        self._jump += by
        self._wall_at = -1.0
        self._jumped_at = self.agenda.now

    def clock_jumped_since(self, seconds: float) -> bool:
        """Return whether somebody set the clock within the last so many seconds."""
        return self.agenda.now - self._jumped_at < seconds

    def dispatching_since(self, seconds: float) -> bool:
        """Return whether nothing of the farm itself was wrong within the last so many seconds."""
        wrong = self.server.away or self.disk.full or self.mail.troubled or self._stopped
        return not wrong and self.agenda.now - self.troubled_at >= seconds

    def _call_the_roll(self) -> None:
        queue = self.supervisor.queue
        remembered = frozenset() if queue is None else queue.remembered()
        for actor in [one for one in self.supervisor.actors.values() if one not in remembered]:
            actor.forgotten()
        self.agenda.after(self.timers.ready_again, self._call_the_roll)

    def watch(self, builder: str, *, watching: bool) -> None:
        """Have heartbeats to and from a builder's slave said and heard as messages, or no more."""
        if watching:
            self.slaves[builder].watch()
        actor = self.supervisor.actors.get(builder)
        if actor is not None:
            actor.watch(watching=watching)

    def reset(self, builder: str) -> None:
        """Break the connection to a builder's slave for both ends."""
        actor = self.supervisor.actors.get(builder)
        if actor is not None and actor.connection is not None:
            actor.connection.reset()

    # --- what everybody asks ----------------------------------------------------------------------

    def time_of_day(self) -> datetime:
        """Return the time of day of the master and its database."""
        now = self.agenda.now
        if self._wall_at != now:
            self._wall_at, self._wall = now, EPOCH + self._jump + timedelta(seconds=now)
        return self._wall

    def cable_of(self, builder: Builder) -> Cable:
        """Return the network to a builder's machine."""
        return self.cables[builder.name]

    def connect(self, actor: VirtualBuilder, order: Connect) -> None:
        """Connect a builder's actor to the slave that listens there; it is told how that went."""
        name = self._ports[order.port]
        cable = self.cables[name]
        self._call += 1
        self._calls[actor] = self._call
        if cable.whole:  # else nothing answers
            self.agenda.after(2 * cable.delay(), self._connected, actor, name, self._call)

    def hang_up(self, actor: VirtualBuilder) -> None:
        """Forget a connection that is being made."""
        self._calls.pop(actor, None)

    def _connected(self, actor: VirtualBuilder, name: str, call: int) -> None:
        cable, slave = self.cables[name], self.slaves[name]
        if self._calls.get(actor) != call or not actor.alive or not cable.whole:
            return
        del self._calls[actor]
        if not slave.up:
            actor.not_connected("connection refused")
            return
        connection = Connection(cable, actor, slave)
        slave.accept(connection)
        actor.connected(connection)

    # --- what is seen of it -----------------------------------------------------------------------

    def note(self, what: str, **fields: object) -> None:
        """Write a line of the story."""
        if self.story is not None:
            self.story.tell(what, **fields)

    def began(self, builder: str, attempt: str, job: PlannedJob, *, trusted: bool) -> None:
        """A slave begins to build."""
        self.ledger.began(job.source)
        if self.validator is not None:
            self.validator.began(builder, attempt, trusted=trusted)
        self.note("began", builder=builder, attempt=attempt, source=f"{job.source} {job.version}")

    def stopped(self, builder: str, attempt: str, job: PlannedJob, how: str) -> None:
        """A slave builds it no more."""
        self.ledger.stopped(job.source)
        self.note("ended", builder=builder, attempt=attempt, outcome=how)

    def made(self, sha256: str) -> None:
        """A slave has a result."""
        if self.story is not None:
            made = self.contents.made[sha256]
            self.story.tell("made", sha256=sha256, source=made.source, attempt=made.attempt)

    def cleaned(self, builder: str, attempt: str) -> None:
        """A slave drops what is left of a build."""
        if self.validator is not None:
            self.validator.cleaned(builder, attempt)
        self.note("cleaned", builder=builder, attempt=attempt)

    # --- inside -----------------------------------------------------------------------------------

    def _new_uuid(self) -> UUID:
        self._ids += 1
        return UUID(int=(self.plan.seed + 1 << 64) + self._ids)

    def _notify(self) -> None:
        if not self._notifying:
            self._notifying = True
            self.agenda.after(NOTIFIED + self.mail.lateness(), self._notified)

    def _notified(self) -> None:
        self._notifying = False
        self.server.deliver()
        queue = self.supervisor.queue
        if queue is not None:
            queue.notified()

"""The queue actor without Thespian: the surroundings of the real desk (`actors.queue.desk`), in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from actors.messages import BuilderGone, BuildersKnown
from actors.queue.desk import Payload, QueueDesk
from actors.queue.letters import Letter
from actors.queue.reports import Report
from simulation.environment.database import SimulatedDatabase
from simulation.environment.ground import Ground
from simulation.farm.builder import VirtualBuilder


class VirtualQueue:
    """One life of the queue actor."""

    def __init__(self, ground: Ground, tell_supervisor: Callable[[object], object]) -> None:
        """Begin its life; `begin` has it read everything.

        Args:
            ground: what it stands on.
            tell_supervisor: what the supervisor does with a message that has arrived.
        """
        self.alive = True
        self._disk = ground.disk
        self._agenda = ground.agenda
        self._clock = ground.clock
        self._mail = ground.mail
        self._server = ground.server
        self._tell_supervisor = tell_supervisor
        self._addresses: dict[str, VirtualBuilder] = {}
        self.desk = QueueDesk(ground.plan.limits, ground.plan.timers, ground.plan.rules, self)

    def begin(self) -> None:
        """Read everything."""
        with self._server.by_queue:
            self.desk.begin()

    def receive(self, report: Report, sender: VirtualBuilder | None = None) -> None:
        """Take a message."""
        if not self.alive:
            return
        if sender is not None and not isinstance(report, BuilderGone):
            if report.generation < self.desk.generation(report.builder):
                return
            self._addresses[report.builder] = sender
        with self._server.by_queue:
            self.desk.receive(report)

    def remembered(self) -> frozenset[VirtualBuilder]:
        """Return the actors of which it knows that their slaves wait for a job, and to which it has nothing to tell."""
        if not self.alive or self._connection is None:
            return frozenset()
        ready = self.desk.known_ready()
        return frozenset(actor for name, actor in self._addresses.items() if name in ready)

    def notified(self) -> None:
        """Somebody changed rows."""
        if self.alive:
            with self._server.by_queue:
                self.desk.notified()

    def kill(self) -> None:
        """End its process."""
        self.alive = False
        if self._connection is not None:
            self._connection.close()

    # --- the desk's surroundings ------------------------------------------------------------------

    _connection: SimulatedDatabase | None = None

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._agenda.now

    def time_of_day(self) -> datetime:
        """Return the time of day."""
        return self._clock.time_of_day()

    def connect(self) -> SimulatedDatabase:
        """Connect to the database and listen."""
        self._connection = self._server.connect()
        return self._connection

    def disconnected(self) -> None:
        """Nobody notifies any more."""
        self._connection = None

    def paused(self, why: str) -> None:
        """Dispatch pauses; a real master leaves a note for people."""

    def own_disk_refuses(self) -> str:
        """Try out the master's own disk."""
        return "no space left on device" if self._disk.full else ""

    def post(self, letters: Sequence[Letter]) -> None:
        """Post letters to builders' actors and to the supervisor."""
        send = self._mail.send
        for letter in letters:
            if letter.builder is None:
                send("queue>supervisor", self._tell_supervisor, letter.message)
                if isinstance(letter.message, BuildersKnown):
                    registered = {builder.name for builder in letter.message.builders}
                    self._addresses = {name: at for name, at in self._addresses.items() if name in registered}
                continue
            address = self._addresses.get(letter.builder)
            if address is not None:
                self._mail.try_to_send(address.way_in, address.queue_said, letter.message)

    def wake_after(self, seconds: float, payload: Payload) -> None:
        """Wake the desk in so many seconds."""
        self._agenda.after(max(0.0, seconds), self._woken, payload)

    def _woken(self, payload: Payload) -> None:
        if self.alive:
            with self._server.by_queue:
                self.desk.woken(payload)

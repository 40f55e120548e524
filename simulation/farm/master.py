"""The master as a whole: it is started and stopped, and one life of its supervisor follows another."""

from __future__ import annotations

from simulation.environment.ground import Ground
from simulation.farm.supervisor import VirtualSupervisor


class Master:
    """All processes of the master.

    Attributes:
        supervisor: the one that lives, or lived last.
    """

    def __init__(self, ground: Ground) -> None:
        """Know the machine; `start` starts it."""
        self._ground = ground
        self.supervisor = VirtualSupervisor(ground)

    def start(self) -> None:
        """Start it, if it does not run."""
        ground = self._ground
        ground.stopped = max(0, ground.stopped - 1)
        if not ground.stopped:
            self.supervisor = VirtualSupervisor(ground)
            self.supervisor.begin()

    def stop(self) -> None:
        """End all its processes; what nobody has started again stays down."""
        self._ground.stopped += 1
        self.supervisor.kill()

    def notified(self) -> None:
        """The database has notified who listens."""
        queue = self.supervisor.queue
        if queue is not None:
            queue.notified()

    def call_the_roll(self) -> None:
        """Have those say `Ready` again whom the queue actor does not know to be; now, and again and again."""
        queue = self.supervisor.queue
        remembered = frozenset() if queue is None else queue.remembered()
        for actor in [one for one in self.supervisor.actors.values() if one not in remembered]:
            actor.forgotten()
        self._ground.agenda.after(self._ground.plan.timers.ready_again, self.call_the_roll)

    def watch(self, builder: str, *, watching: bool) -> None:
        """Have a builder's actor count silence, or no more."""
        actor = self.supervisor.actors.get(builder)
        if actor is not None:
            actor.watch(watching=watching)

    def reset(self, builder: str) -> None:
        """Break the connection to a builder's slave for both ends."""
        actor = self.supervisor.actors.get(builder)
        if actor is not None and actor.connection is not None:
            actor.connection.reset()

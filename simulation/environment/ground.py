"""The ground under a simulated farm: its plan, and what everybody in it stands on; it knows none of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final
from uuid import UUID

from simulation.environment.agenda import Agenda
from simulation.environment.clock import Clock
from simulation.environment.contents import Contents
from simulation.environment.database import Server
from simulation.environment.disk import Disk
from simulation.environment.mail import Mail
from simulation.environment.network import Network
from simulation.scenario.chance import stream
from simulation.scenario.plan import Plan
from storage.memory.database import MemoryFarm

NOTIFIED: Final = 0.0005  #: seconds from a commit until who listens has heard of it


class Ground:
    """What there is before anybody lives there.

    Attributes:
        stopped: as often as the master was stopped and not started again; 0: it runs.
        troubled_at: second at which something of the farm itself was wrong last.
    """

    def __init__(self, plan: Plan, notified: Callable[[], object]) -> None:
        """Lay it.

        Args:
            plan: what happens on it.
            notified: called when who listens to the database has heard of something.
        """
        self.plan = plan
        self.stopped = 1
        self.troubled_at = -math.inf
        self.agenda = Agenda()
        self.clock = Clock(self.agenda)
        self.mail = Mail(self.agenda, stream(plan.seed, "mail"))
        self.network = Network(self.agenda)
        self.disk = Disk()
        self.contents = Contents()
        self.rows = MemoryFarm(now=self.clock.time_of_day, new_uuid=self._new_uuid)
        self.server = Server(self.rows, str(UUID(int=plan.seed + 1)), self._notify)
        self._ids = 0
        self._notified = notified
        self._notifying = False

    def dispatching_since(self, seconds: float) -> bool:
        """Return whether nothing of the farm itself was wrong within the last so many seconds."""
        wrong = self.server.away or self.disk.full or self.mail.troubled or self.stopped
        return not wrong and self.agenda.now - self.troubled_at >= seconds

    def _new_uuid(self) -> UUID:
        self._ids += 1
        return UUID(int=(self.plan.seed + 1 << 64) + self._ids)

    def _notify(self) -> None:
        if not self._notifying:
            self._notifying = True
            self.agenda.after(NOTIFIED + self.mail.lateness(), self._deliver)

    def _deliver(self) -> None:
        self._notifying = False
        self.server.deliver()
        self._notified()

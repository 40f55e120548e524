"""A whole farm in virtual time: put together from a plan, and run.

The cores, the queue actor's desk and turns, the slave's machine and the protocol's messages are the product's own; the
database is its twin in memory.  What is only modelled: `simulation.environment`, and the shells of actors and slaves in
`simulation.farm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulation.environment.ground import Ground
from simulation.farm.faults import Faults
from simulation.farm.master import Master
from simulation.farm.people import People
from simulation.farm.slave import VirtualSlave
from simulation.observers.ledger import Summary
from simulation.observers.story import Line
from simulation.observers.witnesses import Witnesses
from simulation.scenario.plan import HOUR, Act, Deed, Plan

FIRST_PORT: Final = 10_000
_ROUND: Final = 2 * HOUR  #: how often an operator looks after builders, once nothing more goes wrong
_RECOVERED: Final = 1000.0  #: seconds after the last trouble in which every slave is connected again
_PARTS: Final = 200  #: of the plan's hours, after each of which it is told how far they are
_SETTLING: Final = 300.0  #: seconds between two looks whether all is built


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
        self.ground = ground = Ground(plan, self._notified)
        self.witnesses = Witnesses(ground, validate=validate, write=write)
        self.people = People(ground, self.witnesses.note)
        self.slaves: dict[str, VirtualSlave] = {}
        families = {family for builder in plan.builders for family in builder.families}
        families |= {job.family for job in plan.jobs}
        owners = {job.owner for job in plan.jobs if job.owner is not None}
        self.people.set_up(tuple(sorted(families)), tuple(sorted(owners)))
        for port, planned in enumerate(plan.builders, FIRST_PORT):
            cable = ground.network.lay(planned.name, planned.latency)
            architectures = tuple(self.people.tag_of[family] for family in planned.families)
            slave = self.slaves[planned.name] = VirtualSlave(ground, self.witnesses, planned, cable, architectures)
            ground.network.attach(port, cable, slave)
            self.people.register(planned, port)
        self.master = Master(ground)
        self.faults = Faults(ground, self.master, self.slaves, self.witnesses.note)
        for job in plan.jobs:
            ground.agenda.at(job.at, self.people.upload, job)
        for deed in plan.deeds:
            ground.agenda.at(deed.at, self.people.do, deed)

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let it live: the time of the plan, then until everything is built that can be, or the time for that is over.

        Args:
            progress: called now and then with the hours that are over.

        Raises:
            Broken: an invariant does not hold, and somebody looked.
        """
        plan, agenda, witnesses = self.plan, self.ground.agenda, self.witnesses
        validator = witnesses.validator
        after_step = None if validator is None else validator.after_step
        witnesses.ledger.curve.clear()
        witnesses.ledger.look()
        witnesses.note("begun", seed=plan.seed, builders=len(plan.builders), hours=plan.hours)
        self.master.start()
        self.master.call_the_roll()
        for part in range(1, _PARTS + 1):
            agenda.run(plan.hours * HOUR * part / _PARTS, after_step)
            if progress is not None:
                progress(agenda.now / HOUR)
        end = (plan.hours + (0.0 if plan.capacity else plan.settle_hours)) * HOUR
        if plan.deeds:
            agenda.after(_ROUND, self._operator_looks)
        over = max((fault.at + fault.seconds for fault in plan.faults), default=-_RECOVERED) + _RECOVERED
        while agenda.now < end and (self.ground.rows.table("buildqueue") or agenda.now < over):
            agenda.run(min(end, agenda.now + _SETTLING), after_step)
        if validator is not None:
            for _ in range(2):
                validator.look_at_everything()
                agenda.run(agenda.now + _SETTLING, after_step)
            validator.look_at_everything()
        witnesses.ledger.look()
        witnesses.note("end")

    def summary(self) -> Summary:
        """Return what has come of it."""
        return self.witnesses.ledger.summary()

    def _operator_looks(self) -> None:
        self.people.do(Deed(self.ground.agenda.now, Act.SET_OK))
        self.ground.agenda.after(_ROUND, self._operator_looks)

    def _notified(self) -> None:
        self.master.notified()

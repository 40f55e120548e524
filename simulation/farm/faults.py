"""Does to a simulated farm what its plan says goes wrong, and mends it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from simulation.environment.cable import Way
from simulation.environment.ground import Ground
from simulation.farm.master import Master
from simulation.farm.slave import VirtualSlave
from simulation.scenario.plan import Fault, Trouble
from simulation.slaves.lies import lie_of

_T = Trouble
_CALM: Final = 60.0  #: seconds for which heartbeats are watched after the network is whole again
_BOTH: Final = (Way.TO_SLAVE, Way.TO_MASTER)
_ON_SLAVES: Final = frozenset(
    {_T.SLAVE_DISK_FULL, _T.BROKEN, _T.BLACK_HOLE, _T.KILLS, _T.DEAF, _T.NEVER_CLEAN}
)  #: what the slave looks at itself


class Faults:
    """Everything that goes wrong."""

    def __init__(
        self, ground: Ground, master: Master, slaves: Mapping[str, VirtualSlave], note: Callable[..., object]
    ) -> None:
        """Put what is planned on the agenda.

        Args:
            ground: with the plan.
            master: whom it may befall.
            slaves: whom it may befall, by the names of their builders.
            note: writes a line of the story.
        """
        self._ground = ground
        self._master = master
        self._slaves = slaves
        self._note = note
        for fault in ground.plan.faults:
            ground.agenda.at(fault.at, self.begin, fault)

    def begin(self, fault: Fault) -> None:
        """Let something go wrong."""
        about: dict[str, object] = {"trouble": str(fault.trouble)}
        if fault.builder:
            about["builder"] = fault.builder
        for name in ("seconds", "strength", "manner"):
            if getattr(fault, name):
                about[name] = getattr(fault, name)
        self._note("fault", **about)
        if fault.builder:
            if fault.builder in self._slaves:
                self._begin_of_builder(fault)
        else:
            self._ground.troubled_at = self._ground.agenda.now
            self._begin_of_farm(fault)
        if fault.seconds:
            self._ground.agenda.after(fault.seconds, self._mend, fault)

    def _mend(self, fault: Fault) -> None:
        self._note("mended", trouble=str(fault.trouble), **({"builder": fault.builder} if fault.builder else {}))
        if fault.builder:
            if fault.builder in self._slaves:
                self._mend_of_builder(fault)
        else:
            self._ground.troubled_at = self._ground.agenda.now
            self._mend_of_farm(fault)

    # --- of a builder -----------------------------------------------------------------------------

    def _begin_of_builder(self, fault: Fault) -> None:
        name = fault.builder
        cable, slave = self._ground.network.cables[name], self._slaves[name]
        match fault.trouble:
            case _T.ACTOR_CRASH:
                self._master.supervisor.crash(name, "RuntimeError: simulated (simulation)")
            case _T.ACTOR_HANG:
                self._master.supervisor.hang(name, fault.seconds)
            case _T.CUT | _T.CUT_TO_SLAVE | _T.CUT_TO_MASTER:
                self._watch(name)
                cable.cut(*_ways(fault.trouble))
            case _T.RESET:
                self._master.reset(name)
            case _T.SLOW:
                self._watch(name)
                cable.slow *= fault.strength
            case _T.SLAVE_RESTART:
                slave.die(silently=False)
            case _T.HOST_DEAD:
                self._watch(name)
                cable.cut(*_BOTH)
                slave.die(silently=True)
            case _T.SLAVE_HANG:
                self._watch(name)
                slave.hang()
            case _T.LIES:
                slave.lie = lie_of(fault.manner)
            case _ if fault.trouble in _ON_SLAVES:
                slave.wrong[fault.trouble] = slave.wrong.get(fault.trouble, 0) + 1
            case _:
                raise AssertionError(f"{fault.trouble} does not befall a builder")

    def _mend_of_builder(self, fault: Fault) -> None:
        name = fault.builder
        cable, slave = self._ground.network.cables[name], self._slaves[name]
        match fault.trouble:
            case _T.CUT | _T.CUT_TO_SLAVE | _T.CUT_TO_MASTER:
                cable.mend(*_ways(fault.trouble))
                self._calm(name)
            case _T.SLOW:
                cable.slow /= fault.strength
                self._calm(name)
            case _T.SLAVE_RESTART:
                slave.rise()
            case _T.HOST_DEAD:
                slave.rise()
                cable.mend(*_BOTH)
                self._calm(name)
            case _T.SLAVE_HANG:
                slave.go_on()
                self._calm(name)
            case _T.LIES:
                slave.lie = None
            case _ if fault.trouble in _ON_SLAVES:
                slave.wrong[fault.trouble] -= 1
            case _:
                pass

    def _watch(self, name: str) -> None:
        """Have heartbeats said and heard one by one: something may keep them from coming."""
        cable = self._ground.network.cables[name]
        cable.watched += 1
        if cable.watched == 1:
            self._slaves[name].watch()
            self._master.watch(name, watching=True)

    def _calm(self, name: str) -> None:
        self._ground.agenda.after(_CALM, self._watch_no_more, name)

    def _watch_no_more(self, name: str) -> None:
        cable = self._ground.network.cables[name]
        cable.watched -= 1
        if not cable.watched:
            self._master.watch(name, watching=False)

    # --- of the farm ------------------------------------------------------------------------------

    def _begin_of_farm(self, fault: Fault) -> None:
        ground = self._ground
        match fault.trouble:
            case _T.NURSERY_CRASH:
                self._master.supervisor.crash_nursery(ground.plan.builders[0].name, "killed by signal 9")
            case _T.QUEUE_CRASH:
                self._master.supervisor.crash_queue("RuntimeError: simulated (simulation)")
            case _T.MASTER_RESTART:
                self._master.stop()
            case _T.DATABASE_AWAY:
                ground.server.go_away()
            case _T.COMMIT_LOST:
                ground.server.lose_commits += 1
            case _T.DISK_FULL:
                ground.disk.full += 1
            case _T.CLOCK_JUMP:
                ground.clock.jump(timedelta(seconds=fault.strength))
            case _T.MAIL:
                ground.mail.troubled += 1
            case _:
                raise AssertionError(f"{fault.trouble} does not befall a farm")

    def _mend_of_farm(self, fault: Fault) -> None:
        ground = self._ground
        match fault.trouble:
            case _T.MASTER_RESTART:
                self._master.start()
            case _T.DATABASE_AWAY:
                ground.server.come_back()
            case _T.DISK_FULL:
                ground.disk.full -= 1
            case _T.MAIL:
                ground.mail.troubled -= 1
            case _:
                pass


def _ways(trouble: Trouble) -> tuple[Way, ...]:
    one_way = {_T.CUT_TO_SLAVE: (Way.TO_SLAVE,), _T.CUT_TO_MASTER: (Way.TO_MASTER,)}
    return one_way.get(trouble, _BOTH)

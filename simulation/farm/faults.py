"""Does to a simulated farm what its plan says goes wrong, and mends it again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from simulation.environment.cable import Way
from simulation.scenario.plan import Fault, Trouble
from simulation.slaves.lies import lie_of

if TYPE_CHECKING:
    from simulation.world import World

_T = Trouble
_CALM: Final = 60.0  #: seconds for which heartbeats are watched after the network is whole again
_BOTH: Final = (Way.TO_SLAVE, Way.TO_MASTER)
_ON_SLAVES: Final = frozenset(
    {_T.SLAVE_DISK_FULL, _T.BROKEN, _T.BLACK_HOLE, _T.KILLS, _T.DEAF, _T.NEVER_CLEAN}
)  #: what the slave looks at itself


class Faults:
    """Everything that goes wrong."""

    def __init__(self, world: World) -> None:
        """Put what is planned on the agenda."""
        self._world = world
        for fault in world.plan.faults:
            world.agenda.at(fault.at, self.begin, fault)

    def begin(self, fault: Fault) -> None:
        """Let something go wrong."""
        world = self._world
        about: dict[str, object] = {"trouble": str(fault.trouble)}
        if fault.builder:
            about["builder"] = fault.builder
        for name in ("seconds", "strength", "manner"):
            if getattr(fault, name):
                about[name] = getattr(fault, name)
        world.note("fault", **about)
        if fault.builder:
            if fault.builder in world.slaves:
                self._begin_of_builder(fault)
        else:
            world.troubled_at = world.agenda.now
            self._begin_of_farm(fault)
        if fault.seconds:
            world.agenda.after(fault.seconds, self._mend, fault)

    def _mend(self, fault: Fault) -> None:
        world = self._world
        world.note("mended", trouble=str(fault.trouble), **({"builder": fault.builder} if fault.builder else {}))
        if fault.builder:
            if fault.builder in world.slaves:
                self._mend_of_builder(fault)
        else:
            world.troubled_at = world.agenda.now
            self._mend_of_farm(fault)

    # --- of a builder -----------------------------------------------------------------------------

    def _begin_of_builder(self, fault: Fault) -> None:
        world, name = self._world, fault.builder
        cable, slave = world.cables[name], world.slaves[name]
        match fault.trouble:
            case _T.ACTOR_CRASH:
                world.supervisor.crash(name, "RuntimeError: simulated (simulation)")
            case _T.ACTOR_HANG:
                world.supervisor.hang(name, fault.seconds)
            case _T.CUT | _T.CUT_TO_SLAVE | _T.CUT_TO_MASTER:
                self._watch(name)
                cable.cut(*_ways(fault.trouble))
            case _T.RESET:
                world.reset(name)
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
        world, name = self._world, fault.builder
        cable, slave = world.cables[name], world.slaves[name]
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
        cable = self._world.cables[name]
        cable.watched += 1
        if cable.watched == 1:
            self._world.watch(name, watching=True)

    def _calm(self, name: str) -> None:
        self._world.agenda.after(_CALM, self._watch_no_more, name)

    def _watch_no_more(self, name: str) -> None:
        cable = self._world.cables[name]
        cable.watched -= 1
        if not cable.watched:
            self._world.watch(name, watching=False)

    # --- of the farm ------------------------------------------------------------------------------

    def _begin_of_farm(self, fault: Fault) -> None:
        world = self._world
        match fault.trouble:
            case _T.NURSERY_CRASH:
                world.supervisor.crash_nursery(world.plan.builders[0].name, "killed by signal 9")
            case _T.QUEUE_CRASH:
                world.supervisor.crash_queue("RuntimeError: simulated (simulation)")
            case _T.MASTER_RESTART:
                world.stop_master()
            case _T.DATABASE_AWAY:
                world.server.go_away()
            case _T.COMMIT_LOST:
                world.server.lose_commits += 1
            case _T.DISK_FULL:
                world.disk.full += 1
            case _T.CLOCK_JUMP:
                world.jump_clock(timedelta(seconds=fault.strength))
            case _T.MAIL:
                world.mail.troubled += 1
            case _:
                raise AssertionError(f"{fault.trouble} does not befall a farm")

    def _mend_of_farm(self, fault: Fault) -> None:
        world = self._world
        match fault.trouble:
            case _T.MASTER_RESTART:
                world.start_master()
            case _T.DATABASE_AWAY:
                world.server.come_back()
            case _T.DISK_FULL:
                world.disk.full -= 1
            case _T.MAIL:
                world.mail.troubled -= 1
            case _:
                pass


def _ways(trouble: Trouble) -> tuple[Way, ...]:
    one_way = {_T.CUT_TO_SLAVE: (Way.TO_SLAVE,), _T.CUT_TO_MASTER: (Way.TO_MASTER,)}
    return one_way.get(trouble, _BOTH)

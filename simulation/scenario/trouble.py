"""What goes wrong in a simulated farm, and what people do to it, drawn by seed: the profiles none, light and heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from simulation.scenario.chance import stream
from simulation.scenario.plan import HOUR, Act, Deed, Fault, PlannedBuilder, Trouble
from simulation.slaves.lies import LIES

PROFILES: Final = ("none", "light", "heavy")
_T = Trouble


@dataclass(frozen=True, slots=True)
class _Kind:
    """How often something goes wrong, and for how long."""

    light: float  #: times a day, of each builder or of the farm
    heavy: float
    shortest: float = 0.0  #: seconds
    longest: float = 0.0


#: of each builder
_OF_BUILDERS: Final[Mapping[Trouble, _Kind]] = {
    _T.ACTOR_CRASH: _Kind(0.1, 1.5),
    _T.ACTOR_HANG: _Kind(0.05, 0.5, 1.0, 60.0),
    _T.CUT: _Kind(0.1, 1.0, 2.0, 600.0),
    _T.CUT_TO_SLAVE: _Kind(0.03, 0.5, 2.0, 300.0),
    _T.CUT_TO_MASTER: _Kind(0.03, 0.5, 2.0, 300.0),
    _T.RESET: _Kind(0.3, 2.0),
    _T.SLOW: _Kind(0.1, 1.0, 60.0, 1800.0),
    _T.SLAVE_RESTART: _Kind(0.1, 1.0, 2.0, 60.0),
    _T.HOST_DEAD: _Kind(0.03, 0.3, 60.0, 3600.0),
    _T.SLAVE_HANG: _Kind(0.03, 0.4, 5.0, 300.0),
    _T.SLAVE_DISK_FULL: _Kind(0.02, 0.2, 300.0, 3600.0),
    _T.LIES: _Kind(0.0, 0.2, 60.0, 1800.0),
    _T.BROKEN: _Kind(0.01, 0.2, 600.0, 7200.0),
    _T.BLACK_HOLE: _Kind(0.01, 0.15, 600.0, 7200.0),
    _T.KILLS: _Kind(0.01, 0.15, 600.0, 7200.0),
    _T.DEAF: _Kind(0.0, 0.2, 600.0, 7200.0),
    _T.NEVER_CLEAN: _Kind(0.0, 0.2, 300.0, 3600.0),
}
#: of the farm
_OF_FARMS: Final[Mapping[Trouble, _Kind]] = {
    _T.NURSERY_CRASH: _Kind(0.5, 6.0),
    _T.QUEUE_CRASH: _Kind(0.5, 8.0),
    _T.MASTER_RESTART: _Kind(0.3, 3.0, 1.0, 30.0),
    _T.DATABASE_AWAY: _Kind(0.5, 6.0, 1.0, 180.0),
    _T.COMMIT_LOST: _Kind(0.5, 8.0),
    _T.DISK_FULL: _Kind(0.2, 3.0, 30.0, 1200.0),
    _T.CLOCK_JUMP: _Kind(0.2, 3.0),
    _T.MAIL: _Kind(0.5, 6.0, 30.0, 900.0),
}
#: times a day, for each hundred jobs of it
_DEEDS: Final[Mapping[Act, float]] = {
    Act.CANCEL: 2.0,
    Act.RETRY: 3.0,
    Act.GIVE_BACK: 1.0,
    Act.RESCORE: 2.0,
    Act.REMOVE_JOB: 0.5,
    Act.TRUST: 0.5,
    Act.SET_NOT_OK: 0.5,
    Act.REMOVE: 0.3,
    Act.PAUSE: 0.2,
}
_LIES: Final = tuple(LIES)
_ROUND: Final = 2 * HOUR  #: how often an operator looks after builders that are not ok


def draw_faults(
    seed: int, profile: str, builders: tuple[PlannedBuilder, ...], hours: float, *, times: float = 1.0
) -> tuple[Fault, ...]:
    """Draw what goes wrong within `hours`.

    Args:
        seed: whose numbers are drawn.
        profile: one of `PROFILES`.
        builders: whom it may befall.
        hours: from the beginning.
        times: so many times as often as the profile says.
    """
    if profile == "none":
        return ()
    faults: list[Fault] = []
    for builder in builders:
        for trouble, kind in _OF_BUILDERS.items():
            often = times * (kind.heavy if profile == "heavy" else kind.light) * hours / 24
            faults += _draw(stream(seed, "fault", builder.name, trouble), trouble, kind, often, hours, builder.name)
    for trouble, kind in _OF_FARMS.items():
        often = times * (kind.heavy if profile == "heavy" else kind.light) * hours / 24
        faults += _draw(stream(seed, "fault", trouble), trouble, kind, often, hours)
    return tuple(sorted(faults, key=lambda one: (one.at, one.trouble, one.builder)))


def _draw(  # noqa: PLR0917 - all of them
    chance: Random, trouble: Trouble, kind: _Kind, expected: float, hours: float, builder: str = ""
) -> list[Fault]:
    times = int(expected) + (chance.random() < expected % 1)
    faults = []
    for _ in range(times):
        at = round(chance.random() * hours * HOUR, 3)
        seconds = 0.0
        if kind.longest:
            seconds = round(kind.shortest * math.exp(chance.random() * math.log(kind.longest / kind.shortest)), 3)
        strength, manner = 0.0, ""
        if trouble is Trouble.SLOW:
            strength = round(10.0 ** (1 + 3 * chance.random()), 1)
        elif trouble is Trouble.CLOCK_JUMP:
            strength = round(chance.choice((-1, 1)) * 10.0 ** (3.5 * chance.random()), 1)
        elif trouble is Trouble.LIES:
            manner = chance.choice(_LIES)
        faults.append(Fault(at, trouble, builder, seconds, strength, manner))
    return faults


def draw_deeds(seed: int, profile: str, jobs: int, hours: float, *, times: float = 1.0) -> tuple[Deed, ...]:
    """Draw what people do within `hours`; in the farm without trouble, they only let it work."""
    if profile == "none":
        return ()
    deeds = [Deed(hour, Act.SET_OK) for hour in _rounds(hours)]
    for act, often in _DEEDS.items():
        chance = stream(seed, "deed", act)
        expected = times * often * jobs / 100
        for _ in range(int(expected) + (chance.random() < expected % 1)):
            at = round(chance.random() * hours * HOUR, 3)
            seconds = round(10.0 ** (1 + 2 * chance.random()), 3)
            deeds.append(Deed(at, act, chance.random(), seconds))
    return tuple(sorted(deeds, key=lambda one: (one.at, one.act, one.target)))


def _rounds(hours: float) -> list[float]:
    return [number * _ROUND for number in range(1, 1 + int(hours * HOUR / _ROUND))]

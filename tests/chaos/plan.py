"""What the monkey does, and when: faults at points of progress, drawn from a seed.

Pure: the same seed and number of jobs give the same plan on every machine.  Which process a fault hits is said by name
(`sim3`, `queue`); its number is looked up when the time has come (`tests.chaos.monkey`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is done to the farm."""

    KILL_BUILDER = "kill-builder"  #: the process of a builder's actor
    STOP_BUILDER = "stop-builder"  #: SIGSTOP, and SIGCONT if it lives to see it
    KILL_QUEUE = "kill-queue"
    STOP_QUEUE = "stop-queue"
    KILL_NURSERY = "kill-nursery"
    STOP_NURSERY = "stop-nursery"
    KILL_SUPERVISOR = "kill-supervisor"
    STOP_SUPERVISOR = "stop-supervisor"
    KILL_ADMIN = "kill-admin"  #: Thespian's
    STOP_ADMIN = "stop-admin"
    KILL_MASTER = "kill-master"  #: run_master, which is started again as systemd would
    STOP_MASTER = "stop-master"
    KILL_SLAVE = "kill-slave"  #: the slave's process; started again after a while
    STOP_SLAVE = "stop-slave"
    RESET_LINK = "reset-link"  #: every connection between master and slave is reset
    CUT_LINK = "cut-link"  #: nothing passes, either way; nobody is told
    MUTE_LINK = "mute-link"  #: what the slave says does not arrive
    DEAF_LINK = "deaf-link"  #: what the master says does not arrive
    SLOW_LINK = "slow-link"
    STOP_POSTGRES = "stop-postgres"  #: in order; started again after a while
    KILL_POSTGRES = "kill-postgres"  #: kill -9 of its first process
    FREEZE_POSTGRES = "freeze-postgres"  #: SIGSTOP of all its processes
    FILL_STATE = "fill-state"  #: the disk of librarian, logs and keys is full
    FILL_POSTGRES = "fill-postgres"  #: the disk of PostgreSQL's data is full


#: of one builder or its slave, which may be blamed for it; every other fault is nobody's
OF_A_BUILDER: Final = frozenset(
    {
        Kind.KILL_BUILDER,
        Kind.STOP_BUILDER,
        Kind.KILL_SLAVE,
        Kind.STOP_SLAVE,
        Kind.RESET_LINK,
        Kind.CUT_LINK,
        Kind.MUTE_LINK,
        Kind.DEAF_LINK,
        Kind.SLOW_LINK,
    }
)
#: while they last nothing can be written down
OF_THE_DATABASE: Final = frozenset({Kind.STOP_POSTGRES, Kind.KILL_POSTGRES, Kind.FREEZE_POSTGRES, Kind.FILL_POSTGRES})
NEEDS_MOUNTS: Final = frozenset({Kind.FILL_STATE, Kind.FILL_POSTGRES})

#: seconds that a fault lasts, from and to; those that are not here are over at once
LASTS: Final = {
    Kind.STOP_BUILDER: (1.0, 9.0),
    Kind.STOP_QUEUE: (1.0, 9.0),
    Kind.STOP_NURSERY: (1.0, 9.0),
    Kind.STOP_SUPERVISOR: (1.0, 9.0),
    Kind.STOP_ADMIN: (1.0, 9.0),
    Kind.STOP_MASTER: (1.0, 4.0),
    Kind.KILL_SLAVE: (0.1, 3.0),
    Kind.STOP_SLAVE: (1.0, 12.0),
    Kind.CUT_LINK: (1.0, 12.0),
    Kind.MUTE_LINK: (1.0, 12.0),
    Kind.DEAF_LINK: (1.0, 12.0),
    Kind.SLOW_LINK: (2.0, 8.0),
    Kind.STOP_POSTGRES: (1.0, 8.0),
    Kind.KILL_POSTGRES: (0.1, 3.0),
    Kind.FREEZE_POSTGRES: (1.0, 8.0),
    Kind.FILL_STATE: (3.0, 8.0),
    Kind.FILL_POSTGRES: (3.0, 8.0),
}
_FIRST, _LAST = 0.04, 0.85  #: share of the jobs between which faults happen: at the end the farm shows that it recovers


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done to the farm."""

    after: int  #: jobs that have ended
    kind: Kind
    target: str  #: builder, or nursery; empty: there is only one
    seconds: float  #: that it lasts

    @property
    def whose(self) -> str:
        """Return the builder that may be blamed for it; empty: nobody."""
        return self.target if self.kind in OF_A_BUILDER else ""


def plan(
    seed: int, jobs: int, builders: tuple[str, ...], *, faults: int, nurseries: int = 1, mounts: bool = True
) -> tuple[Fault, ...]:
    """Return what is done, in order.

    Every kind comes before any comes again, as far as `faults` reach.

    Args:
        seed: of everything that is left to chance.
        jobs: of the whole run.
        builders: names.
        faults: how many.
        nurseries: how many there are.
        mounts: whether disks can be filled.
    """
    chance = random.Random(seed)
    possible = [kind for kind in Kind if mounts or kind not in NEEDS_MOUNTS]
    kinds: list[Kind] = []
    while len(kinds) < faults:
        kinds += chance.sample(possible, len(possible))
    moments = sorted(chance.randint(max(1, round(_FIRST * jobs)), round(_LAST * jobs)) for _ in range(faults))
    return tuple(
        Fault(after, kind, _target(kind, chance, builders, nurseries), _seconds(kind, chance))
        for after, kind in zip(moments, kinds[:faults], strict=True)
    )


def _target(kind: Kind, chance: random.Random, builders: tuple[str, ...], nurseries: int) -> str:
    if kind in OF_A_BUILDER:
        return chance.choice(builders)
    if kind in {Kind.KILL_NURSERY, Kind.STOP_NURSERY}:
        return f"nursery-{chance.randint(1, nurseries)}"
    return ""


def _seconds(kind: Kind, chance: random.Random) -> float:
    least, most = LASTS.get(kind, (0.0, 0.0))
    return round(chance.uniform(least, most), 2)

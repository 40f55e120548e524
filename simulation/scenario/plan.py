"""What a simulated farm is made of, and what is going to happen to it: plain values, all of them drawn beforehand.

A run is its plan and nothing else; `simulation.shrink` makes smaller ones of it.  Drawn by
`simulation.scenario.workload` and `simulation.scenario.trouble`; carried out by `simulation.world` and its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from actors.core.attempts.verdict import VerdictRules
from actors.core.timers import Timers
from protocol.messages import WireOutcome
from storage.records import Limits, Pocket, Urgency

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class PlannedBuilder:
    """A builder, and the machine behind it."""

    name: str
    families: tuple[str, ...]
    trusted: bool
    slowness: float = 1.0  #: a build that takes 10 s elsewhere takes so many times that here
    latency: float = 0.0005  #: seconds of one way on the network
    manual: bool = False
    tags: tuple[str, ...] = ()
    restricted_tags: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Return the family that it counts for in sums."""
        return self.families[0]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A source that comes, and the one build of it."""

    at: float  #: seconds
    source: str
    family: str
    owner: str | None  #: of the PPA that it goes to; None: the primary archive
    seconds: float  #: of the build, on a machine of slowness 1
    outcome: WireOutcome = WireOutcome.OK
    pocket: Pocket = Pocket.RELEASE
    component: str = "main"
    urgency: Urgency = Urgency.LOW
    dependencies: tuple[str, ...] = ()
    version: str = "1.0-1"
    tags: tuple[str, ...] = ()
    score: int | None = None  #: a manual one


class Trouble(StrEnum):
    """What can go wrong."""

    # of one builder
    ACTOR_CRASH = "actor crash"
    ACTOR_HANG = "actor hang"
    CUT = "network cut"  #: nothing passes, and nobody is told
    CUT_TO_SLAVE = "network cut to the slave"  #: one way
    CUT_TO_MASTER = "network cut to the master"  #: one way
    RESET = "connection reset"
    SLOW = "slow network"
    SLAVE_RESTART = "slave restart"  #: its process ends, and begins again
    HOST_DEAD = "host dead"  #: as if the power was cut, and back later
    SLAVE_HANG = "slave hang"  #: connected, and silent
    SLAVE_DISK_FULL = "slave's disk full"
    LIES = "slave lies"
    BROKEN = "slave breaks builds"  #: each ends with BUILDERFAIL
    BLACK_HOLE = "slave fails builds fast"  #: each ends with PACKAGEFAIL within seconds
    KILLS = "slave dies in builds"
    DEAF = "slave deaf to aborts"
    NEVER_CLEAN = "slave never clean"
    # of the farm
    NURSERY_CRASH = "nursery crash"
    QUEUE_CRASH = "queue actor crash"
    MASTER_RESTART = "master restart"
    DATABASE_AWAY = "database away"
    COMMIT_LOST = "commit's answer lost"
    DISK_FULL = "master's disk full"
    CLOCK_JUMP = "clock jump"
    MAIL = "late and double messages"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at: float  #: seconds
    trouble: Trouble
    builder: str = ""  #: empty: it befalls the farm
    seconds: float = 0.0  #: how long it lasts; 0: a moment
    strength: float = 0.0  #: seconds of a clock jump, times of a slow network
    manner: str = ""  #: which lie


class Act(StrEnum):
    """What people do to a farm."""

    CANCEL = "cancel"
    RETRY = "retry"
    GIVE_BACK = "give back"
    RESCORE = "rescore"
    SET_OK = "set ok"
    SET_NOT_OK = "set not ok"
    TRUST = "turn trust"
    REMOVE = "remove and add again"
    PAUSE = "pause"
    REMOVE_JOB = "remove job"


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that somebody does."""

    at: float  #: seconds
    act: Act
    target: float = 0.0  #: from 0 up to 1: which of those that can be meant
    seconds: float = 0.0  #: after which it is undone, where it is
    name: str = ""  #: of the builder; empty: by `target`


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is going to happen."""

    seed: int
    builders: tuple[PlannedBuilder, ...]
    jobs: tuple[PlannedJob, ...]  #: in the order in which they come
    hours: float  #: in which jobs come and things go wrong
    faults: tuple[Fault, ...] = ()  #: in order
    deeds: tuple[Deed, ...] = ()  #: in order
    settle_hours: float = 24.0  #: at most, after which all that can be built must have been
    timers: Timers = field(default_factory=Timers)
    rules: VerdictRules = field(default_factory=VerdictRules)
    capacity: bool = False  #: it ends when its hours are over, however much waits then
    limits: Limits = field(default_factory=lambda: Limits(wall_seconds=8 * 3600, silent_seconds=150 * 60))

"""What the matcher hears, and what it orders: the two vocabularies of `actors.core.dispatch.matcher`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.records import Builder, FarmState, Job


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A job and the builder that it goes to."""

    job: int
    builder: str


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobsRead:
    """What the database says of the jobs `asked` for (None: of all); one that is not in `jobs` is gone."""

    jobs: tuple[Job, ...]
    asked: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class BuildersRead:
    """What the database says of the builders `asked` for (None: of all); one that is not in `builders` is gone."""

    builders: tuple[Builder, ...]
    asked: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class BuilderReady:
    """The builder's slave is connected, IDLE and clean, or will be before it starts what it gets next."""

    builder: str


@dataclass(frozen=True, slots=True)
class BuilderNotReady:
    """The builder's slave can't take a job any more."""

    builder: str


@dataclass(frozen=True, slots=True)
class ClaimSettled:
    """The database's answer to a `Claim`, with the rows of the pairs that lost as they are now."""

    won: tuple[Pair, ...]
    lost: tuple[Pair, ...] = ()
    jobs: tuple[Job, ...] = ()
    builders: tuple[Builder, ...] = ()


@dataclass(frozen=True, slots=True)
class TriedAgain:
    """A moment has passed: builders that were set aside may try again."""


@dataclass(frozen=True, slots=True)
class FarmRead:
    """What the database says of the farm as a whole: pause and fences."""

    farm: FarmState


@dataclass(frozen=True, slots=True)
class TimePassed:
    """It is this late: what was to last until now may be over."""

    at: datetime


Event = JobsRead | BuildersRead | BuilderReady | BuilderNotReady | ClaimSettled | TriedAgain | FarmRead | TimePassed


# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim these, in one transaction; the best job first.  `ClaimSettled` must answer."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class SkipSeries:
    """Say once in the log that nothing is dispatched for this distroarchseries: it has no chroot."""

    distroarchseries: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A claim was lost for no reason to be seen (its rows were locked; an open attempt): look, then `TriedAgain`."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class Supersede:
    """End the builds of these waiting jobs: their source is no longer published.  `JobsRead` of them must answer."""

    jobs: frozenset[int]


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """What these were waiting for is over: read their rows again, and say so."""

    jobs: frozenset[int] = frozenset()
    builders: frozenset[str] = frozenset()


Order = Claim | SkipSeries | SetAside | Supersede | ReadAgain

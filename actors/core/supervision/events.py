"""What the supervisor's core hears, and what it orders: the two vocabularies of `actors.core.supervision.lives`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.records import Builder


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """The supervisor itself has started."""

    at: float  #: monotonic seconds, as all `at` here


@dataclass(frozen=True, slots=True)
class BuildersSeen:
    """The queue actor said which builders are registered."""

    builders: tuple[Builder, ...]
    at: float


@dataclass(frozen=True, slots=True)
class QueueUp:
    """The queue actor of this generation has loaded its state and can be spoken to."""

    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A process ended; may be told twice, and late."""

    name: str
    generation: int
    reason: str  #: one line
    at: float


@dataclass(frozen=True, slots=True)
class GoneRecorded:
    """The queue actor has written down what a `ReportGone` said."""

    builder: str
    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The time that a `WakeUp` asked for has come (or any other)."""

    at: float


Event = Begun | BuildersSeen | QueueUp | Ended | GoneRecorded | TimePassed


# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartQueue:
    """Fork the queue actor."""

    generation: int


@dataclass(frozen=True, slots=True)
class StartNursery:
    """Fork a nursery; its builders are ordered separately, after it."""

    nursery: str
    generation: int


@dataclass(frozen=True, slots=True)
class StartBuilder:
    """Have the nursery fork the builder's actor."""

    nursery: str
    builder: Builder
    generation: int


@dataclass(frozen=True, slots=True)
class ChangeBuilder:
    """Tell the builder's actor its changed row."""

    nursery: str
    builder: Builder


@dataclass(frozen=True, slots=True)
class RetireBuilder:
    """Have the builder's actor end its session and exit."""

    nursery: str
    builder: str


@dataclass(frozen=True, slots=True)
class AnnounceQueue:
    """Tell every builder's actor where the queue actor lives now."""


@dataclass(frozen=True, slots=True)
class ReportGone:
    """Have the queue actor mark the builder not ok."""

    builder: str
    generation: int
    failnotes: str


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Hand in `TimePassed` in so many seconds."""

    after: float


Order = StartQueue | StartNursery | StartBuilder | ChangeBuilder | RetireBuilder | AnnounceQueue | ReportGone | WakeUp

"""The farm as a whole: what an operator says of it, what it did lately, what does not hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FarmState:
    """What an operator has said of the farm as a whole."""

    paused: str = ""  #: why nothing is given away; empty: jobs are given away
    minimum_score: int | None = None  #: jobs whose score without age is less wait
    family_scores: tuple[FamilyScore, ...] = ()  #: the same for a processor family; the higher of the two counts


@dataclass(frozen=True, slots=True)
class FamilyScore:
    """The least score, without age, of jobs of one processor family that are given away."""

    family: str
    score: int


@dataclass(frozen=True, slots=True)
class PastBuild:
    """A build that succeeded, and how long it took."""

    source: str  #: name
    family: str
    trusted: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many builds of one kind came lately."""

    family: str
    trusted: bool
    builds: int
    hours: float  #: in which they came


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant of architecture §9 that does not hold."""

    number: int  #: of the invariant, 1-8
    what: str  #: the invariant, as a sentence
    rows: tuple[str, ...]  #: what breaks it, one line each, as `build 17: ...`

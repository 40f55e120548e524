"""In which order jobs are given away (dispatch-rules §2).

A job's score is its base (urgency, component, pocket, archive; or the operator's manual score instead) plus its age.
As all jobs age alike, the order of two jobs never changes by time: `rank` is computed once and sorted by.
Which builder may run a job stands in `actors.core.dispatch.pair_rules`; who gets which in
`actors.core.dispatch.matcher`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from storage.records import ArchivePurpose, Job, Pocket, Urgency

AGE_POINTS_PER_HOUR: Final = 25
PRIVATE_POINTS: Final = 10_000
COPY_POINTS: Final = -2_600
FAIR_SHARE_POINTS: Final = 15  #: less for an untrusted archive's job, for every job of its owner that runs
URGENCY_POINTS: Final = {Urgency.LOW: 5, Urgency.MEDIUM: 10, Urgency.HIGH: 15, Urgency.EMERGENCY: 20}
COMPONENT_POINTS: Final = {"multiverse": 0, "universe": 250, "restricted": 750, "main": 1_000, "partner": 1_250}
POCKET_POINTS: Final = {
    Pocket.BACKPORTS: 0,
    Pocket.RELEASE: 1_500,
    Pocket.PROPOSED: 3_000,
    Pocket.UPDATES: 3_000,
    Pocket.SECURITY: 4_500,
}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROSECONDS_PER_HOUR: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a base score."""

    letter: str  #: as shown
    name: str
    points: int


@dataclass(frozen=True, slots=True)
class Score:
    """The base of a job's score, in parts; ages by `AGE_POINTS_PER_HOUR`."""

    parts: tuple[Part, ...]

    @property
    def base(self) -> int:
        """Return the sum of the parts."""
        return sum(part.points for part in self.parts)

    def __str__(self) -> str:
        """Return the parts and their sum, as `U+15 C+1000 P+1500 A+50 = 2565`."""
        return " ".join(f"{part.letter}{part.points:+d}" for part in self.parts) + f" = {self.base}"


def score(job: Job) -> Score:
    """Return the base score of `job`; a manual score replaces everything else, and ages like any other.

    A component that the table does not know counts nothing: a strange row must not stall the queue.
    """
    if job.manual_score is not None:
        return Score((Part("M", "manual", job.manual_score),))
    archive = job.relative_score
    if job.private:
        archive += PRIVATE_POINTS
    if job.purpose is ArchivePurpose.COPY:
        archive += COPY_POINTS
    return Score(
        (
            Part("U", "urgency", URGENCY_POINTS[job.urgency]),
            Part("C", "component", COMPONENT_POINTS.get(job.component, 0)),
            Part("P", "pocket", POCKET_POINTS[job.pocket]),
            Part("A", "archive", archive),
        )
    )


def age(job: Job, now: datetime) -> int:
    """Return the points that `job` has gained by waiting until `now`, rounded down."""
    return AGE_POINTS_PER_HOUR * ((now - job.created) // _MICROSECOND) // _MICROSECONDS_PER_HOUR


def rank(job: Job) -> tuple[int, int]:
    """Return the static sort key of `job`: the least goes first; ties go to the lower job id.

    The first number is `25/h · created - base` in exact whole numbers (points · microseconds an hour), so that
    jobs a microsecond apart are told apart.
    """
    created = (job.created - _EPOCH) // _MICROSECOND
    return (AGE_POINTS_PER_HOUR * created - score(job).base * _MICROSECONDS_PER_HOUR, job.id)


def handicap(running: int) -> int:
    """Return what is added to the first number of `rank` while `running` jobs of the same owner run (fair share)."""
    return FAIR_SHARE_POINTS * running * _MICROSECONDS_PER_HOUR

"""What an attempt's outcome means for its build, its job and its builder (dispatch-rules §5).

One row for each outcome.  Columns that come later (who is charged, the builder's ladder) are further fields of
`Verdict` and further columns of `_ROWS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from storage.records import BuildState, Outcome


class BuilderBlame(StrEnum):
    """What the outcome says about the builder."""

    NONE = "none"
    COMPLETED = "completed"  #: it did its work: failures in a row := 0
    FAILURE = "failure"  #: one more failure in a row
    BREACH = "breach"  #: out of dispatch at once, until a person clears it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of build, job and builder."""

    build: BuildState
    keep_job: bool  #: True: back in the queue with its place
    builder: BuilderBlame = BuilderBlame.NONE
    exclude: bool = False  #: the build does not go to this builder again for a while
    cool: bool = False  #: the job waits for a while
    unpublished: BuildState | None = None  #: what the build becomes instead if its source is published no more


_NEEDSBUILD: Final = BuildState.NEEDSBUILD
_ROWS: Final[dict[Outcome, Verdict]] = {
    #                             build becomes                job kept  builder
    Outcome.OK: Verdict(
        BuildState.FULLYBUILT, keep_job=False, builder=BuilderBlame.COMPLETED, unpublished=BuildState.SUPERSEDED
    ),
    Outcome.UNVERIFIED: Verdict(BuildState.FAILEDTOUPLOAD, keep_job=False),
    Outcome.PACKAGEFAIL: Verdict(BuildState.FAILEDTOBUILD, keep_job=False, builder=BuilderBlame.COMPLETED),
    Outcome.DEPFAIL: Verdict(BuildState.MANUALDEPWAIT, keep_job=False, builder=BuilderBlame.COMPLETED),
    Outcome.CHROOTFAIL: Verdict(BuildState.CHROOTWAIT, keep_job=False),
    Outcome.GIVENBACK: Verdict(_NEEDSBUILD, keep_job=True, exclude=True, cool=True),
    Outcome.BUILDERFAIL: Verdict(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE, exclude=True),
    Outcome.LOST: Verdict(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE, exclude=True),
    Outcome.BREACH: Verdict(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.BREACH),
    Outcome.ABORTED: Verdict(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE),
    Outcome.TIMEOUT: Verdict(BuildState.FAILEDTOBUILD, keep_job=False),
    Outcome.FENCED: Verdict(_NEEDSBUILD, keep_job=True),
}


_COOLING_MOST: Final = 86_400.0  #: seconds


def cooling_seconds(first: float, given_back: int) -> float:
    """Return for how long a job waits that its slave gave back: 1, 4, 16 min …, a day at most.

    Args:
        first: seconds, the first time.
        given_back: how often in a row it was given back before.
    """
    return min(first * 4.0 ** min(given_back, 20), max(first, _COOLING_MOST))


def verdict(outcome: Outcome, state: BuildState) -> Verdict:
    """Return what `outcome` means for a build that is in `state`.

    A build that a person cancelled ends CANCELLED however its attempt ended: what they asked for stands, and an abort
    that was asked for is nobody's failure.
    """
    row = _ROWS[outcome]
    if state is not BuildState.CANCELLING:
        return row
    blame = BuilderBlame.NONE if outcome is Outcome.ABORTED else row.builder
    return Verdict(BuildState.CANCELLED, keep_job=False, builder=blame)

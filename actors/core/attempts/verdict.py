"""What an attempt's outcome means for its build, its job and its builder (dispatch-rules §5, §6).

One table says what each outcome means at first sight; then the evidence speaks: who failed before, and where.  Blame
goes to the builder or to the build, never to both for want of a better idea.  What a series of quick failures means
stands in `actors.core.attempts.black_hole`; the database does what a `Verdict` says (`actors.queue.turn`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from storage.records import BuildState, Evidence, Outcome


class BuilderBlame(StrEnum):
    """What the outcome says about the builder."""

    NONE = "none"
    COMPLETED = "completed"  #: it did its work: failures in a row := 0
    FAILURE = "failure"  #: one more failure in a row
    BREACH = "breach"  #: out of dispatch at once, until a person clears it


@dataclass(frozen=True, slots=True)
class VerdictRules:
    """The numbers of dispatch-rules §5 and §6."""

    pair_exclusion: float = 3_600.0  #: seconds; what failed for reasons of infrastructure does not go there again
    cooling: float = 60.0  #: seconds; a job that was given back waits, four times as long each time in a row
    quarantine: float = 60.0  #: seconds, at the second failure in a row; four times as long at each further one
    last_quarantine: float = 60.0  #: seconds; of a builder that is the only capable one, whatever failed
    failures: int = 5  #: in a row: not ok until a person says otherwise
    charges: int = 3  #: of a job: INFRAFAILED
    results: int = 8  #: black hole: of so many results of a builder …
    quick_failures: int = 5  #: … so many are package failures …
    quick_share: float = 0.2  #: … in less than this share of the expected time
    expected: float = 300.0  #: seconds that a build takes of which nothing else is known
    cross_check: float = 86_400.0  #: seconds; a suspected builder is quarantined until its builds were tried elsewhere


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of build, job and builder."""

    build: BuildState
    keep_job: bool  #: True: back in the queue with its place
    builder: BuilderBlame = BuilderBlame.NONE
    exclude: float | None = None  #: seconds; the build does not go to this builder again
    cool: float | None = None  #: seconds; the job waits
    charged: bool = False  #: to the job
    unpublished: BuildState | None = None  #: what the build becomes instead if its source is published no more
    failures: int = 0  #: of the builder, in a row, with this one
    quarantine: float | None = None  #: seconds
    disable: bool = False  #: the builder, until a person clears it
    hold_chroot: bool = False  #: nothing more is built in this chroot
    words: str = ""  #: what was decided and why, for people


@dataclass(frozen=True, slots=True)
class _Row:
    """What an outcome means at first sight."""

    build: BuildState
    keep_job: bool
    builder: BuilderBlame = BuilderBlame.NONE
    exclude: bool = False
    charge: bool = False
    cool: bool = False


_NEEDSBUILD: Final = BuildState.NEEDSBUILD
_ROWS: Final[dict[Outcome, _Row]] = {
    #                             build becomes                job kept  builder
    Outcome.OK: _Row(BuildState.FULLYBUILT, keep_job=False, builder=BuilderBlame.COMPLETED),
    Outcome.UNVERIFIED: _Row(BuildState.FAILEDTOUPLOAD, keep_job=False),
    Outcome.PACKAGEFAIL: _Row(BuildState.FAILEDTOBUILD, keep_job=False, builder=BuilderBlame.COMPLETED),
    Outcome.DEPFAIL: _Row(BuildState.MANUALDEPWAIT, keep_job=False, builder=BuilderBlame.COMPLETED),
    Outcome.CHROOTFAIL: _Row(BuildState.CHROOTWAIT, keep_job=False),
    Outcome.GIVENBACK: _Row(_NEEDSBUILD, keep_job=True, exclude=True, charge=True, cool=True),
    Outcome.BUILDERFAIL: _Row(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE, exclude=True, charge=True),
    Outcome.LOST: _Row(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE, exclude=True, charge=True),
    Outcome.BREACH: _Row(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.BREACH),
    Outcome.ABORTED: _Row(_NEEDSBUILD, keep_job=True, builder=BuilderBlame.FAILURE, charge=True),
    Outcome.TIMEOUT: _Row(BuildState.FAILEDTOBUILD, keep_job=False),
    Outcome.FENCED: _Row(_NEEDSBUILD, keep_job=True),
}

#: outcomes of which `evidence` is worth asking for: all others mean what their row says
DOUBTFUL: Final = frozenset({outcome for outcome, row in _ROWS.items() if row.charge} | {Outcome.CHROOTFAIL})

_LONGEST_COOLING: Final = 86_400.0  #: seconds
_MOST_COUNTED: Final = 1_000_000  #: failures in a row; whatever was written into the row, its end can be recorded


def cooling_seconds(first: float, given_back: int) -> float:
    """Return for how long a job waits: 1, 4, 16 min …, a day at most.

    Args:
        first: seconds, the first time.
        given_back: how often in a row it waited before.
    """
    return min(first * 4.0 ** min(given_back, 20), max(first, _LONGEST_COOLING))


def verdict(
    outcome: Outcome,
    state: BuildState,
    evidence: Evidence | None = None,
    *,
    capable: int = 2,
    given_back: int = 0,
    rules: VerdictRules | None = None,
) -> Verdict:
    """Return what `outcome` means for a build that is in `state`.

    A build that a person cancelled ends CANCELLED however its attempt ended: what they asked for stands, and an abort
    that was asked for is nobody's failure.

    Args:
        outcome: of the attempt.
        state: of the build.
        evidence: what else is known; needed of `DOUBTFUL` outcomes.
        capable: registered builders that could run the job, this one counted.
        given_back: how often in a row the job cooled down before.
        rules: the numbers.
    """
    evidence, rules = evidence or Evidence(), rules or VerdictRules()
    row = _ROWS[outcome]
    hold_chroot = False
    words: list[str] = []
    if outcome is Outcome.CHROOTFAIL and evidence.chroot_works_elsewhere:
        row = _ROWS[Outcome.BUILDERFAIL]
        words.append("the chroot works on other builders: the builder is to blame")
    elif outcome is Outcome.CHROOTFAIL and evidence.chroot_fails_elsewhere:
        hold_chroot = True
        words.append("the chroot failed on another builder too: it is held back")
    cancelling = state is BuildState.CANCELLING
    blame = BuilderBlame.NONE if cancelling and outcome is Outcome.ABORTED else row.builder
    means = Verdict(
        row.build,
        row.keep_job,
        blame,
        exclude=rules.pair_exclusion if row.exclude else None,
        cool=cooling_seconds(rules.cooling, given_back) if row.cool else None,
        unpublished=BuildState.SUPERSEDED if outcome is Outcome.OK else None,
        hold_chroot=hold_chroot,
    )
    if blame is BuilderBlame.FAILURE:
        means = _on_the_ladder(means, evidence, capable, rules, words)
    if cancelling:
        means = replace(means, build=BuildState.CANCELLED, keep_job=False, exclude=None, cool=None, unpublished=None)
    elif row.charge:
        alone = capable <= 1
        if alone and row.builder is BuilderBlame.FAILURE and evidence.failed_here:
            means = replace(means, cool=cooling_seconds(rules.cooling, given_back))
            words.append("it waits, so that the only capable builder can do something else meanwhile")
        if _chargeable(row, evidence, words, alone=alone):
            means = _charge(means, evidence, rules, words, alone=alone)
    return replace(means, words="; ".join(words)) if words else means


def _on_the_ladder(means: Verdict, evidence: Evidence, capable: int, rules: VerdictRules, words: list[str]) -> Verdict:
    """Let the builder climb (dispatch-rules §6): clean, quarantine, not ok; the only capable one goes no further."""
    failures = min(evidence.failures_in_row, _MOST_COUNTED) + 1
    means = replace(means, failures=failures)
    times = f"{failures} failures in a row"
    if failures == 1:
        words.append("first failure of the builder: its slave is cleaned")
        return means
    if capable <= 1:
        words.append(f"{times} of the only capable builder: quarantined for {_span(rules.last_quarantine)}")
        return replace(means, quarantine=rules.last_quarantine)
    if failures < rules.failures:
        seconds = rules.quarantine * 4.0 ** (failures - 2)
        words.append(f"{times}: the builder is quarantined for {_span(seconds)}")
        return replace(means, quarantine=seconds)
    words.append(f"{times}: the builder is not ok until a person says otherwise")
    return replace(means, disable=True)


def _chargeable(row: _Row, evidence: Evidence, words: list[str], *, alone: bool) -> bool:
    """Return whether the failure counts against the job: only if the builder had completed a build just before."""
    if row.builder is not BuilderBlame.FAILURE:
        return True  # it was given back
    if not evidence.after_completed:
        words.append("not charged to the build: the builder has not completed another one just before")
        return False
    if alone and not evidence.failed_here:
        words.append("not charged to the build: there is no other capable builder")
        return False
    return True


def _charge(means: Verdict, evidence: Evidence, rules: VerdictRules, words: list[str], *, alone: bool) -> Verdict:
    """Charge the job; charged thrice, on two builders where there are two, it is INFRAFAILED."""
    charges = (*evidence.charged_on, evidence.builder)
    words.append(f"charged to the build ({len(charges)} of {rules.charges})")
    if len(charges) < rules.charges or (len(set(charges)) < 2 and not alone):  # noqa: PLR2004 - two different ones
        return replace(means, charged=True)
    where = ", ".join(sorted(set(charges)))
    words.append(f"it failed for reasons of infrastructure on {where}: INFRAFAILED")
    return replace(means, charged=True, build=BuildState.INFRAFAILED, keep_job=False, exclude=None, cool=None)


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"  # noqa: PLR2004 - a minute

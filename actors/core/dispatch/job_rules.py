"""What holds a job back from every builder, whoever is idle (dispatch-rules §1, the rules without a number).

One table, in the order of dispatch-rules §1; the first rule that fails is the job's reason.  Whether it may run on
one builder stands in `actors.core.dispatch.pair_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.core.dispatch.pockets import OPEN, is_open
from actors.core.dispatch.reasons import Reason, ReasonCode, listed, moment
from actors.core.dispatch.score import score
from storage.records import ArchivePurpose, FarmState, Job, Pocket


def _no_chroot(job: Job, _farm: FarmState) -> Reason | None:
    if job.has_chroot:
        return None
    if job.chroot_held_back:
        return Reason(
            ReasonCode.NO_CHROOT,
            f"the chroot of {job.distroarchseries} is held back: {job.chroot_held_back}",
            (("distroarchseries", job.distroarchseries), ("held_back", job.chroot_held_back)),
        )
    return Reason(
        ReasonCode.NO_CHROOT,
        f"{job.distroarchseries} has no chroot for {job.pocket.value} (nor for RELEASE)",
        (("distroarchseries", job.distroarchseries), ("pocket", job.pocket.value)),
    )


def _pocket_closed(job: Job, _farm: FarmState) -> Reason | None:
    if job.purpose is ArchivePurpose.PPA or is_open(job.series_status, job.pocket):
        return None
    series = job.distroarchseries.rpartition("/")[0]
    others = ", ".join(pocket.value for pocket in Pocket if pocket in OPEN[job.series_status])
    return Reason(
        ReasonCode.POCKET_CLOSED,
        f"{series} is {job.series_status.value}: {job.pocket.value} is closed to uploads (open: {others or 'none'})",
        (("series", series), ("status", job.series_status.value), ("pocket", job.pocket.value)),
    )


def _superseded(job: Job, _farm: FarmState) -> Reason | None:
    if job.published:
        return None
    return Reason(
        ReasonCode.SUPERSEDED,
        f"{job.source} {job.version} is no longer published in {job.archive}: the build is about to be SUPERSEDED",
        (("archive", job.archive),),
    )


def _archive_disabled(job: Job, _farm: FarmState) -> Reason | None:
    if job.archive_enabled:
        return None
    return Reason(ReasonCode.ARCHIVE_DISABLED, f"archive {job.archive} is disabled", (("archive", job.archive),))


def _below_minimum_score(job: Job, farm: FarmState) -> Reason | None:
    fences = [(one.score, f"of {one.family}") for one in farm.family_scores if one.family == job.family]
    if farm.minimum_score is not None:
        fences.append((farm.minimum_score, "of the farm"))
    if not fences:
        return None
    least, whose = max(fences)
    base = score(job).base
    if base >= least:
        return None
    return Reason(
        ReasonCode.BELOW_MINIMUM_SCORE,
        f"score {base} without age; the least score {whose} is {least}",
        (("score", base), ("minimum_score", least)),
    )


def _files_missing(job: Job, _farm: FarmState) -> Reason | None:
    if not job.files_missing:
        return None
    return Reason(
        ReasonCode.FILES_MISSING,
        f"the librarian has no content yet for {listed(job.files_missing)}",
        (("files", ", ".join(job.files_missing)),),
    )


def _cooling_down(job: Job, _farm: FarmState) -> Reason | None:
    if job.cooling_until is None:
        return None
    return Reason(
        ReasonCode.COOLING_DOWN,
        f"was given back, or failed on the only builder for it; waits until {moment(job.cooling_until)}",
        (("until", job.cooling_until.isoformat()), ("times", job.given_back)),
    )


_JOB_RULES: Final[tuple[Callable[[Job, FarmState], Reason | None], ...]] = (
    _no_chroot,
    _pocket_closed,
    _superseded,
    _archive_disabled,
    _below_minimum_score,
    _files_missing,
    _cooling_down,
)


def held(job: Job, farm: FarmState) -> Reason | None:
    """Return why `job` is kept from every builder, whoever is idle; None: nothing holds it."""
    for rule in _JOB_RULES:
        found = rule(job, farm)
        if found is not None:
            return found
    return None


def paused(farm: FarmState) -> Reason | None:
    """Return the reason of every job while dispatch is paused."""
    if not farm.paused:
        return None
    return Reason(ReasonCode.DISPATCH_PAUSED, f"dispatch is paused: {farm.paused}", (("why", farm.paused),))


def no_capable_builder(job: Job) -> Reason:
    """Return the reason of a job that no registered builder could ever run."""
    side = "trusted" if job.trusted else "untrusted"
    tags = f" with {listed(job.tags)}" if job.tags else ""
    assigned = f"; it is assigned to {job.assigned}" if job.assigned else ""
    return Reason(
        ReasonCode.NO_CAPABLE_BUILDER,
        f"no registered builder{tags} serves {job.family} for {side} builds{assigned}",
        (
            ("family", job.family),
            ("job_trusted", job.trusted),
            ("tags", " ".join(job.tags)),
            ("assigned", job.assigned),
        ),
    )

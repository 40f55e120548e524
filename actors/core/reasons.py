"""May this job run on this builder, and if not, why not (dispatch-rules §1).

One table of rules for a pair, one for the builder alone, one for the job alone, each in the order of dispatch-rules §1: the first rule that fails
is the reason.  `actors.core.dispatch` gives jobs away by these functions and `actors.core.explain` answers by them, so
the two cannot disagree.  A rule that comes later is one more function and one more line in its table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from storage.records import Builder, Job, RuntimeState


class ReasonCode(StrEnum):
    """Why a job is not given away, for machines; the names are those of dispatch-rules §1."""

    # of a job, before any builder is looked at
    NO_CHROOT = "no_chroot"
    ARCHIVE_DISABLED = "archive_disabled"
    FILES_MISSING = "files_missing"
    DISPATCH_PAUSED = "dispatch_paused"
    NO_CAPABLE_BUILDER = "no_capable_builder"
    # of a job and a builder
    BUILDER_NOT_OK = "builder_not_ok"
    BUILDER_MANUAL = "builder_manual"
    FAMILY_MISMATCH = "family_mismatch"
    TRUST_MISMATCH = "trust_mismatch"
    BUILDER_DISCONNECTED = "builder_disconnected"
    BUILDER_BUSY = "builder_busy"
    BUILDER_CLEANING = "builder_cleaning"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not: a code for machines, words for people, and what the words were made of."""

    code: ReasonCode
    words: str
    facts: tuple[tuple[str, str | int], ...] = ()  #: name → value, in the order of the words


@dataclass(frozen=True, slots=True)
class BuilderView:
    """A builder as dispatch sees it: its row, and what its actor last said of its slave."""

    builder: Builder
    state: RuntimeState = RuntimeState.DISCONNECTED
    connected: bool = False
    job: int | None = None  #: the job that holds it
    since: datetime | None = None  #: when it came into this state


def _not_ok(view: BuilderView) -> Reason | None:
    builder = view.builder
    if builder.builderok:
        return None
    notes = builder.failnotes or "nobody has set it ok yet"
    by = str(builder.notok_by.value) if builder.notok_by else ""
    return Reason(ReasonCode.BUILDER_NOT_OK, f"not ok: {notes}", (("failnotes", builder.failnotes), ("notok_by", by)))


def _manual(view: BuilderView) -> Reason | None:
    if not view.builder.manual:
        return None
    return Reason(ReasonCode.BUILDER_MANUAL, "in manual mode: gets only what an operator assigns to it")


def _family_mismatch(job: Job, view: BuilderView) -> Reason | None:
    if job.family in view.builder.families:
        return None
    serves = ", ".join(view.builder.families) or "no family"
    return Reason(
        ReasonCode.FAMILY_MISMATCH,
        f"serves {serves}; the job is for {job.family}",
        (("serves", serves), ("family", job.family)),
    )


def _trust_mismatch(job: Job, view: BuilderView) -> Reason | None:
    if job.trusted == view.builder.trusted:
        return None
    words = (
        "builds only untrusted code; the job is trusted"
        if job.trusted
        else "builds only trusted code; the job is untrusted"
    )
    return Reason(
        ReasonCode.TRUST_MISMATCH, words, (("builder_trusted", view.builder.trusted), ("job_trusted", job.trusted))
    )


def _disconnected(_job: Job, view: BuilderView) -> Reason | None:
    if view.connected and view.state not in _NO_SESSION:
        return None
    return Reason(ReasonCode.BUILDER_DISCONNECTED, "its slave is not connected", _since(view))


def _busy(_job: Job, view: BuilderView) -> Reason | None:
    if view.job is not None:
        return Reason(ReasonCode.BUILDER_BUSY, f"has job {view.job}", (("job", view.job), *_since(view)))
    if view.state in _WORKING:
        return Reason(ReasonCode.BUILDER_BUSY, f"is {view.state.lower()}", (("state", view.state.value), *_since(view)))
    return None


def _cleaning(_job: Job, view: BuilderView) -> Reason | None:
    if view.state is not RuntimeState.CLEANING:
        return None
    return Reason(ReasonCode.BUILDER_CLEANING, "its slave is being cleaned", _since(view))


def _since(view: BuilderView) -> tuple[tuple[str, str], ...]:
    return (("since", view.since.isoformat(timespec="seconds")),) if view.since else ()


_NO_SESSION: Final = frozenset({RuntimeState.DISCONNECTED, RuntimeState.CONNECTING})
_WORKING: Final = frozenset(
    {RuntimeState.PREPARING, RuntimeState.BUILDING, RuntimeState.GATHERING, RuntimeState.ABORTING}
)

#: of the builder alone, whatever the job
_BUILDER_RULES: Final[tuple[Callable[[BuilderView], Reason | None], ...]] = (
    _not_ok,  # 1; 2 is builder_quarantined
    _manual,  # 3
)
_PAIR_RULES: Final[tuple[Callable[[Job, BuilderView], Reason | None], ...]] = (
    _family_mismatch,  # 4
    _trust_mismatch,  # 5; 6 is tags_missing, 7 pair_excluded
    _disconnected,  # 8, also the next two
    _busy,
    _cleaning,
)


def reason(job: Job, view: BuilderView) -> Reason | None:
    """Return the first rule of dispatch-rules §1 by which `job` may not run on this builder now; None: it may."""
    found = withheld(view)
    if found is not None:
        return found
    for rule in _PAIR_RULES:
        found = rule(job, view)
        if found is not None:
            return found
    return None


def withheld(view: BuilderView) -> Reason | None:
    """Return why this builder gets no job at all; None: nothing in its own row keeps it from them."""
    for rule in _BUILDER_RULES:
        found = rule(view)
        if found is not None:
            return found
    return None


def _no_chroot(job: Job) -> Reason | None:
    if job.has_chroot:
        return None
    return Reason(
        ReasonCode.NO_CHROOT,
        f"{job.distroarchseries} has no chroot for {job.pocket.value} (nor for RELEASE)",
        (("distroarchseries", job.distroarchseries), ("pocket", job.pocket.value)),
    )


def _archive_disabled(job: Job) -> Reason | None:
    if job.archive_enabled:
        return None
    return Reason(ReasonCode.ARCHIVE_DISABLED, f"archive {job.archive} is disabled", (("archive", job.archive),))


def _files_missing(job: Job) -> Reason | None:
    if not job.files_missing:
        return None
    names = ", ".join(job.files_missing)
    return Reason(
        ReasonCode.FILES_MISSING,
        f"the librarian has no content yet for {names}",
        (("files", names),),
    )


_JOB_RULES: Final[tuple[Callable[[Job], Reason | None], ...]] = (
    _no_chroot,  # then pocket_closed, superseded
    _archive_disabled,  # then below_minimum_score
    _files_missing,  # then cooling_down
)


def held(job: Job) -> Reason | None:
    """Return why `job` is kept from every builder by what it is itself; None: nothing in its own rows holds it."""
    for rule in _JOB_RULES:
        found = rule(job)
        if found is not None:
            return found
    return None


def capable(job: Job, builder: Builder) -> bool:
    """Return whether `builder` could ever run `job` as both are registered: family and trust."""
    return job.family in builder.families and job.trusted == builder.trusted


def job_reason(job: Job, builders: Iterable[Builder], paused: str = "") -> Reason | None:
    """Return why `job` is given to nobody, whoever is idle; None: it waits for a builder only.

    Args:
        job: a waiting job.
        builders: all that are registered.
        paused: why dispatch as a whole is paused; empty when it is not.
    """
    found = held(job)
    if found is not None:
        return found
    if paused:
        return Reason(ReasonCode.DISPATCH_PAUSED, f"dispatch is paused: {paused}", (("why", paused),))
    if not any(capable(job, builder) for builder in builders):
        side = "trusted" if job.trusted else "untrusted"
        return Reason(
            ReasonCode.NO_CAPABLE_BUILDER,
            f"no registered builder serves {job.family} for {side} builds",
            (("family", job.family), ("job_trusted", job.trusted)),
        )
    return None

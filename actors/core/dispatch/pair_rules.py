"""May this job run on this builder, and if not, why not (dispatch-rules §1, the numbered rules).

Tables of rules in the order of dispatch-rules §1; the first that fails is the reason.  `actors.core.dispatch.matcher`
gives jobs away by these functions and `actors.core.dispatch.explain` answers by them, so the two cannot disagree.  A
rule that comes later is one more function and one more line in its table.  What holds a job back from every builder
stands in `actors.core.dispatch.job_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from actors.core.dispatch.reasons import Fact, Reason, ReasonCode, listed, moment
from storage.records import Builder, Job, RuntimeState


@dataclass(frozen=True, slots=True)
class BuilderView:
    """A builder as dispatch sees it: its row, and what its actor last said of its slave."""

    builder: Builder
    state: RuntimeState = RuntimeState.DISCONNECTED
    connected: bool = False
    job: int | None = None  #: the job that holds it
    since: datetime | None = None  #: when it came into this state
    source: str = ""  #: what it builds, as `hello 2.10-3`


# --- of a builder alone ---------------------------------------------------------------------------


def _not_ok(builder: Builder) -> Reason | None:
    if builder.builderok:
        return None
    notes = builder.failnotes or "nobody has set it ok yet"
    by = str(builder.notok_by.value) if builder.notok_by else ""
    return Reason(ReasonCode.BUILDER_NOT_OK, f"not ok: {notes}", (("failnotes", builder.failnotes), ("notok_by", by)))


def _quarantined(builder: Builder) -> Reason | None:
    if builder.quarantined_until is None:
        return None
    why = builder.quarantine_why or "no reason was given"
    return Reason(
        ReasonCode.BUILDER_QUARANTINED,
        f"quarantined until {moment(builder.quarantined_until)}: {why}",
        (("until", builder.quarantined_until.isoformat()), ("why", builder.quarantine_why)),
    )


_BUILDER_RULES: Final[tuple[Callable[[Builder], Reason | None], ...]] = (
    _not_ok,  # 1
    _quarantined,  # 2
)


def withheld(builder: Builder) -> Reason | None:
    """Return why this builder gets no job at all; None: nothing in its own row keeps it from them."""
    for rule in _BUILDER_RULES:
        found = rule(builder)
        if found is not None:
            return found
    return None


# --- of a job and a builder -----------------------------------------------------------------------


MANUAL: Final = Reason(ReasonCode.BUILDER_MANUAL, "in manual mode: gets only what an operator assigns to it")


def _manual(job: Job, view: BuilderView) -> Reason | None:
    return MANUAL if view.builder.manual and job.assigned != view.builder.name else None


def _assigned_elsewhere(job: Job, view: BuilderView) -> Reason | None:
    if job.assigned in {None, view.builder.name}:
        return None
    return Reason(
        ReasonCode.ASSIGNED_ELSEWHERE, f"an operator assigned the job to {job.assigned}", (("assigned", job.assigned),)
    )


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


def _tags_missing(job: Job, view: BuilderView) -> Reason | None:
    lacks = sorted(set(job.tags).difference(view.builder.tags, view.builder.restricted_tags))
    if lacks:
        words = f"lacks {listed(lacks)}, which the job asks for"
        return Reason(ReasonCode.TAGS_MISSING, words, (("builder_lacks", " ".join(lacks)),))
    unasked = sorted(set(view.builder.restricted_tags).difference(job.tags))
    if unasked:
        words = f"takes only jobs that ask for {listed(unasked)}"
        return Reason(ReasonCode.TAGS_MISSING, words, (("job_lacks", " ".join(unasked)),))
    return None


def excluded(job: Job, builder: Builder, *, alone: bool) -> Reason | None:
    """Return why `job` does not go to `builder` again for a while (rule 7); None: nothing of the kind happened there.

    Args:
        job: a waiting job.
        builder: that could run it.
        alone: it is the only capable builder of the job, and so never excluded.
    """
    until = next((one.until for one in job.excluded if one.builder == builder.name), None)
    if until is None or alone:
        return None
    return Reason(
        ReasonCode.PAIR_EXCLUDED,
        f"the job failed there for reasons of infrastructure; not again before {moment(until)}",
        (("until", until.isoformat()),),
    )


def _disconnected(view: BuilderView) -> Reason | None:
    if view.connected and view.state not in _NO_SESSION:
        return None
    return Reason(ReasonCode.BUILDER_DISCONNECTED, "its slave is not connected", _since(view))


def _busy(view: BuilderView) -> Reason | None:
    if view.job is not None:
        building = f" ({view.source})" if view.source else ""
        facts: tuple[tuple[str, Fact], ...] = (("job", view.job), ("source", view.source), *_since(view))
        return Reason(ReasonCode.BUILDER_BUSY, f"has job {view.job}{building}{_since_words(view)}", facts)
    if view.state in _WORKING:
        words = f"is {view.state.lower()}{_since_words(view)}"
        return Reason(ReasonCode.BUILDER_BUSY, words, (("state", view.state.value), *_since(view)))
    return None


def _cleaning(view: BuilderView) -> Reason | None:
    if view.state is not RuntimeState.CLEANING:
        return None
    return Reason(ReasonCode.BUILDER_CLEANING, f"its slave is being cleaned{_since_words(view)}", _since(view))


def _frozen(view: BuilderView) -> Reason | None:
    until = view.builder.frozen_until
    if until is None:
        return None
    return Reason(
        ReasonCode.BUILDER_FROZEN, f"frozen at the debug console until {moment(until)}", (("until", until.isoformat()),)
    )


_NO_SESSION: Final = frozenset({RuntimeState.DISCONNECTED, RuntimeState.CONNECTING})
_WORKING: Final = frozenset(
    {RuntimeState.PREPARING, RuntimeState.BUILDING, RuntimeState.GATHERING, RuntimeState.ABORTING}
)

_PairRule = Callable[[Job, BuilderView], Reason | None]
#: how both are registered
_REGISTERED_RULES: Final[tuple[_PairRule, ...]] = (
    _manual,  # 3, and its counterpart
    _assigned_elsewhere,
    _family_mismatch,  # 4
    _trust_mismatch,  # 5
    _tags_missing,  # 6
)
#: what the builder does now
_STATE_RULES: Final[tuple[Callable[[BuilderView], Reason | None], ...]] = (
    _disconnected,  # 8, and the next three
    _busy,
    _cleaning,
    _frozen,
)
#: by which a builder that nobody has registered otherwise could never run a job
_CAPABLE_RULES: Final[tuple[_PairRule, ...]] = (_assigned_elsewhere, _family_mismatch, _trust_mismatch, _tags_missing)


def reason(job: Job, view: BuilderView, *, alone: bool = False) -> Reason | None:
    """Return the first rule of dispatch-rules §1 by which `job` may not run on this builder now; None: it may.

    Args:
        job: a waiting job that nothing of its own holds (`held`).
        view: the builder.
        alone: it is the only capable builder of the job, and so never excluded.
    """
    builder = view.builder
    return (
        withheld(builder)
        or registered(job, builder)
        or excluded(job, builder, alone=alone)  # 7
        or occupied(view)
    )


def occupied(view: BuilderView) -> Reason | None:
    """Return what the builder does now instead of waiting for a job (rule 8); None: it waits."""
    for rule in _STATE_RULES:
        found = rule(view)
        if found is not None:
            return found
    return None


def registered(job: Job, builder: Builder) -> Reason | None:
    """Return why `job` and `builder`, as both are registered, don't go together; None: they do."""
    return _first(_REGISTERED_RULES, job, BuilderView(builder))


def incapable(job: Job, builder: Builder) -> Reason | None:
    """Return why `builder` could never run `job`: family, trust, tags, or another builder it was assigned to."""
    return _first(_CAPABLE_RULES, job, BuilderView(builder))


def capable(job: Job, builder: Builder) -> bool:
    """Return whether `builder` could ever run `job`, whatever its mode and state."""
    return incapable(job, builder) is None


def _first(rules: Iterable[_PairRule], job: Job, view: BuilderView) -> Reason | None:
    for rule in rules:
        found = rule(job, view)
        if found is not None:
            return found
    return None


def _since(view: BuilderView) -> tuple[tuple[str, Fact], ...]:
    return (("since", view.since.isoformat(timespec="seconds")),) if view.since else ()


def _since_words(view: BuilderView) -> str:
    return f" since {moment(view.since)}" if view.since else ""

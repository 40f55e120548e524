"""Why is this job not building, and why is this builder idle?  Pure answers over the farm's rows (dispatch-rules §1).

They run the very matcher that dispatches (`actors.core.dispatch.matcher`) on a snapshot: what only actors know comes
from `builder_runtime`.  A job is "eligible now" exactly if that matcher would give it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from actors.core.dispatch.candidates import candidates, waits
from actors.core.dispatch.events import BuilderReady, BuildersRead, Claim, FarmRead, JobsRead
from actors.core.dispatch.job_rules import held, no_capable_builder, paused
from actors.core.dispatch.matcher import Dispatch
from actors.core.dispatch.pair_rules import (
    MANUAL,
    BuilderView,
    capable,
    excluded,
    occupied,
    reason,
    registered,
    withheld,
)
from actors.core.dispatch.reasons import Reason, ReasonCode
from actors.core.dispatch.score import Score, score
from actors.core.dispatch.standing import Kind, kind_of
from storage.records import Builder, BuilderRuntime, Exclusion, FarmState, Job, RuntimeState


@dataclass(frozen=True, slots=True)
class BuilderAnswer:
    """One builder's answer to one job."""

    builder: str
    reason: Reason | None  #: None: it would get the job now
    capable: bool = True  #: it could have the job some day, by family, trust, tags and assignment


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that there is to say about why a job waits."""

    job: Job
    score: Score
    position: int | None  #: in the queue of its processor family, from 1; None: it does not wait
    queue_length: int  #: jobs waiting for that family
    job_reason: Reason | None
    builders: tuple[BuilderAnswer, ...]  #: by name; empty when the job does not wait

    @property
    def eligible_now(self) -> str | None:
        """Return the name of the builder that gets the job now; None: nobody does."""
        if self.position is None or self.job_reason is not None:
            return None
        return next((answer.builder for answer in self.builders if answer.reason is None), None)


@dataclass(frozen=True, slots=True)
class BuilderExplanation:
    """All that there is to say about why a builder is idle."""

    view: BuilderView
    reason: Reason | None  #: why it gets nothing at all now; None: it would take a job
    gets: Job | None  #: the job that it gets now
    could_take: tuple[Job, ...]  #: waiting jobs that it may run when it is free, in the order of their families' queues
    refused: tuple[tuple[ReasonCode, int], ...]  #: the other waiting jobs, counted by what keeps them from it


def views(
    builders: Iterable[Builder], runtimes: Iterable[BuilderRuntime], jobs: Iterable[Job]
) -> tuple[BuilderView, ...]:
    """Return every builder with what `builder_runtime` and the claimed jobs say of it, by name."""
    runtime = {row.builder: row for row in runtimes}
    holding = {job.builder: job for job in jobs if job.builder is not None}
    found = []
    for builder in sorted(builders, key=lambda row: row.name):
        row, job = runtime.get(builder.name), holding.get(builder.name)
        found.append(
            BuilderView(
                builder,
                state=row.state if row else RuntimeState.DISCONNECTED,
                connected=row.connected if row else False,
                job=job.id if job else None,
                since=job.buildstart if job else row.since if row else None,
                source=f"{job.source} {job.version}".rstrip() if job else "",
            )
        )
    return tuple(found)


@dataclass
class Snapshot:
    """The whole farm as of one moment; asks the matcher once, however many questions there are.

    Attributes:
        jobs: every row of the queue, waiting and running.
        builders: every registered builder of the same moment; see `views`.
        farm: what an operator said of the farm.
    """

    jobs: tuple[Job, ...]
    builders: tuple[BuilderView, ...]
    farm: FarmState = field(default_factory=FarmState)
    _answered: dict[tuple[Kind, tuple[Exclusion, ...]], tuple[BuilderAnswer, ...]] = field(default_factory=dict)
    _able: dict[Kind, int] = field(default_factory=dict)  #: kind → capable builders

    def explain(self, job_id: int) -> Explanation | None:
        """Explain why a job waits, or that it does not; None: there is no such job."""
        job = self._by_id.get(job_id)
        if job is None:
            return None
        length = len(self._queues.get(job.family, ()))
        if not waits(job):
            return Explanation(job, score(job), None, length, None, ())
        return Explanation(job, score(job), self._places[job.id], length, self._job_reason(job), self._answers(job))

    @cached_property
    def stuck(self) -> Mapping[ReasonCode, int]:
        """How many of the waiting jobs nobody gets at all, by their own reason; asks no builder and gives nothing away."""
        found = (self._job_reason(job) for job in self.jobs if waits(job))
        return Counter(reason.code for reason in found if reason is not None)

    @cached_property
    def in_order(self) -> tuple[Job, ...]:
        """The jobs that run, then those that wait, by family in the order in which they would be given away."""
        running = (job for job in self.jobs if not waits(job))
        return (*running, *(job for queue in self._queues.values() for job in queue))

    def explain_builder(self, name: str) -> BuilderExplanation | None:
        """Explain why a builder is idle, and what it could take; None: there is no such builder."""
        view = next((one for one in self.builders if one.builder.name == name), None)
        if view is None:
            return None
        refused: Counter[ReasonCode] = Counter()
        could = []
        for queue in self._queues.values():
            for job in queue:
                why = (
                    held(job, self.farm)
                    or registered(job, view.builder)
                    or excluded(job, view.builder, alone=self.capable(job) == 1)
                )
                if why is None:
                    could.append(job)
                else:
                    refused[why.code] += 1
        gets = self.picks.get(name)
        return BuilderExplanation(
            view,
            self._idleness(view),
            None if gets is None else self._by_id[gets],
            tuple(could),
            tuple(sorted(refused.items(), key=lambda one: (-one[1], one[0]))),
        )

    def _idleness(self, view: BuilderView) -> Reason | None:
        name = view.builder.name
        called = not view.builder.manual or any(waits(job) and job.assigned == name for job in self.jobs)
        return withheld(view.builder) or (None if called else MANUAL) or occupied(view) or paused(self.farm)

    def _job_reason(self, job: Job) -> Reason | None:
        return held(job, self.farm) or paused(self.farm) or (None if self.capable(job) else no_capable_builder(job))

    def _answers(self, job: Job) -> tuple[BuilderAnswer, ...]:
        """Return every builder's answer; jobs of one kind get the same, but for those that are given away now."""
        key = (kind_of(job), job.excluded)
        if job.id in self._picked:
            return self._ask(job)
        if key not in self._answered:
            self._answered[key] = self._ask(job)
        return self._answered[key]

    def _ask(self, job: Job) -> tuple[BuilderAnswer, ...]:
        alone = self.capable(job) == 1
        return tuple(
            BuilderAnswer(
                view.builder.name, reason(job, self._as_seen_by(view, job), alone=alone), capable(job, view.builder)
            )
            for view in self.builders
        )

    def _as_seen_by(self, view: BuilderView, job: Job) -> BuilderView:
        """Return the builder as `job` finds it: one that goes to a better job in this very moment is busy with that."""
        pick = self.picks.get(view.builder.name)
        if pick is None or pick == job.id:
            return view
        other = self._by_id[pick]
        return replace(view, job=pick, since=None, source=f"{other.source} {other.version}".rstrip())

    def capable(self, job: Job) -> int:
        """Return how many registered builders could run `job`."""
        kind = kind_of(job)
        if kind not in self._able:
            self._able[kind] = sum(capable(job, view.builder) for view in self.builders)
        return self._able[kind]

    @cached_property
    def _by_id(self) -> Mapping[int, Job]:
        return {job.id: job for job in self.jobs}

    @cached_property
    def _queues(self) -> Mapping[str, tuple[Job, ...]]:
        return candidates(self.jobs)

    @cached_property
    def _places(self) -> Mapping[int, int]:
        return {job.id: place for queue in self._queues.values() for place, job in enumerate(queue, 1)}

    @cached_property
    def _picked(self) -> frozenset[int]:
        return frozenset(self.picks.values())

    @cached_property
    def picks(self) -> Mapping[str, int]:
        """Builder → job as dispatch would give them away now."""
        dispatch = Dispatch()
        dispatch.handle(FarmRead(self.farm), BuildersRead(tuple(view.builder for view in self.builders)))
        dispatch.handle(*(BuilderReady(view.builder.name) for view in self.builders if ready(view)))
        orders = dispatch.handle(JobsRead(self.jobs))
        return {pair.builder: pair.job for order in orders if isinstance(order, Claim) for pair in order.pairs}


def ready(view: BuilderView) -> bool:
    """Return whether the builder's actor has said that its slave waits for a job."""
    return view.connected and view.state is RuntimeState.IDLE and view.job is None

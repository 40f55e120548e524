"""Why is this job not building?  A pure answer over the farm's rows (dispatch-rules §1).

It runs the very matcher that dispatches (`actors.core.dispatch`) on a snapshot: what only actors know comes from
`builder_runtime`.  A job is "eligible now" exactly if that matcher would give it away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from actors.core.dispatch import BuilderReady, BuildersRead, Claim, Dispatch, JobsRead, candidates, waits
from actors.core.reasons import BuilderView, Reason, job_reason, reason
from actors.core.score import Score, score
from storage.records import Builder, BuilderRuntime, Job, RuntimeState


@dataclass(frozen=True, slots=True)
class BuilderAnswer:
    """One builder's answer to one job."""

    builder: str
    reason: Reason | None  #: None: it would get the job now


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


def views(
    builders: Iterable[Builder], runtimes: Iterable[BuilderRuntime], jobs: Iterable[Job]
) -> tuple[BuilderView, ...]:
    """Return every builder with what `builder_runtime` and the claimed jobs say of it, by name."""
    runtime = {row.builder: row for row in runtimes}
    holding = {job.builder: job.id for job in jobs if job.builder is not None}
    found = []
    for builder in sorted(builders, key=lambda row: row.name):
        row = runtime.get(builder.name)
        found.append(
            BuilderView(
                builder,
                state=row.state if row else RuntimeState.DISCONNECTED,
                connected=row.connected if row else False,
                job=holding.get(builder.name),
                since=row.since if row else None,
            )
        )
    return tuple(found)


def explain(jobs: Iterable[Job], builders: Iterable[BuilderView], job_id: int, paused: str = "") -> Explanation | None:
    """Explain why job `job_id` waits, or that it does not.

    Args:
        jobs: every row of the queue, waiting and running, of one snapshot.
        builders: every registered builder of the same snapshot; see `views`.
        job_id: the job asked for.
        paused: why dispatch as a whole is paused; empty when it is not.

    Returns:
        None if there is no such job in `jobs`.
    """
    jobs, builders = tuple(jobs), tuple(builders)
    job = next((job for job in jobs if job.id == job_id), None)
    if job is None:
        return None
    queue = candidates(jobs).get(job.family, ())
    if not waits(job):
        return Explanation(job, score(job), None, len(queue), None, ())
    why = job_reason(job, (view.builder for view in builders), paused)
    picks = {} if paused else _picks(jobs, builders)
    answers = []
    for view in builders:
        pick = picks.get(view.builder.name)
        # a builder that goes to a better job in this very moment is busy with that one
        seen = view if pick in {None, job_id} else replace(view, job=pick)
        answers.append(BuilderAnswer(view.builder.name, reason(job, seen)))
    return Explanation(job, score(job), queue.index(job) + 1, len(queue), why, tuple(answers))


def _picks(jobs: tuple[Job, ...], builders: tuple[BuilderView, ...]) -> dict[str, int]:
    """Return builder → job as dispatch would give them away now."""
    dispatch = Dispatch()
    dispatch.handle(BuildersRead(tuple(view.builder for view in builders)))
    idle = [view for view in builders if view.connected and view.state is RuntimeState.IDLE and view.job is None]
    for view in idle:
        dispatch.handle(BuilderReady(view.builder.name))
    orders = dispatch.handle(JobsRead(jobs))
    return {pair.builder: pair.job for order in orders if isinstance(order, Claim) for pair in order.pairs}

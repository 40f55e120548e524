"""Why a job waits, for people: the matcher's own answer on one snapshot of the database."""

from __future__ import annotations

from dataclasses import replace

from actors.core.dispatch.explain import Explanation, Snapshot, views
from actors.core.people.private import seen_jobs
from cli.farm import Farm, waiting_master
from cli.terminal.output import in_local_time
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.farm import FarmStates
from storage.records import Builder, BuilderRuntime, FarmState, Job


def snapshot(farm: Farm) -> Snapshot:
    """Return all jobs and builders as of one moment, as the caller may see them."""
    with farm.connection.transaction():
        farm.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        jobs = seen_jobs(farm.caller, BuildQueue(farm.connection).jobs())
        builders = Builders(farm.connection)
        state = FarmStates(farm.connection).get()
        return Snapshot(jobs, views(builders.all(), builders.runtimes(), jobs), _paused(state, farm))


def _paused(state: FarmState, farm: Farm) -> FarmState:
    """Return the farm's state with what its master on this machine can't write into the database."""
    note = None if state.paused else waiting_master(farm.settings)
    return state if note is None else replace(state, paused=f"{note.why} (since {note.since})")


def in_short(explanation: Explanation) -> str:
    """Return one line: the job's own reason, or what keeps the builders that could do it, or its place."""
    if explanation.position is None:
        return ""
    if explanation.job_reason is not None:
        return f"{in_local_time(explanation.job_reason.words)} ({explanation.job_reason.code})"
    if explanation.eligible_now is not None:
        return f"next for {explanation.eligible_now}"
    job = explanation.job
    reasons = [
        f"{answer.builder}: {in_local_time(answer.reason.words)}"
        for answer in explanation.builders
        if answer.reason is not None and answer.capable
    ]
    place = f"{explanation.position} of {explanation.queue_length} for {job.family}"
    return f"{place}; {'; '.join(reasons[:3])}" if reasons else place


def unexplained(
    jobs: tuple[Job, ...], builders: tuple[Builder, ...], runtimes: tuple[BuilderRuntime, ...], farm: FarmState
) -> tuple[str, ...]:
    """Return a line for every job that waits without a reason and would not be dispatched now (invariant 5)."""
    lines = []
    seen = Snapshot(jobs, views(builders, runtimes, jobs), farm)
    for job in seen.in_order:
        found = seen.explain(job.id)
        if found is None or found.position is None or found.job_reason is not None or found.eligible_now is not None:
            continue
        if not any(answer.reason is not None for answer in found.builders):
            lines.append(f"job {job.id} (build {job.build}, {job.source} {job.version}) waits, and nothing says why")
    return tuple(lines)


def why_waiting(farm: Farm, build: int) -> str:
    """Return in one line why a build waits; empty if it does not."""
    seen = snapshot(farm)
    job = next((one.id for one in seen.jobs if one.build == build), None)
    found = seen.explain(job) if job is not None else None
    return in_short(found) if found is not None else ""

"""Which jobs wait, whose they are, and in which order they would be given away now (dispatch-rules §2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from actors.core.dispatch.lanes import NOBODY
from actors.core.dispatch.score import handicap, rank
from storage.records import BuildState, Job


def waits(job: Job) -> bool:
    """Return whether `job` waits: its build is NEEDSBUILD and no builder holds it."""
    return job.state is BuildState.NEEDSBUILD and job.builder is None


def candidates(jobs: Iterable[Job]) -> dict[str, tuple[Job, ...]]:
    """Return the jobs that wait, by processor family, each in the order in which they would be given away now."""
    jobs = tuple(jobs)
    running = Counter(owner(job) for job in jobs if job.builder is not None)
    queues: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if waits(job):
            queues[job.family].append(job)

    def weighed(job: Job) -> tuple[int, int]:
        key, number = rank(job)
        return key + (handicap(running[owner(job)]) if owner(job) else 0), number

    return {family: tuple(sorted(queue, key=weighed)) for family, queue in sorted(queues.items())}


def owner(job: Job) -> str:
    """Return whose share of the farm `job` takes (dispatch-rules §2): trusted archives are exempt."""
    return NOBODY if job.trusted else job.owner or NOBODY

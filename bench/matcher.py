"""How long one decision of the matcher takes in a large farm, and what the matcher weighs.

A farm of which every builder is busy: one builder after the other becomes ready, is given the best job that it may
run, and that job ends; what waits stays as many.  Beside it, in the same run, a matcher that sorts what waits.
"""

from __future__ import annotations

import itertools
import random
import resource
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from actors.core.dispatch.candidates import owner
from actors.core.dispatch.events import BuilderReady, BuildersRead, Claim, ClaimSettled, JobsRead, Pair
from actors.core.dispatch.matcher import Dispatch
from actors.core.dispatch.pair_rules import BuilderView, reason
from actors.core.dispatch.score import handicap, rank
from storage.records import ArchivePurpose, Builder, BuildState, Job, Pocket, RuntimeState, SeriesStatus, Urgency

FAMILIES = ("amd64", "arm64", "armel", "armhf", "mips64el", "ppc64el", "riscv64", "s390x")
_NAIVE_DECISIONS = 10
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Matching:
    """What was measured."""

    us_per_decision: float  #: microseconds from a builder that becomes ready to the claim that is settled
    memory_mb: float  #: of the whole process at its largest, Python included
    naive_us: float  #: the same decision by sorting all that waits for the builder


def measure(jobs: int, owners: int, builders: int, decisions: int) -> Matching:
    """Measure `decisions` decisions."""
    chance = random.Random(7)  # noqa: S311 - the same farm every time
    numbers = itertools.count(1)
    farm = tuple(_builder(number, chance) for number in range(builders))
    dispatch = Dispatch()
    dispatch.handle(BuildersRead(farm))
    dispatch.handle(JobsRead(tuple(_job(next(numbers), owners, chance) for _ in range(jobs))))
    has: dict[str, int] = {}
    for builder in farm:
        _give(dispatch, has, builder.name)
    coming = [_job(next(numbers), owners, chance) for _ in range(decisions)]
    taken, spent = 0, 0
    for job in coming:
        builder = chance.choice(farm)
        if builder.name in has:
            dispatch.handle(JobsRead((), frozenset({has.pop(builder.name)})))
        dispatch.handle(JobsRead((job,), frozenset({job.id})))
        began = time.perf_counter_ns()
        taken += _give(dispatch, has, builder.name)
        spent += time.perf_counter_ns() - began
    if taken < decisions // 2:
        raise SystemExit(f"only {taken} of {decisions} builders were given a job")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    every = [*dispatch.jobs]
    began = time.perf_counter_ns()
    for builder in chance.sample(farm, _NAIVE_DECISIONS):
        _naive(every, builder)
    naive = (time.perf_counter_ns() - began) / _NAIVE_DECISIONS
    return Matching(round(spent / decisions / 1000, 1), round(memory, 1), round(naive / 1000, 1))


def _give(dispatch: Dispatch, has: dict[str, int], builder: str) -> int:
    """Let a builder be ready, and its claim won; return how many jobs it was given: 1 or 0."""
    for order in dispatch.handle(BuilderReady(builder)):
        if isinstance(order, Claim):
            dispatch.handle(ClaimSettled(order.pairs))
            has[builder] = order.pairs[0].job
            return 1
    return 0


def _naive(jobs: list[Job], builder: Builder) -> Pair | None:
    """Decide as one would at first: look at all that waits, sort it, take the first that fits."""
    view = BuilderView(builder, RuntimeState.IDLE, connected=True)
    running = Counter(owner(job) for job in jobs if job.builder is not None)
    waiting = [job for job in jobs if job.builder is None and job.family in builder.families]
    waiting.sort(key=lambda job: rank(job)[0] + handicap(running[owner(job)] if owner(job) else 0))
    return next((Pair(job.id, builder.name) for job in waiting if reason(job, view) is None), None)


def _builder(number: int, chance: random.Random) -> Builder:
    family = FAMILIES[number % len(FAMILIES)]
    return Builder(
        id=number,
        name=f"builder{number:04}",
        url=f"buildd://127.0.0.1:{number + 1}",
        families=(family,),
        trusted=chance.random() < 0.5,  # noqa: PLR2004 - either side has half
        builderok=True,
        failnotes="",
        notok_by=None,
        notok_kind=None,
        manual=False,
        tags=(),
        architectures=(family,),
    )


def _job(number: int, owners: int, chance: random.Random) -> Job:
    trusted, family = chance.random() < 0.3, chance.choice(FAMILIES)  # noqa: PLR2004 - most of a mass is of PPAs
    whose = None if trusted else f"owner{chance.randrange(owners):03}"
    return Job(
        id=number,
        build=number,
        source=f"source{number % 30_000}",
        version="1.0-1",
        family=family,
        trusted=trusted,
        archive="primary" if trusted else f"{whose}/ppa",
        distroarchseries=f"debian/bookworm/{family}",
        pocket=chance.choice(tuple(Pocket)) if trusted else Pocket.RELEASE,
        component=chance.choice(("main", "universe")),
        urgency=chance.choice(tuple(Urgency)),
        purpose=ArchivePurpose.PRIMARY if trusted else ArchivePurpose.PPA,
        owner=whose,
        private=False,
        relative_score=0,
        manual_score=None,
        created=_EPOCH + timedelta(seconds=chance.randrange(7 * 24 * 3600)),
        builder=None,
        buildstart=None,
        state=BuildState.NEEDSBUILD,
        has_chroot=True,
        archive_enabled=True,
        files_missing=(),
        series_status=SeriesStatus.FROZEN,
    )

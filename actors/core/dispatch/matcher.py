"""Who gets which job: the matcher that the queue actor runs (architecture §5, dispatch-rules §1-2).

Jobs that may be given away stand in lanes, one for each kind of job, in the order of their static key
(`actors.core.dispatch.lanes`); nothing is ever rescored.  Idle builders stand by name beside the lanes that they serve
(`actors.core.dispatch.standing`).  A match gives away the best of all lanes, again and again, each job to the first
builder, by name, for which `actors.core.dispatch.pair_rules.reason` finds nothing against it.  Nothing here knows a
database, a clock or an actor: `actors.queue.actor` feeds events and obeys orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heappop, heappush
from typing import assert_never

from actors.core.dispatch.candidates import candidates, owner, waits
from actors.core.dispatch.events import (
    BuilderNotReady,
    BuilderReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    Event,
    FarmRead,
    JobsRead,
    Order,
    Pair,
    ReadAgain,
    SetAside,
    SkipSeries,
    Supersede,
    TimePassed,
    TriedAgain,
)
from actors.core.dispatch.job_rules import held
from actors.core.dispatch.lanes import NOBODY, Lane
from actors.core.dispatch.pair_rules import BuilderView, reason
from actors.core.dispatch.score import rank
from actors.core.dispatch.standing import Kind, Standing, kind_of
from storage.records import Builder, BuildState, FarmState, Job, RuntimeState


@dataclass(slots=True)
class Dispatch:
    """Jobs in the order of their keys, builders that are ready, and what is being claimed."""

    farm: FarmState = field(default_factory=FarmState)  #: pause and fences
    _jobs: dict[int, Job] = field(default_factory=dict)  #: every job of the queue, as last read
    _job_of: dict[int, int] = field(default_factory=dict)  #: build → job
    _lacking: set[int] = field(default_factory=set)  #: jobs whose files are not all there
    _lanes: dict[Kind, Lane] = field(default_factory=dict)  #: jobs to be given away
    _running: Counter[str] = field(default_factory=Counter)  #: owner → jobs that run or are being claimed
    _taking: dict[int, str] = field(default_factory=dict)  #: those jobs → owner
    _standing: Standing = field(default_factory=Standing)  #: builders, and which of them are idle
    _set_aside: set[str] = field(default_factory=set)  #: lost a claim for no reason to be seen
    _claiming: dict[str, int] = field(default_factory=dict)  #: builder → job, until `ClaimSettled`
    _no_chroot: set[str] = field(default_factory=set)  #: distroarchseries, said in the log
    _job_ends: list[tuple[datetime, int]] = field(default_factory=list)  #: heap: when to read a job again
    _builder_ends: list[tuple[datetime, str]] = field(default_factory=list)  #: heap: when to read a builder again

    def handle(self, *events: Event) -> tuple[Order, ...]:
        """Return the orders that `events` call for, in the order to obey them; what came together is matched once."""
        orders: list[Order] = []
        for event in events:
            orders += self._take(event)
        return (*orders, *self._match())

    def _take(self, event: Event) -> list[Order]:
        match event:
            case JobsRead(jobs, asked):
                return self._read_jobs(jobs, self._jobs.keys() if asked is None else asked)
            case BuildersRead(builders, asked):
                self._read_builders(builders, self._standing.names if asked is None else asked)
            case BuilderReady(builder):
                self._arrive(builder)
            case BuilderNotReady(builder):
                self._set_aside.discard(builder)
                self._standing.leave(builder)
            case ClaimSettled():
                return self._settle(event)
            case TriedAgain():
                for name in sorted(self._set_aside):
                    self._arrive(name)
            case FarmRead(farm):
                self._read_farm(farm)
            case TimePassed(at):
                return self._ended(at)
            case _:
                assert_never(event)
        return []

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Return every job of the queue, waiting and running."""
        return tuple(self._jobs.values())

    def job(self, job: int) -> Job | None:
        """Return a job of the queue, as last read."""
        return self._jobs.get(job)

    def candidates(self) -> dict[str, tuple[Job, ...]]:
        """Return the jobs that wait, as the function `candidates` does."""
        return candidates(self._jobs.values())

    @property
    def ready(self) -> frozenset[str]:
        """Return the builders whose slaves wait for a job."""
        return self._standing.ready

    @property
    def set_aside(self) -> frozenset[str]:
        """Return the builders that wait for `TriedAgain`."""
        return frozenset(self._set_aside)

    @property
    def builders(self) -> frozenset[str]:
        """Return the names of all registered builders."""
        return self._standing.names

    def builder(self, name: str) -> Builder | None:
        """Return the builder's row, as last read."""
        return self._standing.builder(name)

    def capable(self, job: Job) -> int:
        """Return how many registered builders could run `job`, whatever their mode and state."""
        return self._standing.capable(kind_of(job))

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the other builders that share a processor family with this one, by name."""
        return self._standing.neighbours(name)

    @property
    def lacking_files(self) -> frozenset[int]:
        """Return the jobs that new content in the librarian may set free."""
        return frozenset(self._lacking)

    def moves(self, at: datetime) -> bool:
        """Return whether `TriedAgain` and `TimePassed` may change anything."""
        jobs, builders = self._job_ends, self._builder_ends
        ended = (jobs and jobs[0][0] <= at) or (builders and builders[0][0] <= at)
        return bool(ended or self._set_aside)

    def job_of(self, build: int) -> int | None:
        """Return the job of `build`, waiting or running."""
        return self._job_of.get(build)

    # --- what is known ---

    def _read_jobs(self, jobs: Iterable[Job], asked: Iterable[int], *, anew: bool = False) -> list[Order]:
        """Take in what was read; what is as it was is passed over, unless the job must stand in its lane `anew`."""
        read = {job.id: job for job in jobs}
        for gone in set(asked) - read.keys():
            job_gone = self._jobs.pop(gone, None)
            if job_gone is not None:
                self._unlist(job_gone)
                self._give_back(gone)
                self._job_of.pop(job_gone.build, None)
                self._lacking.discard(gone)
        orders: list[Order] = []
        superseded: set[int] = set()
        claiming = set(self._claiming.values())
        for job in read.values():
            known = self._jobs.get(job.id)
            if known is not None and not anew and job.published and job.has_chroot and (known is job or known == job):
                self._jobs[job.id] = job  # to be known at once the next time
                continue
            if known is not None:
                self._unlist(known)
            self._jobs[job.id] = job
            self._job_of[job.build] = job.id
            if job.files_missing:
                self._lacking.add(job.id)
            else:
                self._lacking.discard(job.id)
            for end in _ends(job):
                heappush(self._job_ends, (end, job.id))
            if job.builder is not None or job.id in claiming:
                self._take_share(job)
            else:
                self._give_back(job.id)
                self._list(job)
            if waits(job) and not job.published and job.id not in claiming:
                superseded.add(job.id)
            if job.has_chroot:
                self._no_chroot.discard(job.distroarchseries)
            elif waits(job) and job.distroarchseries not in self._no_chroot:
                self._no_chroot.add(job.distroarchseries)
                orders.append(SkipSeries(job.distroarchseries))
        if superseded:
            orders.append(Supersede(frozenset(superseded)))
        return orders

    def _read_builders(self, builders: Iterable[Builder], asked: Iterable[str]) -> None:
        read = {builder.name: builder for builder in builders}
        for gone in set(asked) - read.keys():
            self._standing.forget(gone)
            self._set_aside.discard(gone)
        for name, builder in read.items():
            before = self._standing.builder(name)
            if before is builder or before == builder:
                continue
            self._standing.register(builder)
            if name in self._set_aside:  # what kept it from the job may be gone
                self._arrive(name)
            for end in (builder.quarantined_until, builder.frozen_until):
                if end is not None:
                    heappush(self._builder_ends, (end, name))

    def _read_farm(self, farm: FarmState) -> None:
        before, self.farm = self.farm, farm
        if (before.minimum_score, before.family_scores) == (farm.minimum_score, farm.family_scores):
            return
        claiming = set(self._claiming.values())
        for job in self._jobs.values():
            if job.id not in claiming:
                self._unlist(job)
                self._list(job)

    def _ended(self, at: datetime) -> list[Order]:
        jobs: set[int] = set()
        builders: set[str] = set()
        while self._job_ends and self._job_ends[0][0] <= at:
            end, job = heappop(self._job_ends)
            if job in self._jobs and end in _ends(self._jobs[job]):
                jobs.add(job)
        while self._builder_ends and self._builder_ends[0][0] <= at:
            end, name = heappop(self._builder_ends)
            builder = self._standing.builder(name)
            if builder is not None and end in {builder.quarantined_until, builder.frozen_until}:
                builders.add(name)
        return [ReadAgain(frozenset(jobs), frozenset(builders))] if jobs or builders else []

    def _settle(self, event: ClaimSettled) -> list[Order]:
        for pair in event.won:
            self._claiming.pop(pair.builder, None)
            if pair.job in self._jobs:
                taken = replace(self._jobs[pair.job], builder=pair.builder, state=BuildState.BUILDING)
                self._jobs[pair.job] = taken
        orders: list[Order] = []
        jobs = {job.id: job for job in event.jobs}
        builders = {builder.name: builder for builder in event.builders}
        for pair in event.lost:
            self._claiming.pop(pair.builder, None)
            self._give_back(pair.job)
            job, builder = jobs.get(pair.job), builders.get(pair.builder)
            if (job, builder) != (self._jobs.get(pair.job), self._standing.builder(pair.builder)):
                self._arrive(pair.builder)
            else:
                self._set_aside.add(pair.builder)
                orders.append(SetAside(pair))
        orders += self._read_jobs(event.jobs, {pair.job for pair in event.lost}, anew=True)
        self._read_builders(event.builders, {pair.builder for pair in event.lost})
        return orders

    def _list(self, job: Job) -> None:
        """Let `job` stand in its lane, if it may be given away."""
        if not waits(job) or held(job, self.farm) is not None:
            return
        kind = kind_of(job)
        lane = self._lanes.get(kind)
        if lane is None:
            lane = self._lanes[kind] = Lane(self._running)
            self._standing.open(kind)
        lane.add(owner(job), rank(job))

    def _unlist(self, job: Job) -> None:
        kind = kind_of(job)
        lane = self._lanes.get(kind)
        if lane is not None:
            lane.remove(owner(job), rank(job))
            self._tidy(kind)

    def _tidy(self, kind: Kind) -> None:
        """Close the lane of an unusual kind once nothing waits in it; of the others there are few."""
        if (kind.tags or kind.assigned) and not self._lanes.get(kind, True):
            del self._lanes[kind]
            self._standing.close(kind)

    def _take_share(self, job: Job) -> None:
        """Count `job` as one that runs, for its owner's other jobs; once, and for whoever owns its archive now."""
        whose = owner(job)
        if whose == self._taking.get(job.id, NOBODY):
            return
        self._give_back(job.id)
        self._taking[job.id] = whose
        self._running[whose] += 1
        self._weigh(whose)

    def _give_back(self, job: int) -> None:
        whose = self._taking.pop(job, NOBODY)
        if whose:
            self._running[whose] -= 1
            self._weigh(whose)

    def _weigh(self, whose: str) -> None:
        if whose:
            for lane in self._lanes.values():
                lane.weigh(whose)

    def _arrive(self, name: str) -> None:
        self._set_aside.discard(name)
        if name not in self._claiming:
            self._standing.arrive(name)

    # --- the match ---

    def _match(self) -> tuple[Claim, ...]:
        if self.farm.paused:
            return ()
        pairs: list[Pair] = []
        walked: set[Kind] = set()
        while heads := [
            (best, kind) for kind in self._standing.served if (best := self._lanes[kind].best()) is not None
        ]:
            (_, number), kind = min(heads)
            lane, job = self._lanes[kind], self._jobs[number]
            builder = self._first_available(job, kind)
            if builder is None:
                lane.pass_over()
                walked.add(kind)
                continue
            lane.take()
            self._take_share(job)
            self._standing.leave(builder)
            self._claiming[builder] = number
            pairs.append(Pair(number, builder))
        for kind in walked:
            self._lanes[kind].rewind()
        for pair in pairs:
            self._tidy(kind_of(self._jobs[pair.job]))
        return (Claim(tuple(pairs)),) if pairs else ()

    def _first_available(self, job: Job, kind: Kind) -> str | None:
        alone = bool(job.excluded) and self._standing.capable(kind) < 2  # noqa: PLR2004 - one, or nobody
        for name in self._standing.idle(kind):
            view = BuilderView(self._standing.row(name), RuntimeState.IDLE, connected=True)
            if reason(job, view, alone=alone) is None:
                return name
        return None


def _ends(job: Job) -> list[datetime]:
    """Return when the rows of `job` will say something else by themselves."""
    ends = [one.until for one in job.excluded]
    return ends if job.cooling_until is None else [*ends, job.cooling_until]

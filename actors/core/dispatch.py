"""Who gets which job: the matcher that the queue actor runs (architecture §5, dispatch-rules §1-2).

Jobs that may be given away stand in lanes, one for each processor family and trust, in the order of their static key
(`actors.core.lanes`); nothing is ever rescored.  Idle builders stand by name in the lanes that they serve.  A match
gives away the best of all lanes, again and again, each job to the first builder, by name, for which
`actors.core.reasons.reason` finds nothing against it.  Nothing here knows a database or an actor: `actors.queue` feeds events and obeys orders.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import assert_never

from actors.core.lanes import NOBODY, Lane
from actors.core.reasons import BuilderView, held, reason, withheld
from actors.core.score import handicap, rank
from storage.records import Builder, BuildState, Job, RuntimeState

Side = tuple[str, bool]  #: processor family, trusted: whom a builder serves, and which lane a job stands in


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A job and the builder that it goes to."""

    job: int
    builder: str


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobsRead:
    """What the database says of the jobs `asked` for (None: of all); one that is not in `jobs` is gone."""

    jobs: tuple[Job, ...]
    asked: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class BuildersRead:
    """What the database says of the builders `asked` for (None: of all); one that is not in `builders` is gone."""

    builders: tuple[Builder, ...]
    asked: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class BuilderReady:
    """The builder's slave is connected, IDLE and clean, or will be before it starts what it gets next."""

    builder: str


@dataclass(frozen=True, slots=True)
class BuilderNotReady:
    """The builder's slave can't take a job any more."""

    builder: str


@dataclass(frozen=True, slots=True)
class ClaimSettled:
    """The database's answer to a `Claim`, with the rows of the pairs that lost as they are now."""

    won: tuple[Pair, ...]
    lost: tuple[Pair, ...] = ()
    jobs: tuple[Job, ...] = ()
    builders: tuple[Builder, ...] = ()


@dataclass(frozen=True, slots=True)
class TriedAgain:
    """A moment has passed: builders that were set aside may try again."""


@dataclass(frozen=True, slots=True)
class DispatchPaused:
    """The master can't dispatch by its own fault, or was told not to."""

    why: str


@dataclass(frozen=True, slots=True)
class DispatchResumed:
    """Jobs are given away again."""


Event = (
    JobsRead
    | BuildersRead
    | BuilderReady
    | BuilderNotReady
    | ClaimSettled
    | TriedAgain
    | DispatchPaused
    | DispatchResumed
)


# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim these, in one transaction; the best job first.  `ClaimSettled` must answer."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class SkipSeries:
    """Say once in the log that nothing is dispatched for this distroarchseries: it has no chroot."""

    distroarchseries: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A claim was lost for no reason to be seen (its rows were locked; an open attempt): look, then `TriedAgain`."""

    pair: Pair


Order = Claim | SkipSeries | SetAside


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


@dataclass(slots=True)
class Dispatch:
    """Jobs in the order of their keys, builders that are ready, and what is being claimed."""

    paused: str = ""  #: why nothing is given away; empty: it is
    _jobs: dict[int, Job] = field(default_factory=dict)  #: every job of the queue, as last read
    _job_of: dict[int, int] = field(default_factory=dict)  #: build → job
    _lacking: set[int] = field(default_factory=set)  #: jobs whose files are not all there
    _lanes: dict[Side, Lane] = field(default_factory=dict)  #: jobs to be given away
    _running: Counter[str] = field(default_factory=Counter)  #: owner → jobs that run or are being claimed
    _taking: dict[int, str] = field(default_factory=dict)  #: those jobs → owner
    _builders: dict[str, Builder] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)  #: said so by their actors, whatever their rows say
    _idle: dict[Side, list[str]] = field(default_factory=lambda: defaultdict(list))  #: those of `_ready`, sorted
    _set_aside: set[str] = field(default_factory=set)  #: lost a claim for no reason to be seen
    _claiming: dict[str, int] = field(default_factory=dict)  #: builder → job, until `ClaimSettled`
    _no_chroot: set[str] = field(default_factory=set)  #: distroarchseries, said in the log

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
                self._read_builders(builders, self._builders.keys() if asked is None else asked)
            case BuilderReady(builder):
                self._arrive(builder)
            case BuilderNotReady(builder):
                self._set_aside.discard(builder)
                self._leave(builder)
            case ClaimSettled():
                return self._settle(event)
            case TriedAgain():
                for name in sorted(self._set_aside):
                    self._arrive(name)
            case DispatchPaused(why):
                self.paused = why
            case DispatchResumed():
                self.paused = ""
            case _:
                assert_never(event)
        return []

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Return every job of the queue, waiting and running."""
        return tuple(self._jobs.values())

    def candidates(self) -> dict[str, tuple[Job, ...]]:
        """Return the jobs that wait, as the function `candidates` does."""
        return candidates(self._jobs.values())

    @property
    def ready(self) -> frozenset[str]:
        """Return the builders whose slaves wait for a job."""
        return frozenset(self._ready)

    @property
    def set_aside(self) -> frozenset[str]:
        """Return the builders that wait for `TriedAgain`."""
        return frozenset(self._set_aside)

    @property
    def builders(self) -> frozenset[str]:
        """Return the names of all registered builders."""
        return frozenset(self._builders)

    def builder(self, name: str) -> Builder | None:
        """Return the builder's row, as last read."""
        return self._builders.get(name)

    @property
    def lacking_files(self) -> frozenset[int]:
        """Return the jobs that new content in the librarian may set free."""
        return frozenset(self._lacking)

    def job_of(self, build: int) -> int | None:
        """Return the job of `build`, waiting or running."""
        return self._job_of.get(build)

    # --- what is known ---

    def _read_jobs(self, jobs: Iterable[Job], asked: Iterable[int]) -> list[Order]:
        read = {job.id: job for job in jobs}
        for gone in set(asked) - read.keys():
            job_gone = self._jobs.pop(gone, None)
            if job_gone is not None:
                self._unlist(job_gone)
                self._give_back(gone)
                self._job_of.pop(job_gone.build, None)
                self._lacking.discard(gone)
        orders: list[Order] = []
        claiming = set(self._claiming.values())
        for job in read.values():
            if job.id in self._jobs:
                self._unlist(self._jobs[job.id])
            self._jobs[job.id] = job
            self._job_of[job.build] = job.id
            if job.files_missing:
                self._lacking.add(job.id)
            else:
                self._lacking.discard(job.id)
            if job.builder is not None or job.id in claiming:
                self._take_share(job)
            else:
                self._give_back(job.id)
                if waits(job) and held(job) is None:
                    self._lane(job).add(owner(job), rank(job))
            if job.has_chroot:
                self._no_chroot.discard(job.distroarchseries)
            elif waits(job) and job.distroarchseries not in self._no_chroot:
                self._no_chroot.add(job.distroarchseries)
                orders.append(SkipSeries(job.distroarchseries))
        return orders

    def _read_builders(self, builders: Iterable[Builder], asked: Iterable[str]) -> None:
        read = {builder.name: builder for builder in builders}
        for gone in set(asked) - read.keys():
            self._leave(gone)
            self._builders.pop(gone, None)
            self._set_aside.discard(gone)
        for name, builder in read.items():
            if self._builders.get(name) == builder:
                continue
            ready = name in self._ready or name in self._set_aside
            self._leave(name)
            self._builders[name] = builder
            if ready:
                self._arrive(name)

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
            if (job, builder) != (self._jobs.get(pair.job), self._builders.get(pair.builder)):
                self._arrive(pair.builder)
            else:
                self._set_aside.add(pair.builder)
                orders.append(SetAside(pair))
        orders += self._read_jobs(event.jobs, {pair.job for pair in event.lost})
        self._read_builders(event.builders, {pair.builder for pair in event.lost})
        return orders

    def _unlist(self, job: Job) -> None:
        self._lane(job).remove(owner(job), rank(job))

    def _lane(self, job: Job) -> Lane:
        side = (job.family, job.trusted)
        if side not in self._lanes:
            self._lanes[side] = Lane(self._running)
        return self._lanes[side]

    def _take_share(self, job: Job) -> None:
        """Count `job` as one that runs, for its owner's other jobs; once."""
        whose = owner(job)
        if not whose or job.id in self._taking:
            return
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
        if name in self._ready or name in self._claiming:
            return
        self._ready.add(name)
        for lane in self._served(name):
            insort(self._idle[lane], name)

    def _leave(self, name: str) -> None:
        if name not in self._ready:
            return
        self._ready.remove(name)
        for lane in self._served(name):
            del self._idle[lane][bisect_left(self._idle[lane], name)]

    def _served(self, name: str) -> tuple[Side, ...]:
        builder = self._builders.get(name)
        if builder is None or withheld(BuilderView(builder)) is not None:
            return ()
        return tuple((family, builder.trusted) for family in set(builder.families))

    # --- the match ---

    def _match(self) -> tuple[Claim, ...]:
        if self.paused or not self._ready:
            return ()
        pairs: list[Pair] = []
        walked: set[Side] = set()
        while heads := [
            (best, side)
            for side, idle in self._idle.items()
            if idle and side in self._lanes and (best := self._lanes[side].best()) is not None
        ]:
            (_, number), side = min(heads)
            lane, job = self._lanes[side], self._jobs[number]
            builder = self._first_available(job, self._idle[side])
            if builder is None:
                lane.pass_over()
                walked.add(side)
                continue
            lane.take()
            self._take_share(job)
            self._leave(builder)
            self._claiming[builder] = number
            pairs.append(Pair(number, builder))
        for side in walked:
            self._lanes[side].rewind()
        return (Claim(tuple(pairs)),) if pairs else ()

    def _first_available(self, job: Job, names: Iterable[str]) -> str | None:
        for name in names:
            view = BuilderView(self._builders[name], RuntimeState.IDLE, connected=True)
            if reason(job, view) is None:
                return name
        return None

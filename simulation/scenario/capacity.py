"""Capacity planning: how a real farm, as it is now, would do in the next hours, and how with more builders.

Its builders, its queue, how long its builds took and how many came lately are given (`cli.whole_farm.simulate` reads them); what
comes next is drawn from these.  Nothing goes wrong here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from statistics import median
from typing import Final

from actors.core.dispatch.candidates import waits
from actors.core.dispatch.score import score
from simulation.scenario.chance import stream
from simulation.scenario.plan import HOUR, Plan, PlannedBuilder, PlannedJob
from storage.records import Arrivals, Builder, BuildState, Job, PastBuild

UNKNOWN: Final = 300.0  #: seconds of a build of which nothing is known
_LEAST_LEFT: Final = 120.0  #: seconds that a running build takes still, whatever was expected of it
_AGE: Final = 25.0  #: points an hour (dispatch-rules §2)
_RUNNING: Final = 900_000  #: score of what runs already


@dataclass(frozen=True, slots=True)
class KnownFarm:
    """A farm as it is."""

    now: datetime
    builders: tuple[Builder, ...]
    jobs: tuple[Job, ...]  #: waiting and running
    past: tuple[PastBuild, ...]  #: latest first
    arrivals: tuple[Arrivals, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """Builders that there are not."""

    family: str
    count: int
    trusted: bool | None = None  #: None: of either side as many as the work asks for


def planned(known: KnownFarm, *, seed: int, hours: float, added: tuple[Added, ...] = ()) -> Plan:
    """Return the plan of the next `hours` of a farm.

    Builders that are not ok, or in manual mode, are left out: nobody knows when they come back.

    Args:
        known: the farm.
        seed: for what comes next.
        hours: to look ahead.
        added: builders that it is to have as well.
    """
    expected = _Expected(known.past)
    jobs = [*_there(known, expected), *_coming(known, expected, seed, hours)]
    builders = tuple(
        PlannedBuilder(one.name, one.families, one.trusted, tags=one.tags, restricted_tags=one.restricted_tags)
        for one in known.builders
        if one.builderok and not one.manual
    )
    return Plan(
        seed=seed,
        builders=(*builders, *more(added, jobs, {one.name for one in known.builders})),
        jobs=tuple(sorted(jobs, key=lambda job: job.at)),
        hours=hours,
        capacity=True,
    )


def more(added: Iterable[Added], jobs: Iterable[PlannedJob], taken: Iterable[str] = ()) -> tuple[PlannedBuilder, ...]:
    """Return the builders that are to be added, under names that nobody has."""
    names, builders = set(taken), []
    work: defaultdict[tuple[str, bool], float] = defaultdict(float)
    for job in jobs:
        work[job.family, job.owner is None] += job.seconds
    for one in added:
        for number in range(one.count):
            trusted = one.trusted
            if trusted is None:
                mine, theirs = work[one.family, True], work[one.family, False]
                share = mine / (mine + theirs) if mine + theirs else 0.5
                trusted = round(share * (number + 1)) > round(share * number)
            name = f"added-{one.family}-{number + 1:02}"
            while name in names:
                name += "x"
            names.add(name)
            builders.append(PlannedBuilder(name, (one.family,), trusted))
    return tuple(builders)


class _Expected:
    """How long builds take."""

    def __init__(self, past: Iterable[PastBuild]) -> None:
        of_source: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        of_family: defaultdict[str, list[float]] = defaultdict(list)
        for one in past:
            if len(of_source[one.source, one.family]) < 5:  # noqa: PLR2004 - the latest ones
                of_source[one.source, one.family].append(one.seconds)
            of_family[one.family].append(one.seconds)
        self._of_source: Mapping[tuple[str, str], float] = {key: median(some) for key, some in of_source.items()}
        self._of_family: Mapping[str, float] = {key: median(some) for key, some in of_family.items()}

    def seconds(self, source: str, family: str) -> float:
        """Return what is expected of a build."""
        return max(1.0, self._of_source.get((source, family), self._of_family.get(family, UNKNOWN)))


def _there(known: KnownFarm, expected: _Expected) -> list[PlannedJob]:
    """Return the jobs that are there already, in the order in which they are given away."""
    jobs = []
    for job in known.jobs:
        seconds = expected.seconds(job.source, job.family)
        if waits(job):
            hours = (known.now - job.created).total_seconds() / HOUR
            rank = int(score(job).base + _AGE * hours)
        elif job.state is BuildState.BUILDING and job.buildstart is not None:
            seconds = max(_LEAST_LEFT, seconds - (known.now - job.buildstart).total_seconds())
            rank = _RUNNING
        else:
            continue
        jobs.append(
            PlannedJob(
                at=0.0,
                source=f"j{job.id}",
                family=job.family,
                owner=None if job.trusted else job.owner or "nobody",
                seconds=round(seconds, 1),
                tags=job.tags,
                score=max(-1_000_000, min(1_000_000, rank)),
            )
        )
    return jobs


def _coming(known: KnownFarm, expected: _Expected, seed: int, hours: float) -> list[PlannedJob]:
    """Draw what comes, as often as lately, and like what was built lately."""
    jobs: list[PlannedJob] = []
    for kind in known.arrivals:
        chance = stream(seed, "arrivals", kind.family, kind.trusted)
        alike = [one for one in known.past if (one.family, one.trusted) == (kind.family, kind.trusted)]
        rate = kind.builds / max(kind.hours, 1.0)
        at = chance.expovariate(rate) if rate else hours
        while at < hours:
            jobs.append(_drawn(chance, kind, alike, at, len(jobs), expected))
            at += chance.expovariate(rate)
    return jobs


def _drawn(  # noqa: PLR0917 - what a job is drawn from
    chance: Random, kind: Arrivals, alike: list[PastBuild], at: float, number: int, expected: _Expected
) -> PlannedJob:
    seconds = chance.choice(alike).seconds if alike else expected.seconds("", kind.family)
    return PlannedJob(
        at=round(at * HOUR, 3),
        source=f"n{kind.family}{number:05}",
        family=kind.family,
        owner=None if kind.trusted else f"owner{chance.randrange(20):02}",
        seconds=round(max(1.0, seconds), 1),
    )


def with_added(plan: Plan, added: tuple[Added, ...]) -> Plan:
    """Return a plan with more builders."""
    names = {builder.name for builder in plan.builders}
    return replace(plan, builders=(*plan.builders, *more(added, plan.jobs, names)))

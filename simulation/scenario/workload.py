"""Builders and jobs of a simulated farm, drawn by seed."""

from __future__ import annotations

import math
from typing import Final

from protocol.messages import WireOutcome
from simulation.scenario.chance import stream
from simulation.scenario.plan import HOUR, PlannedBuilder, PlannedJob
from storage.records import Pocket, Urgency

#: families, and the share that each has of builders and jobs
_FAMILIES: Final = (
    ("amd64", 0.40),
    ("arm64", 0.22),
    ("x86", 0.10),
    ("armhf", 0.10),
    ("ppc64el", 0.09),
    ("riscv64", 0.09),
)
FAMILIES: Final = frozenset(name for name, _ in _FAMILIES)  #: that a drawn farm may have
_OUTCOMES: Final = (
    (WireOutcome.OK, 0.87),
    (WireOutcome.PACKAGEFAIL, 0.07),
    (WireOutcome.DEPFAIL, 0.04),
    (WireOutcome.GIVENBACK, 0.01),  # the first time
    (WireOutcome.TIMEOUT, 0.01),
)
_SMALL: Final = 3  #: builders that a family has at least
MINUTES: Final = 8.0  #: that a build takes in the middle


def draw_builders(seed: int, count: int) -> tuple[PlannedBuilder, ...]:
    """Draw a farm: every family has trusted and untrusted builders, and small farms have few families."""
    families = _FAMILIES[: max(1, min(len(_FAMILIES), count // (2 * _SMALL)))]
    kinds = [(family, trusted) for family, _ in families for trusted in (True, False)]
    builders = []
    for number in range(count):
        chance = stream(seed, "builder", number)
        if number < len(kinds) * 2:
            family, trusted = kinds[number % len(kinds)]
        else:
            family = chance.choices([name for name, _ in families], [share for _, share in families])[0]
            trusted = chance.random() < 0.5  # noqa: PLR2004 - either side has half
        builders.append(
            PlannedBuilder(
                name=f"{family}-{number:03}",
                families=(family,),
                trusted=trusted,
                slowness=round(math.exp(chance.gauss(0.0, 0.25)), 3),
                latency=round(0.0002 + 0.002 * chance.random(), 5),
            )
        )
    return tuple(builders)


def draw_jobs(
    seed: int, builders: tuple[PlannedBuilder, ...], count: int, hours: float, minutes: float
) -> tuple[PlannedJob, ...]:
    """Draw jobs that come within `hours`: day and night, and now and then many at once.

    Args:
        builders: each job is of a kind that some of them serve.
        minutes: that a build takes in the middle; some take many times as long.
    """
    kinds = [(builder.family, builder.trusted) for builder in builders]
    bursts = [stream(seed, "burst", number).random() for number in range(1 + int(hours / 8))]
    jobs = []
    for number in range(count):
        chance = stream(seed, "job", number)
        family, trusted = chance.choice(kinds)
        if chance.random() < 0.2:  # noqa: PLR2004 - in a burst
            at = hours * HOUR * chance.choice(bursts) + 300 * chance.random()
        else:
            at = hours * HOUR * _by_day(chance.random())
        jobs.append(
            PlannedJob(
                at=round(at, 3),
                source=f"s{number:05}",
                family=family,
                owner=None if trusted else f"owner{chance.randrange(max(2, count // 200)):03}",
                seconds=round(min(6 * HOUR, 60 * minutes * math.exp(chance.gauss(0.0, 1.0))), 2),
                outcome=chance.choices([outcome for outcome, _ in _OUTCOMES], [share for _, share in _OUTCOMES])[0],
                pocket=chance.choice((Pocket.RELEASE, Pocket.PROPOSED)) if trusted else Pocket.RELEASE,
                component=chance.choice(("main", "main", "universe")),
                urgency=chance.choice(tuple(Urgency)),
                dependencies=("libmissing-dev (>= 2)",),
            )
        )
    return tuple(sorted(jobs, key=lambda job: (job.at, job.source)))


def _by_day(share: float) -> float:
    """Return `share` of the time, drawn to the middle of it."""
    return share + 0.08 * math.sin(2 * math.pi * share)

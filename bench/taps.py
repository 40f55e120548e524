"""What it costs that actors *can* be tapped and frozen, while nobody does.

Two farms in one run, alike but for that: one is the product, of the other the actors lack the console's seams
(`bench.bare`).  Round by round both build as many jobs, one after the other, now this one first and now that one;
each pair of rounds gives one ratio, of jobs a second and of processor time a job (which others on the machine
disturb less).  A last pair of rounds has every builder's actor, and the queue actor, tapped into a file.
"""

from __future__ import annotations

import io
import os
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.attach import Attached
from actors.settings import Settings
from bench.dispatch import Stage, throughput
from bench.farm import MeasuredFarm, family
from cli.given import Given
from console.obeying import Console

if TYPE_CHECKING:
    from psycopg import Connection

BARE: Final = ("-m", "bench.bare")
_WARMING: Final = 1  #: rounds that do not count


@dataclass(frozen=True, slots=True)
class Cost:
    """What the benchmark prints; percent above what the farm without the seams takes."""

    builders: int
    pairs: int
    jobs: int  #: of a round
    jobs_per_s: float  #: median
    cpu_ms_per_job: float  #: median, of all of the master's processes but PostgreSQL
    off_percent: float  #: of processor time a job: median of the pairs
    off_percent_error: float  #: standard error of that
    off_slower_percent: float  #: of jobs a second: median of the pairs
    off_slower_percent_error: float
    on_percent: float  #: of processor time a job, when everybody is tapped into a file
    on_lost: int  #: lines of that file that were lost


@dataclass(frozen=True, slots=True)
class _Round:
    jobs_per_s: float
    cpu_per_job: float  #: seconds


class _Side:
    """One of the two farms."""

    def __init__(self, farm: MeasuredFarm, connection: Connection[Any], jobs: int, rounds: int) -> None:
        self.farm, self._connection = farm, connection
        self._batches = iter(Stage(connection).add_builds(jobs * rounds, parts=rounds))

    def build(self) -> _Round:
        """Build one batch."""
        batch, before = next(self._batches), _cpu_seconds(self.farm.master)
        rate = throughput(self._connection, batch)
        return _Round(rate, (_cpu_seconds(self.farm.master) - before) / len(batch))


def measure(builders: int, jobs: int, pairs: int) -> Cost:
    """Run both farms, `pairs` rounds of `jobs` each."""
    rounds = pairs + _WARMING + 1
    with ExitStack() as stack:
        product, bare = (
            _Side(farm, stack.enter_context(farm.connect()), jobs, rounds)
            for farm in (
                stack.enter_context(MeasuredFarm(builders)),
                stack.enter_context(MeasuredFarm(builders, master=BARE)),
            )
        )
        for _ in range(_WARMING):
            product.build(), bare.build()
        found = []
        for number in range(pairs):
            first, second = (product, bare) if number % 2 else (bare, product)
            one, other = first.build(), second.build()
            found.append((one, other) if first is product else (other, one))
        tapped, lost = _tapped(product)
        untapped = bare.build()
    cpu = [100 * (here.cpu_per_job / there.cpu_per_job - 1) for here, there in found]
    slower = [100 * (there.jobs_per_s / here.jobs_per_s - 1) for here, there in found]
    return Cost(
        builders=builders,
        pairs=pairs,
        jobs=jobs,
        jobs_per_s=round(statistics.median(here.jobs_per_s for here, _ in found), 1),
        cpu_ms_per_job=round(1000 * statistics.median(here.cpu_per_job for here, _ in found), 3),
        off_percent=round(statistics.median(cpu), 2),
        off_percent_error=_error(cpu),
        off_slower_percent=round(statistics.median(slower), 2),
        off_slower_percent_error=_error(slower),
        on_percent=round(100 * (tapped.cpu_per_job / untapped.cpu_per_job - 1), 1),
        on_lost=lost,
    )


def _error(values: list[float]) -> float:
    error: float = statistics.stdev(values) / len(values) ** 0.5
    return round(error, 2)


def _tapped(side: _Side) -> tuple[_Round, int]:
    """Build one batch with everybody tapped into a file; return also how many lines were lost."""
    state_directory = side.farm.state_directory
    file = state_directory / "tapped"
    with Attached(Settings(state_directory=state_directory, user="")) as attached:
        console = Console(attached, io.StringIO(), Given(state_directory=state_directory))
        names = [here.name for here in attached.census().here if here.kind in {"builder", "queue"}]
        console.obey(f"tap {' '.join(names)} --to {file}")
        done = side.build()
        console.close()
    lines = file.read_text(encoding="ascii").splitlines()
    return done, sum('"kind": "lost"' in line for line in lines)


def _cpu_seconds(root: int) -> float:
    """Return the processor time of `root` and its descendants, PostgreSQL left out."""
    ticks, a_second = 0, float(os.sysconf("SC_CLK_TCK"))
    for pid in family(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / a_second

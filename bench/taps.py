"""What it costs that actors *can* be tapped and frozen, while nobody does.

Two farms in one run, alike but for that: one is the product, of the other the actors lack the console's seams
(`bench.bare`).  Round by round both build as many jobs, one after the other, now this one first and now that one;
each pair of rounds gives one ratio, of jobs a second and of processor time a job (which others on the machine
disturb less).  As the difference is far below what a busy machine lets be seen so, it is counted, too: what the seams
cost a message, pairwise in this process, times the messages of a job.  A last pair of rounds has every builder's
actor, and the queue actor, tapped into a file.
"""

from __future__ import annotations

import io
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.attach import Attached
from actors.farm_actor import FarmActor
from actors.messages import Ready
from actors.settings import Settings
from bench.bare import Bare
from bench.dispatch import Stage, throughput
from bench.farm import MeasuredFarm, family
from cli.given import Given
from console.obeying import Console

if TYPE_CHECKING:
    from psycopg import Connection

BARE: Final = ("-m", "bench.bare")
_WARMING: Final = 1  #: rounds that do not count
_BLOCKS: Final = 200
_CALLS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What the benchmark prints; percent above what the farm without the seams takes."""

    builders: int
    pairs: int
    jobs: int  #: of a round
    jobs_per_s: float  #: median
    cpu_ms_per_job: float  #: median, of all of the master's processes but PostgreSQL
    seams_ns: float  #: that the seams take of each message handled and sent
    messages_per_job: float  #: handled and sent by builders' actors and the queue actor
    counted_percent: float  #: of processor time a job: the product of these two
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

    def messages(self) -> int:
        """Return how many messages its actors have handled and sent."""
        with Attached(Settings(state_directory=self.farm.state_directory, user="")) as attached:
            here = tuple(one for one in attached.census().here if one.kind in {"builder", "queue"})
            return sum(said.messages_in + said.messages_out for said in attached.describe(here).values())


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
        before = product.messages()
        found = []
        for number in range(pairs):
            first, second = (product, bare) if number % 2 else (bare, product)
            one, other = first.build(), second.build()
            found.append((one, other) if first is product else (other, one))
        messages = (product.messages() - before) / (pairs * jobs)
        tapped, lost = _tapped(product)
        untapped = bare.build()
    seams, cpu_ms = _seams_ns(), 1000 * statistics.median(here.cpu_per_job for here, _ in found)
    cpu = [100 * (here.cpu_per_job / there.cpu_per_job - 1) for here, there in found]
    slower = [100 * (there.jobs_per_s / here.jobs_per_s - 1) for here, there in found]
    return Cost(
        builders=builders,
        pairs=pairs,
        jobs=jobs,
        jobs_per_s=round(statistics.median(here.jobs_per_s for here, _ in found), 1),
        cpu_ms_per_job=round(cpu_ms, 3),
        seams_ns=round(seams, 1),
        messages_per_job=round(messages, 1),
        counted_percent=round(100 * seams * messages / (cpu_ms * 1e6), 4),
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
    return sum(_on_processor_ns(pid) for pid in family(root)) / 1e9


def _on_processor_ns(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0


class _Probe(FarmActor):
    """Handles a message, and sends one, without an actor system."""

    obeys_sigterm = True

    def receive(self, message: object, sender: object) -> None:
        """Answer."""
        self.tell(sender, message)

    def send(self, targetAddr: object, msg: object) -> None:  # noqa: N803 - Thespian's names
        """Send to nobody."""


class _BareProbe(Bare, _Probe):
    """The same without the seams."""


def _seams_ns() -> float:
    """Return what the seams cost of a message that is handled, and one that is sent: half of what both cost."""
    with_seams, without = _Probe(), _BareProbe()
    message, differences = Ready("bob", 1, 1), []
    for _ in range(_BLOCKS):
        taken = []
        for actor in (with_seams, without):
            began = time.perf_counter_ns()
            for _ in range(_CALLS):
                actor.receiveMessage(message, None)
            taken.append((time.perf_counter_ns() - began) / _CALLS)
        differences.append(taken[0] - taken[1])
    return max(0.0, statistics.median(differences)) / 2

"""What it costs that actors *can* be tapped and frozen, while nobody does.

One farm that always has work; at any moment half of its builders' actors do without the console's seams (`bench.bare`),
and every few seconds the halves change places.  Two such spells make one comparison, of jobs done and of the actors'
processor time a job: both sides had the same machine, the same database and the same queue actor in the same seconds,
and each builder was on both sides.  As the difference is below what a farm lets be seen, it is counted, too, with what
the queue actor handles: what the seams cost a message, pairwise in this process, times the messages of a job.  A last
few comparisons have every builder's actor tapped into a file while it has the seams.
"""

from __future__ import annotations

import io
import mmap
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.console.attach import Attached
from actors.farm_actor import FarmActor
from actors.messages import Ready
from actors.settings import Settings
from bench.bare import ENVIRONMENT, Bare, half_of
from bench.dispatch import Stage
from bench.farm import WHO, MeasuredFarm, family
from cli.given import Given
from console.obeying import Console
from storage.builds import Builds
from storage.database.connection import acting

if TYPE_CHECKING:
    from psycopg import Connection

_MASTER: Final = ("-m", "bench.bare")
_TAPPED_PART: Final = 6  #: for so many comparisons without taps there is one with
_AHEAD_PER_S: Final = 150  #: jobs that wait at the beginning of a spell for each of its seconds: more than are built
_BLOCKS: Final = 200
_CALLS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What the benchmark prints; percent above what builders' actors without the seams take."""

    builders: int
    comparisons: int
    spell_seconds: float  #: two of them are a comparison
    jobs: int  #: of all comparisons
    jobs_per_s: float  #: in the spells
    cpu_ms_per_job: float  #: of all of the master's processes but PostgreSQL
    seams_ns: float  #: that the seams take of each message handled and sent
    messages_per_job: float  #: handled and sent by builders' actors and the queue actor
    counted_percent: float  #: of `cpu_ms_per_job`: the product of these two
    off_percent: float  #: of the builder's actor's processor time a job: mean of the comparisons
    off_percent_error: float  #: standard error of that
    off_slower_percent: float  #: of jobs a second: mean of the comparisons
    off_slower_percent_error: float
    on_percent: float  #: of the builder's actor's processor time a job, when tapped into a file
    on_percent_error: float
    on_lost: int  #: lines of that file that were lost


@dataclass(frozen=True, slots=True)
class _Done:
    """What one side did."""

    jobs: int
    cpu_seconds: float

    def __add__(self, other: _Done) -> _Done:
        return _Done(self.jobs + other.jobs, self.cpu_seconds + other.cpu_seconds)

    def __sub__(self, other: _Done) -> _Done:
        return _Done(self.jobs - other.jobs, self.cpu_seconds - other.cpu_seconds)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The same seconds of the product and of the product without the seams."""

    product: _Done
    bare: _Done

    @property
    def cpu_percent(self) -> float:
        """What the product takes more of processor time a job."""
        of_product, of_bare = (one.cpu_seconds / one.jobs for one in (self.product, self.bare))
        return 100 * (of_product / of_bare - 1)

    @property
    def slower_percent(self) -> float:
        """How much longer a job takes it."""
        return 100 * (self.bare.jobs / self.product.jobs - 1)


class _BusyFarm:
    """A farm that always has jobs waiting, and the bytes its builders' actors look at."""

    def __init__(self, farm: MeasuredFarm, connection: Connection[Any], bare: mmap.mmap, spell: float) -> None:
        self.farm, self._connection, self._bare, self.spell_seconds = farm, connection, bare, spell
        self._stage, self._builds, self._ready = Stage(connection), Builds(connection), list[int]()
        self._queued = 0
        self._ahead = int(_AHEAD_PER_S * (1.0 + spell))
        self._pids = self._find_pids()

    def compare(self, times: int) -> list[_Comparison]:
        """Make so many comparisons."""
        found = []
        for _ in range(times):
            if len(self._ready) < 2 * self._ahead:
                (more,) = self._stage.add_builds(4 * self._ahead, parts=1)
                self._ready += [build for build, _ in more]
                self._spell(0)  # the farm may have been without work
            first, second = self._spell(1), self._spell(0)
            found.append(_Comparison(first[0] + second[1], first[1] + second[0]))
        return found

    def messages(self) -> int:
        """Return how many messages its actors have handled and sent."""
        with Attached(Settings(state_directory=self.farm.state_directory, user="")) as attached:
            here = tuple(one for one in attached.census().here if one.kind in {"builder", "queue"})
            return sum(said.messages_in + said.messages_out for said in attached.describe(here).values())

    def ended(self) -> int:
        """Return how many builds have succeeded."""
        return sum(self._ended_by_builder().values())

    def _spell(self, bare: int) -> tuple[_Done, _Done]:
        """Have one half bare; return what each half did."""
        self._bare[bare], self._bare[1 - bare] = 1, 0
        self._top_up()
        before = self._done()
        time.sleep(self.spell_seconds)
        after = self._done()
        if self.ended() >= self._queued:
            raise SystemExit(f"the farm built all {self._ahead} jobs of a spell: shorter spells are needed")
        return after[0] - before[0], after[1] - before[1]

    def _done(self) -> tuple[_Done, _Done]:
        halves, ended = [_Done(0, 0.0), _Done(0, 0.0)], self._ended_by_builder()
        for name, pid in self._pids.items():
            halves[half_of(name)] += _Done(ended.get(name, 0), _on_processor_ns(pid) / 1e9)
        return halves[0], halves[1]

    def _ended_by_builder(self) -> dict[str, int]:
        query = "SELECT builder, count(*) FROM attempt WHERE outcome = 'OK' GROUP BY builder"
        return dict(self._connection.execute(query).fetchall())

    def _find_pids(self) -> dict[str, int]:
        with Attached(Settings(state_directory=self.farm.state_directory, user="")) as attached:
            return {here.name: here.pid for here in attached.census().here if here.kind == "builder"}

    def _top_up(self) -> None:
        ended = self.ended()
        with acting(self._connection, WHO):
            while self._queued < ended + self._ahead:
                self._builds.queue(self._ready.pop())
                self._queued += 1


def measure(builders: int, comparisons: int, spell: float) -> Cost:
    """Run the farm: so many comparisons, each of two spells of `spell` seconds."""
    farm = MeasuredFarm(builders, master=_MASTER)
    with tempfile.NamedTemporaryFile(prefix="buildd-bench-") as file:
        file.write(bytes(2))
        file.flush()
        Path(file.name).chmod(0o644)  # the farm's own user reads it
        farm.environment[ENVIRONMENT] = file.name
        with mmap.mmap(file.fileno(), 2) as bare, farm, farm.connect() as connection:
            return _measured(_BusyFarm(farm, connection, bare, spell), comparisons)


def _measured(busy: _BusyFarm, comparisons: int) -> Cost:
    busy.compare(1)  # to warm up
    messages, ended, cpu = busy.messages(), busy.ended(), _cpu_seconds(busy.farm.master)
    found = busy.compare(comparisons)
    jobs = busy.ended() - ended
    cpu = _cpu_seconds(busy.farm.master) - cpu
    messages_per_job = (busy.messages() - messages) / jobs
    tapped, lost = _tapped(busy, max(2, comparisons // _TAPPED_PART))
    compared = sum(one.product.jobs + one.bare.jobs for one in found)
    seams, cpu_ms = _seams_ns(), 1000 * cpu / jobs
    return Cost(
        builders=busy.farm.builders,
        comparisons=comparisons,
        spell_seconds=busy.spell_seconds,
        jobs=compared,
        jobs_per_s=round(compared / (comparisons * 2 * busy.spell_seconds), 1),
        cpu_ms_per_job=round(cpu_ms, 3),
        seams_ns=round(seams, 1),
        messages_per_job=round(messages_per_job, 1),
        counted_percent=round(100 * seams * messages_per_job / (cpu_ms * 1e6), 4),
        off_percent=_mean([one.cpu_percent for one in found]),
        off_percent_error=_error([one.cpu_percent for one in found]),
        off_slower_percent=_mean([one.slower_percent for one in found]),
        off_slower_percent_error=_error([one.slower_percent for one in found]),
        on_percent=_mean([one.cpu_percent for one in tapped]),
        on_percent_error=_error([one.cpu_percent for one in tapped]),
        on_lost=lost,
    )


def _mean(values: list[float]) -> float:
    return round(statistics.mean(values), 2)


def _error(values: list[float]) -> float:
    error: float = statistics.stdev(values) / len(values) ** 0.5
    return round(error, 2)


def _tapped(busy: _BusyFarm, comparisons: int) -> tuple[list[_Comparison], int]:
    """Compare with every builder's actor tapped into a file; return also how many lines were lost."""
    state_directory = busy.farm.state_directory
    file = state_directory / "tapped"
    with Attached(Settings(state_directory=state_directory, user="")) as attached:
        console = Console(attached, io.StringIO(), Given(state_directory=state_directory))
        names = [here.name for here in attached.census().here if here.kind == "builder"]
        console.obey(f"tap {' '.join(names)} --to {file}")
        found = busy.compare(comparisons)
        console.close()
    lines = file.read_text(encoding="ascii").splitlines()
    return found, sum('"kind": "lost"' in line for line in lines)


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

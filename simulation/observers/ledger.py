"""What happened in a run, counted while it happens, from the rows that were committed.

`simulation.recount` counts the same from the story alone, and knows nothing of this.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from storage.records import BuildState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.environment.agenda import Agenda
    from simulation.environment.contents import Contents
    from storage.memory.database import MemoryFarm

_CURVE: Final = 400  #: points of a curve, about


@dataclass(frozen=True, slots=True)
class Waits:
    """How long jobs of one family waited, until they were given to a builder or wait still."""

    given: int  #: times that one was given to a builder
    p50: float  #: seconds
    p99: float  #: seconds
    worst: float  #: seconds
    busy: float  #: share of the time for which the family's builders had an attempt


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run."""

    builds: int
    dispatched: int  #: attempts
    finished: int  #: builds that have come to an end
    lost: int  #: builds that have neither ended nor a job
    mixed_up: int  #: files accepted as results of a build that are not of this build and attempt
    double_accepted: int  #: builds of which results were accepted more than once
    worst_wait_s: float  #: from the moment at which a job could be given away to that at which it was
    utilisation: float  #: share of the builders' time for which they had an attempt
    overlaps: int  #: times that a slave began to build what another one was building still
    outcomes: dict[str, int]  #: of attempts
    states: dict[str, int]  #: of builds
    families: dict[str, Waits]


@dataclass(slots=True)
class Point:
    """How it stood at one moment."""

    at: float  #: seconds
    waiting: int  #: jobs
    running: int  #: jobs
    builders: int  #: registered
    ok: int  #: of them


@dataclass(slots=True)
class _Family:
    waits: list[float] = field(default_factory=list)
    busy: float = 0.0
    there: float = 0.0  # seconds of all its builders


class Ledger:
    """Counts.

    Attributes:
        waiting: since when each job waits that nobody holds.
        curve: how it stood over time.
    """

    def __init__(self, rows: MemoryFarm, agenda: Agenda, contents: Contents, hours: float) -> None:
        """Begin to count."""
        self.waiting: dict[int, float] = {}
        self.running = 0
        self.curve: list[Point] = []
        self.overlaps = 0
        self._rows = rows
        self._agenda = agenda
        self._contents = contents
        self._step = hours * 3600.0 / _CURVE
        self._look_at = 0.0
        self._dispatched = 0
        self._mixed_up: set[tuple[int, int]] = set()
        self._accepted: defaultdict[int, int] = defaultdict(int)  # build → times FULLYBUILT
        self._attempts: defaultdict[int, set[Any]] = defaultdict(set)  # build → attempts of its files
        self._since: dict[str, float] = {}  # builder → when it got its attempt
        self._registered: dict[str, float] = {}
        self._ok: set[str] = set()
        self._families: defaultdict[str, _Family] = defaultdict(_Family)
        self._family_of: dict[str, str] = {}
        self._building: Counter[str] = Counter()  # sources that are being built
        rows.watchers.append(self._changed)

    # --- rows -------------------------------------------------------------------------------------

    def _changed(self, table: str, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of any table
        act = _ROWS.get(table)
        if act is not None:
            act(self, before, after)
            if self._agenda.now >= self._look_at:
                self.look()

    def look(self) -> None:
        """Add a point to the curve."""
        self._look_at = self._agenda.now + self._step
        registered = len(self._registered)
        self.curve.append(Point(self._agenda.now, len(self.waiting), self.running, registered, len(self._ok)))

    def _job(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `buildqueue`
        held_before = before is not None and before.builder is not None
        held = after is not None and after.builder is not None
        self.running += held - held_before
        job = (after or before).id
        if after is None:
            self.waiting.pop(job, None)
        elif held and not held_before:
            since = self.waiting.pop(job, self._agenda.now)
            self._families[self._family(after.build)].waits.append(self._agenda.now - since)
        elif not held and (held_before or before is None):
            self.waiting[job] = self._agenda.now

    def _attempt(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `attempt`
        if before is None:
            self._dispatched += 1
            self._since[after.builder] = self._agenda.now
        elif before.outcome is None and after.outcome is not None:
            spent = self._agenda.now - self._since.pop(after.builder)
            self._families[self._family_of[after.builder]].busy += spent

    def _build(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `build`
        became = before is not None and before.state != after.state
        if became and after.state == BuildState.FULLYBUILT:
            self._accepted[after.id] += 1

    def _file(self, _before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `build_file`
        if after is None:
            return
        rows = self._rows
        build = rows.table("build")[after.build]
        source = rows.table("source_release")[build.source]
        made = self._contents.made.get(rows.table("library_alias")[after.alias].content)
        self._attempts[after.build].add(after.attempt)
        right = made is not None and (made.source, made.attempt) == (
            f"{source.name} {source.version}",
            str(after.attempt),
        )
        if not right:
            self._mixed_up.add((after.build, after.alias))

    def _builder(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `builder`
        now, name = self._agenda.now, (after or before).name
        if before is None:
            self._registered[name] = now
            self._family_of[name] = after.families[0]
        if after is None:
            self._families[self._family_of[name]].there += now - self._registered.pop(name)
        if after is not None and after.builderok:
            self._ok.add(name)
        else:
            self._ok.discard(name)

    def _family(self, build: int) -> str:
        rows = self._rows
        family: str = rows.table("distroarchseries")[rows.table("build")[build].distroarchseries].family
        return family

    # --- slaves -----------------------------------------------------------------------------------

    def began(self, source: str) -> None:
        """A slave begins to build."""
        self.overlaps += self._building[source] > 0
        self._building[source] += 1

    def stopped(self, source: str) -> None:
        """A slave builds it no more."""
        self._building[source] -= 1

    # --- the sum ----------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """Return what has come of it so far."""
        now, rows = self._agenda.now, self._rows
        builds = rows.table("build").values()
        families = {name: _Family([*one.waits], one.busy, one.there) for name, one in self._families.items()}
        for name, since in self._since.items():
            families[self._family_of[name]].busy += now - since
        for name, since in self._registered.items():
            families.setdefault(self._family_of[name], _Family()).there += now - since
        given = {name: len(one.waits) for name, one in families.items()}
        for job, since in self.waiting.items():
            family = self._family(rows.table("buildqueue")[job].build)
            families.setdefault(family, _Family()).waits.append(now - since)
        doubly = {build for build, times in self._accepted.items() if times > 1}
        doubly |= {build for build, attempts in self._attempts.items() if len(attempts) > 1}
        there = sum(one.there for one in families.values())
        return Summary(
            builds=len(builds),
            dispatched=self._dispatched,
            finished=sum(build.state.final for build in builds),
            lost=sum(not build.state.final and build.id not in rows.jobs_by_build for build in builds),
            mixed_up=len(self._mixed_up),
            double_accepted=len(doubly),
            worst_wait_s=round(max((max(one.waits, default=0.0) for one in families.values()), default=0.0), 3),
            utilisation=round(sum(one.busy for one in families.values()) / there, 4) if there else 0.0,
            overlaps=self.overlaps,
            outcomes=_counted(row.outcome or "open" for row in rows.table("attempt").values()),
            states=_counted(build.state for build in builds),
            families={name: _waits(one, given.get(name, 0)) for name, one in sorted(families.items())},
        )


_ROWS: Final[Mapping[str, Callable[[Ledger, Any, Any], None]]] = {
    "buildqueue": Ledger._job,  # noqa: SLF001 - its own
    "attempt": Ledger._attempt,  # noqa: SLF001
    "build": Ledger._build,  # noqa: SLF001
    "build_file": Ledger._file,  # noqa: SLF001
    "builder": Ledger._builder,  # noqa: SLF001
}


def _waits(family: _Family, given: int) -> Waits:
    waits = sorted(family.waits)
    busy = round(family.busy / family.there, 4) if family.there else 0.0
    return Waits(given, quantile(waits, 0.5), quantile(waits, 0.99), quantile(waits, 1.0), busy)


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie; 0 of none."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0


def _counted(values: Any) -> dict[str, int]:  # noqa: ANN401 - an iterable of enumerations
    return {str(value): times for value, times in sorted(Counter(map(str, values)).items())}

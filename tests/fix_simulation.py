"""Small farms in virtual time, as tests tell them: who there is, what is to be built, what goes wrong, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from protocol.messages import WireOutcome
from simulation.observers.story import Line
from simulation.scenario.plan import HOUR, Act, Deed, Fault, Plan, PlannedBuilder, PlannedJob, Trouble
from simulation.world import World
from storage.records import BuildState


@dataclass
class Tale:
    """A farm with its story; invariants are looked at after every step."""

    hours: float = 4.0
    settle_hours: float = 24.0
    builders: list[PlannedBuilder] = field(default_factory=list)
    jobs: list[PlannedJob] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    _world: World | None = None

    def builder(self, *names: str, family: str = "amd64", trusted: bool = True) -> None:
        self.builders += [PlannedBuilder(name, (family,), trusted) for name in names]

    def job(self, *sources: str, at: float = 10.0, seconds: float = 300.0, **fields: Any) -> None:
        base: dict[str, Any] = {"at": at, "family": "amd64", "owner": None, "seconds": seconds}
        self.jobs += [PlannedJob(source=source, **(base | fields)) for source in sources]

    def fault(self, at: float, trouble: Trouble, builder: str = "", seconds: float = 0.0, **fields: Any) -> None:
        self.faults.append(Fault(at, trouble, builder, seconds, **fields))

    def deed(self, at: float, act: Act, **fields: Any) -> None:
        self.deeds.append(Deed(at, act, **fields))

    @property
    def world(self) -> World:
        if self._world is None:
            plan = Plan(
                seed=1,
                builders=tuple(self.builders),
                jobs=tuple(self.jobs),
                hours=self.hours,
                faults=tuple(self.faults),
                deeds=tuple(self.deeds),
                settle_hours=self.settle_hours,
            )
            self._world = World(plan, validate=True, write=self.lines.append)
        return self._world

    def run(self) -> Tale:
        self.world.run()
        summary = self.world.summary()
        assert (summary.lost, summary.mixed_up, summary.double_accepted) == (0, 0, 0)
        return self

    # --- what came of it --------------------------------------------------------------------------

    def told(self, what: str, **fields: object) -> Iterator[Line]:
        return (line for line in self.lines if line["what"] == what and fields.items() <= line.items())

    def first(self, what: str, *, after: float = 0.0, **fields: object) -> float:
        """Return when something happened first."""
        found = (when(line) for line in self.told(what, **fields) if when(line) >= after)
        at = next(found, None)
        assert at is not None, f"{what} {fields} did not happen after {after} s"
        return at

    def times(self, what: str, **fields: object) -> int:
        return sum(1 for _ in self.told(what, **fields))

    def build(self, source: str) -> int:
        """Return the number of the build of a source."""
        (line, *_) = self.told("queued", source=f"{source} 1.0-1")
        return int(str(line["build"]))

    def state(self, source: str) -> BuildState:
        state: BuildState = self.world.ground.server.builds.get(self.build(source)).state
        return state

    @property
    def states(self) -> set[BuildState]:
        return {row.state for row in self.world.ground.rows.table("build").values()}

    def where(self, source: str) -> list[str]:
        """Return the builders that the build of a source was given to, in order."""
        return [str(line["builder"]) for line in self.told("dispatched", build=self.build(source))]

    def outcomes(self, source: str) -> list[str]:
        return [str(line["outcome"]) for line in self.told("closed", build=self.build(source))]

    def ok(self, builder: str) -> bool:
        return bool(self.world.ground.server.builders.get(builder).builderok)

    def failures(self, builder: str) -> int:
        (row,) = (row for row in self.world.ground.server.builders.runtimes() if row.builder == builder)
        return row.failures_in_row


def when(line: Line) -> float:
    """Return the second of a line of a story."""
    return float(str(line["at"]))


__all__ = ["HOUR", "Act", "BuildState", "Tale", "Trouble", "WireOutcome", "when"]

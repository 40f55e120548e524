"""The in-memory twin of `storage.dependency_waits`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from storage.memory.binary_packages import BinaryPackageRow
from storage.memory.database import MemoryFarm
from storage.memory.indexes import relation_names
from storage.memory.rows import AttemptRow, BuildRow, JobRow
from storage.records import BuildState, DependencyWait, DistroArchSeries, Outcome, Settled, Settlement


class MemoryDependencyWaits:
    """The twin of `storage.dependency_waits.DependencyWaits`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def waits(
        self, builds: Iterable[int] | None = None, *, after: int = 0, most_builds: int = 1000, most_lines: int = 100_000
    ) -> tuple[DependencyWait, ...]:
        """See `DependencyWaits.waits`."""
        wanted = None if builds is None else set(builds)
        found: list[DependencyWait] = []
        lines = 0
        for row in self._waiting():
            if row.id <= after or (wanted is not None and row.id not in wanted):
                continue
            if len(found) >= most_builds or lines >= most_lines:
                break
            found.append(self._wait(row))
            lines += len(row.dependencies)
        return tuple(found)

    def awaiting(self, packages: Iterable[int]) -> tuple[int, ...]:
        """See `DependencyWaits.awaiting`."""
        rows = self._farm.table("binary_package")
        published: list[BinaryPackageRow] = [rows[number] for number in packages if number in rows]
        found = []
        builds = self._farm.table("build")
        offered = {name for one in published for name in one.offers}
        named = {build for name in offered for build in self._farm.builds_by_need.get(name, ())}
        for row in (builds[build] for build in sorted(named)):
            wait, names = self._wait(row), relation_names(row.dependencies)
            if any(
                one.offers & names and one.archive in wait.archives and one.series == wait.series for one in published
            ):
                found.append(row.id)
        return tuple(found)

    def of_job(self, job: int) -> int | None:
        """See `DependencyWaits.of_job`."""
        attempts: Iterable[AttemptRow] = self._farm.table("attempt").values()
        had = {row.build for row in attempts if row.job == job}
        builds = self._farm.table("build")
        return next((build for build in had if builds[build].state == BuildState.MANUALDEPWAIT), None)

    def settle(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """See `DependencyWaits.settle`."""
        settled = []
        for one in settlements:
            row: BuildRow | None = self._farm.table("build").get(one.build)
            if row is None or row.state != BuildState.MANUALDEPWAIT or row.dependencies != one.before:
                continue
            with self._farm.acting(self._farm.who, one.why, self._farm.cause):
                if one.remaining:
                    self._farm.move_build(one.build, BuildState.MANUALDEPWAIT, dependencies=one.remaining)
                    settled.append(Settled(one.build, None))
                    continue
                self._farm.move_build(one.build, BuildState.NEEDSBUILD, why="")
                job = self._farm.number("buildqueue")
                self._farm.put("buildqueue", job, JobRow(job, one.build, self._farm.now()))
                settled.append(Settled(one.build, job))
        return tuple(settled)

    def _waiting(self) -> list[BuildRow]:
        rows: dict[int, BuildRow] = self._farm.table("build")
        return [
            rows[build] for build in sorted({one for needed in self._farm.builds_by_need.values() for one in needed})
        ]

    def _wait(self, row: BuildRow) -> DependencyWait:
        farm = self._farm
        series: DistroArchSeries = farm.table("distroarchseries")[row.distroarchseries]
        attempts: dict[UUID, AttemptRow] = farm.table("attempt")
        tries = [attempts[one] for one in farm.attempts_by_build.get(row.id, ())]
        return DependencyWait(
            build=row.id,
            architecture=series.architecture,
            series=series.series,
            archives=tuple(sorted({row.archive, *farm.primaries.get(series.distribution, ())})),
            dependencies=row.dependencies,
            since=row.ended if row.ended is not None else row.created,
            tried=max((one.started for one in tries), default=None),
            missed=sum(one.outcome == Outcome.DEPFAIL for one in tries),
            now=farm.now(),
        )

"""The in-memory twin of `storage.binary_packages` and `storage.dependency_waits`; its neighbours are in `storage.memory`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.errors import UnknownSeries
from storage.memory.indexes import relation_names
from storage.memory.rows import AttemptRow, BuildRow, JobRow, MemoryFarm
from storage.records import (
    Archive,
    BinaryPackage,
    BuildState,
    DependencyWait,
    DistroArchSeries,
    EarlierPackage,
    Imported,
    Outcome,
    Place,
    PublishedPackage,
    Settled,
    Settlement,
)
from storage.words.packages import check_index, check_package, without_repeats


@dataclass(frozen=True, slots=True)
class BinaryPackageRow:
    """`binary_package`."""

    id: int
    archive: int
    series: str
    name: str
    version: str
    architecture: str
    provides: tuple[str, ...]
    build: int | None
    imported_for: str | None
    created: datetime

    @property
    def offers(self) -> frozenset[str]:
        """Names by which it may be depended on."""
        return frozenset({self.name, *relation_names(self.provides)})


class MemoryBinaryPackages:
    """The twin of `storage.binary_packages.BinaryPackages`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def place(self, attempt: UUID, names: Iterable[str] = ()) -> Place | None:
        """See `BinaryPackages.place`."""
        row: AttemptRow | None = self._farm.table("attempt").get(attempt)
        if row is None or row.outcome != Outcome.OK:
            return None
        build: BuildRow = self._farm.table("build")[row.build]
        if build.state != BuildState.FULLYBUILT:
            return None
        series: str = self._farm.table("distroarchseries")[build.distroarchseries].series
        wanted = set(names)
        earlier = tuple(
            EarlierPackage(one.id, one.name, one.version, one.architecture)
            for one in self._offering(wanted)
            if (one.archive, one.series) == (build.archive, series) and one.name in wanted and one.build is not None
        )
        return Place(build.id, build.archive, series, earlier)

    def publish(
        self, place: Place, packages: Sequence[BinaryPackage], superseded: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """See `BinaryPackages.publish`."""
        for package in packages:
            check_package(package)
        for gone in superseded:
            self._farm.put("binary_package", gone, None)
        return self._add(place.archive, place.series, packages, build=place.build)

    def offered(
        self, names: Iterable[str], archives: Iterable[int], series: Iterable[str]
    ) -> tuple[PublishedPackage, ...]:
        """See `BinaryPackages.offered`."""
        wanted, places, suites = set(names), set(archives), set(series)
        return tuple(
            _published(row) for row in self._offering(wanted) if row.archive in places and row.series in suites
        )

    def import_index(self, archive: Archive, series: str, index: str, packages: Iterable[BinaryPackage]) -> Imported:
        """See `BinaryPackages.import_index`."""
        of_series: list[DistroArchSeries] = [
            one
            for one in self._farm.table("distroarchseries").values()
            if (one.distribution, one.series) == (archive.distribution, series)
        ]
        if not of_series:
            raise UnknownSeries(f"{archive.distribution}/{series}")
        check_index(index, f"{archive.distribution}/{series}", sorted(one.architecture for one in of_series))
        new = {_content(package): package for package in without_repeats(packages)}
        for package in new.values():
            check_package(package)
        removed = 0
        for row in self._rows():
            if (row.archive, row.series, row.imported_for) != (archive.id, series, index):
                continue
            if _content(row) in new:
                del new[_content(row)]
            else:
                self._farm.put("binary_package", row.id, None)
                removed += 1
        kept = sum((row.archive, row.series, row.imported_for) == (archive.id, series, index) for row in self._rows())
        added = self._add(archive.id, series, tuple(new.values()), index=index)
        return Imported(len(added), removed, kept)

    def _add(
        self,
        archive: int,
        series: str,
        packages: Sequence[BinaryPackage],
        *,
        build: int | None = None,
        index: str | None = None,
    ) -> tuple[int, ...]:
        keys = {_key(row) for row in self._offering({one.name for one in packages})}
        added = []
        for one in packages:
            number = self._farm.number("binary_package")
            fields = (one.name, one.version, one.architecture, tuple(one.provides), build, index, self._farm.now())
            row = BinaryPackageRow(number, archive, series, *fields)
            if _key(row) not in keys:
                keys.add(_key(row))
                self._farm.put("binary_package", number, row)
                added.append(number)
        return tuple(added)

    def _offering(self, names: Iterable[str]) -> list[BinaryPackageRow]:
        """Return the packages that may be depended on by one of these names, in the order in which they came."""
        rows: dict[int, BinaryPackageRow] = self._farm.table("binary_package")
        numbers = {number for name in names for number in self._farm.packages_by_offer.get(name, ())}
        return [rows[number] for number in sorted(numbers)]

    def _rows(self) -> tuple[BinaryPackageRow, ...]:
        return tuple(self._farm.table("binary_package").values())


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


def _content(package: BinaryPackage | BinaryPackageRow) -> tuple[object, ...]:
    return package.name, package.version, package.architecture, package.provides


def _key(row: BinaryPackageRow) -> tuple[object, ...]:
    return row.archive, row.series, row.name, row.architecture, row.version, row.build, row.imported_for


def _published(row: BinaryPackageRow) -> PublishedPackage:
    return PublishedPackage(
        row.id, row.archive, row.series, row.name, row.version, row.architecture, row.provides, row.build, row.created
    )

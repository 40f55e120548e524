"""The in-memory twin of `storage.binary_packages`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.errors import UnknownSeries
from storage.memory.database import MemoryFarm
from storage.memory.indexes import relation_names
from storage.memory.rows import AttemptRow, BuildRow
from storage.records import (
    Archive,
    BinaryPackage,
    BuildState,
    DistroArchSeries,
    EarlierPackage,
    Imported,
    Outcome,
    Place,
    PublishedPackage,
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


def _content(package: BinaryPackage | BinaryPackageRow) -> tuple[object, ...]:
    return package.name, package.version, package.architecture, package.provides


def _key(row: BinaryPackageRow) -> tuple[object, ...]:
    return row.archive, row.series, row.name, row.architecture, row.version, row.build, row.imported_for


def _published(row: BinaryPackageRow) -> PublishedPackage:
    return PublishedPackage(
        row.id, row.archive, row.series, row.name, row.version, row.architecture, row.provides, row.build, row.created
    )

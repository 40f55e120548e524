"""Binary packages that are published: table `binary_package`, what builds may depend on (dispatch-rules §7).

Rows come from builds that became FULLYBUILT, from indexes of archives outside the farm, and from plain SQL; whoever
waits for one is told by notification.  Builds see their own archive and their distribution's primary one, packages of
their own architecture and of `all`.  Which row satisfies what is decided in `actors.core.dependencies.waits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from psycopg.types.json import Jsonb

from storage.database.patience import unhurried
from storage.database.queries import load
from storage.database.repository import Repository, in_words
from storage.errors import UnknownSeries
from storage.records import Archive, BinaryPackage, Imported, Place, PublishedPackage
from storage.words.packages import check_index, check_package, without_repeats

_SQL = load("binary_packages")


class BinaryPackages(Repository):
    """What is published."""

    def place(self, attempt: UUID, names: Iterable[str] = ()) -> Place | None:
        """Return where the build of `attempt` publishes; None if it is not FULLYBUILT by this attempt.

        Args:
            attempt: which.
            names: of packages; what builds have left there of these comes along, oldest first.
        """
        return self._row(Place, _SQL["place"], attempt=attempt, names=sorted(set(names)))

    def publish(
        self, place: Place, packages: Sequence[BinaryPackage], superseded: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Publish what a build has left.

        Args:
            place: of the build.
            packages: of two with the same name, version and architecture the first counts.
            superseded: ids of packages that go away for them.

        Returns:
            The ids of the new rows, in the order given.

        Raises:
            BadValue: a name, version or architecture that can't be.
        """
        for package in packages:
            check_package(package)
        with in_words():
            rows = self._conn.execute(
                _SQL["publish"],
                {
                    "build": place.build,
                    "archive": place.archive,
                    "series": place.series,
                    "packages": Jsonb([asdict(package) for package in packages]),
                    "superseded": list(superseded),
                },
            ).fetchall()
        return tuple(number for (number,) in rows)

    def offered(
        self, names: Iterable[str], archives: Iterable[int], series: Iterable[str]
    ) -> tuple[PublishedPackage, ...]:
        """Return what goes by one of these names, its own or a provided one, in these archives and series, by id."""
        return self._rows(
            PublishedPackage,
            _SQL["offered"],
            names=sorted(set(names)),
            archives=sorted(set(archives)),
            series=sorted(set(series)),
        )

    def import_index(self, archive: Archive, series: str, index: str, packages: Iterable[BinaryPackage]) -> Imported:
        """Replace what was imported from this index before; what is in it still keeps the time when it came.

        The caller's transaction may take seconds: 60,000 packages, three or four.

        Args:
            archive: that the packages are in.
            series: of the archive's distribution.
            index: architecture tag that the index is for, or `all`.
            packages: of this architecture or `all`; of two with the same name, version and architecture the first counts.

        Raises:
            UnknownSeries: the distribution has no such series.
            BadValue: the series is not for that architecture; a package that can't be.
        """
        found = self._values(_SQL["series_of"], archive=archive.id, series=series)
        if not found:
            raise UnknownSeries(f"{archive.distribution}/{series}")
        distroseries, architectures = found
        check_index(index, f"{archive.distribution}/{series}", architectures)
        where = {"archive": archive.id, "distroseries": distroseries, "index": index}
        with unhurried(self._conn):
            return self._replace(where, packages)

    def _replace(self, where: Mapping[str, object], packages: Iterable[BinaryPackage]) -> Imported:
        self._run(_SQL["make_room"])
        self._run(_SQL["make_table"])
        total = 0
        with in_words(), self._conn.cursor() as cursor, cursor.copy(_SQL["copy_in"]) as copy:
            for total, one in enumerate(without_repeats(packages), 1):  # noqa: B007 - it is the number of the last
                check_package(one)
                copy.write_row((one.name, one.version, one.architecture, list(one.provides)))
        self._run(_SQL["look_at_table"])
        removed = self._run(_SQL["drop_gone"], **where)
        added = self._run(_SQL["add_new"], **where)
        self._run(_SQL["drop_table"])
        return Imported(added, removed, total - added)

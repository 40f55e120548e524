"""The in-memory twin of `storage.publications`."""

from __future__ import annotations

from collections.abc import Sequence

from storage.errors import BadValue, UnknownArchive, UnknownSeries
from storage.memory.database import MemoryFarm
from storage.memory.rows import PublicationRow
from storage.memory.sources import MemorySources
from storage.records import Archive, BuildState, Pocket, Publication, PublishingStatus

_LIVE = frozenset({PublishingStatus.PENDING, PublishingStatus.PUBLISHED})


class MemoryPublications:
    """The twin of `storage.publications.Publications`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def hold(self, archive: int, name: str) -> None:
        """See `Publications.hold`: in memory, nobody else is at work."""

    def publish(
        self,
        source: int,
        archive: int,
        series: str | Sequence[str],
        pocket: Pocket,
        component: str,
        *,
        status: PublishingStatus = PublishingStatus.PUBLISHED,
    ) -> int:
        """See `Publications.publish`."""
        MemorySources(self._farm).check_component(component)
        one = MemorySources(self._farm).get(source)
        place: Archive | None = self._farm.table("archive").get(archive)
        if place is None:
            raise UnknownArchive(archive)
        names = [series] if isinstance(series, str) else list(dict.fromkeys(series))
        rows = self._farm.table("distroarchseries").values()
        known = {one.series for one in rows if one.distribution == place.distribution}
        missing = [name for name in names if name not in known]
        if missing or not names:
            raise UnknownSeries(min(missing, default=None))
        for other in self._farm.sources_by_name[one.name, one.version]:
            if other != source and any(row.archive == archive for row in self._places(other)):
                raise BadValue(
                    f"{one.name} {one.version} is published in that archive with other content; give it another version"
                )
        published = [self._publish((source, archive, name, pocket), component, status) for name in names]
        return published[0]

    def _publish(self, where: tuple[int, int, str, Pocket], component: str, status: PublishingStatus) -> int:
        rows = self._places(where[0])
        there = next((row for row in rows if (row.source, row.archive, row.series, row.pocket) == where), None)
        number = self._farm.number("publication") if there is None else there.id
        created = self._farm.now() if there is None else there.created
        self._farm.put("publication", number, PublicationRow(number, *where, component, status, created))
        return number

    def _places(self, source: int) -> Sequence[PublicationRow]:
        rows = self._farm.table("publication")
        return [rows[key] for key in self._farm.places_by_source.get(source, ())]

    def all(self, archive: int, name: str | None = None, *, live: bool = False) -> tuple[Publication, ...]:
        """See `Publications.all`."""
        sources, archives = self._farm.table("source_release"), self._farm.table("archive")
        rows: Sequence[PublicationRow] = tuple(self._farm.table("publication").values())
        found = [
            Publication(
                id=row.id,
                source_id=row.source,
                source=sources[row.source].name,
                version=sources[row.source].version,
                archive=archives[row.archive].name,
                series=row.series,
                pocket=row.pocket,
                component=row.component,
                status=row.status,
                created=row.created,
            )
            for row in rows
            if row.archive == archive and name in {None, sources[row.source].name} and (not live or row.status in _LIVE)
        ]
        return tuple(sorted(found, key=lambda one: (one.source, one.series, one.pocket, one.id)))

    def set_status(self, publications: Sequence[int], status: PublishingStatus) -> None:
        """See `Publications.set_status`."""
        rows = self._farm.table("publication")
        for number in publications:
            if number in rows:
                self._farm.put("publication", number, rows[number]._replace(status=status))

    def waiting_for_nothing(self, publications: Sequence[int]) -> int:
        """See `Publications.waiting_for_nothing`."""
        rows: dict[int, PublicationRow] = self._farm.table("publication")
        series = self._farm.table("distroarchseries")
        live = {(row.source, row.archive, row.series) for row in rows.values() if row.status in _LIVE}
        gone = {(row.source, row.archive, row.series) for row in rows.values() if row.id in publications} - live
        return sum(
            row.state is BuildState.NEEDSBUILD
            and (row.source, row.archive, series[row.distroarchseries].series) in gone
            for row in self._farm.table("build").values()
        )

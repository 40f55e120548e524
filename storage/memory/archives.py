"""The in-memory twin of `storage.archives`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from storage.errors import (
    ArchiveExists,
    BadValue,
    ChrootInUse,
    SeriesInUse,
    UnknownArchive,
    UnknownComponent,
    UnknownFile,
    UnknownSeries,
    UnknownSource,
)
from storage.limits import LimitChanges, changed, check_limits
from storage.memory.database import MemoryFarm
from storage.memory.library import MemoryLibrary
from storage.memory.people import MemoryPeople
from storage.memory.rows import AttemptRow, ChrootRow, PublicationRow, SourceRow
from storage.records import (
    Archive,
    ArchivePurpose,
    Chroot,
    DistroArchSeries,
    Limits,
    NewSource,
    Pocket,
    ProcessorFamily,
    PublishingStatus,
    SeriesStatus,
    Source,
)
from storage.words.archives import archive_name, named_archive
from storage.words.jobs import check_score
from storage.words.names import check_tags, check_word
from storage.words.series import (
    check_apt_sources,
    check_architectures,
    check_family,
    check_nominated,
    chosen_architectures,
    family_of,
    named_series,
)
from storage.words.sources import dsc_of


class MemoryArchives:
    """The twin of `storage.archives.Archives`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def families(self) -> tuple[ProcessorFamily, ...]:
        """See `Archives.families`."""
        return tuple(sorted(self._farm.table("processor_family").values(), key=lambda family: family.name))

    def add_family(self, name: str, architectures: Sequence[str]) -> ProcessorFamily:
        """See `Archives.add_family`."""
        check_family(name, architectures, self.families())
        family = ProcessorFamily(name, tuple(sorted(set(architectures))))
        self._farm.put("processor_family", name, family)
        return family

    def family_of(self, architecture: str) -> str:
        """See `Archives.family_of`."""
        return family_of(architecture, self.families())

    def add_series(
        self, distribution: str, series: str, architectures: Mapping[str, str], *, nominated_archindep: str
    ) -> tuple[DistroArchSeries, ...]:
        """See `Archives.add_series`."""
        check_word("distribution", distribution)
        check_word("series", series)
        check_architectures(architectures, self.families())
        there = {one.architecture: one for one in self._series_of(distribution, series)}
        check_nominated(f"{distribution}/{series}", nominated_archindep, there.keys() | set(architectures))
        for tag, family in architectures.items():
            if tag not in there:
                number = self._farm.number("distroarchseries")
                lines = next((one.apt_sources for one in there.values()), ())
                row = DistroArchSeries(
                    number, distribution, series, tag, family, nominated_archindep=False, apt_sources=lines
                )
                self._farm.put("distroarchseries", number, row)
        for one in self._series_of(distribution, series):
            nominated = one.architecture == nominated_archindep
            stored: DistroArchSeries = self._farm.table("distroarchseries")[one.id]
            self._farm.put("distroarchseries", one.id, replace(stored, nominated_archindep=nominated))
        return self._series_of(distribution, series)

    def change_series(
        self,
        distribution: str,
        series: str,
        *,
        status: SeriesStatus | None = None,
        ppas: bool | None = None,
        architectures: Sequence[str] = (),
        apt_sources: Sequence[str] | None = None,
    ) -> tuple[DistroArchSeries, ...]:
        """See `Archives.change_series`."""
        if apt_sources is not None:
            check_apt_sources(apt_sources)
        there = self._series_of(distribution, series)
        chosen = chosen_architectures(f"{distribution}/{series}", architectures, there, self.series())
        if status is not None:
            self._farm.put("distroseries", (distribution, series), status)
        if apt_sources is not None:
            for one in there:
                whole: DistroArchSeries = self._farm.table("distroarchseries")[one.id]
                self._farm.put("distroarchseries", one.id, replace(whole, apt_sources=tuple(apt_sources)))
        if ppas is not None:
            for one in chosen:
                row: DistroArchSeries = self._farm.table("distroarchseries")[one.id]
                self._farm.put("distroarchseries", one.id, replace(row, ppas=ppas))
        return self._series_of(distribution, series)

    def remove_series(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        """See `Archives.remove_series`."""
        there = self._series_of(distribution, series)
        chosen_architectures(f"{distribution}/{series}", (), there, self.series())
        mine, of_distribution = {one.id for one in there}, self._archives_of(distribution)
        uses = {
            "builds": sum(row.distroarchseries in mine for row in self._farm.table("build").values()),
            **{
                what: sum(
                    row.series == series and row.archive in of_distribution for row in self._farm.table(table).values()
                )
                for what, table in (("publications", "publication"), ("packages", "binary_package"))
            },
            "chroots": sum(row.distroarchseries in mine for row in self._farm.table("chroot").values()),
        }
        if any(uses.values()):
            raise SeriesInUse(f"{distribution}/{series}", uses)
        for one in there:
            self._farm.put("distroarchseries", one.id, None)
        self._farm.put("distroseries", (distribution, series), None)
        return there

    def _archives_of(self, distribution: str) -> set[int]:
        return {one.id for one in self._farm.table("archive").values() if one.distribution == distribution}

    def series(self) -> tuple[DistroArchSeries, ...]:
        """See `Archives.series`."""
        return self._in_order(self._farm.table("distroarchseries").values())

    def _in_order(self, rows: Iterable[DistroArchSeries]) -> tuple[DistroArchSeries, ...]:
        status = self._farm.table("distroseries")
        return tuple(
            replace(one, status=status.get((one.distribution, one.series), SeriesStatus.DEVELOPMENT))
            for one in sorted(rows, key=lambda one: (one.distribution, one.series, one.architecture))
        )

    def distroarchseries(self, text: str) -> DistroArchSeries:
        """See `Archives.distroarchseries`."""
        return named_series(text, self.series())

    def add_archive(
        self,
        name: str,
        distribution: str,
        purpose: ArchivePurpose,
        *,
        owner: str | None = None,
        private: bool = False,
        relative_score: int = 0,
        limits: LimitChanges = MappingProxyType({}),
        tags: Sequence[str] = (),
    ) -> Archive:
        """See `Archives.add_archive`."""
        check_word("distribution", distribution)
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags)
        full, owner = archive_name(name, purpose, owner)
        if distribution not in {one.distribution for one in self.series()}:
            raise UnknownSeries(distribution)
        if any((one.distribution, one.name) == (distribution, full) for one in self.archives()):
            raise ArchiveExists(f"{distribution} has an archive {full!r} already")
        if owner is not None:
            MemoryPeople(self._farm).add(owner)
        number = self._farm.number("archive")
        archive = Archive(
            id=number,
            name=full,
            distribution=distribution,
            purpose=purpose,
            owner=owner,
            private=private,
            enabled=True,
            relative_score=relative_score,
            limits=changed(Limits(), limits),
            tags=tuple(sorted({*tags})),
        )
        self._farm.put("archive", number, archive)
        return archive

    def archives(self) -> tuple[Archive, ...]:
        """See `Archives.archives`."""
        return tuple(sorted(self._farm.table("archive").values(), key=lambda one: (one.distribution, one.name)))

    def archive(self, distribution: str, name: str) -> Archive:
        """See `Archives.archive`."""
        return named_archive(distribution, name, self.archives())

    def change_archive(
        self,
        distribution: str,
        name: str,
        *,
        enabled: bool | None = None,
        private: bool | None = None,
        relative_score: int | None = None,
        limits: LimitChanges = MappingProxyType({}),
        tags: Sequence[str] | None = None,
    ) -> Archive:
        """See `Archives.change_archive`."""
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags or ())
        before = self.archive(distribution, name)
        after = replace(
            before,
            enabled=before.enabled if enabled is None else enabled,
            private=before.private if private is None else private,
            relative_score=before.relative_score if relative_score is None else relative_score,
            limits=changed(before.limits, limits),
            tags=before.tags if tags is None else tuple(sorted({*tags})),
        )
        self._farm.put("archive", before.id, after)
        return after

    def set_chroot(self, distroarchseries: int, pocket: Pocket, alias: int) -> Chroot:
        """See `Archives.set_chroot`."""
        if distroarchseries not in self._farm.table("distroarchseries"):
            raise UnknownSeries(distroarchseries)
        if alias not in self._farm.table("library_alias"):
            raise UnknownFile(alias)
        key = (distroarchseries, pocket)
        there: ChrootRow | None = self._farm.table("chroot").get(key)
        if there is None or there.alias != alias:
            number = self._farm.number("chroot") if there is None else there.id
            row = ChrootRow(number, distroarchseries, pocket, alias, self._farm.now())
            self._farm.put("chroot", key, row)
        return self._chroot(self._farm.table("chroot")[key])

    def use_chroot(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """See `Archives.use_chroot`."""
        row: ChrootRow | None = self._farm.table("chroot").get((distroarchseries, pocket))
        if row is None:
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        self._farm.put("chroot", (distroarchseries, pocket), row._replace(held_back=""))
        return self._chroot(self._farm.table("chroot")[distroarchseries, pocket])

    def remove_chroot(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """See `Archives.remove_chroot`."""
        row: ChrootRow | None = self._farm.table("chroot").get((distroarchseries, pocket))
        if row is None:
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        builds = self._farm.table("build")
        attempts: Iterable[AttemptRow] = self._farm.table("attempt").values()
        users = sorted(
            one.build
            for one in attempts
            if one.outcome is None
            and one.chroot == row.alias
            and builds[one.build].distroarchseries == distroarchseries
        )
        if users:
            raise ChrootInUse(users)
        removed = self._chroot(row)
        self._farm.put("chroot", (distroarchseries, pocket), None)
        return removed

    def chroots(self) -> tuple[Chroot, ...]:
        """See `Archives.chroots`."""
        rows = (self._chroot(row) for row in self._farm.table("chroot").values())
        return tuple(sorted(rows, key=lambda chroot: (chroot.distroarchseries, chroot.pocket)))

    def add_source(self, source: NewSource) -> int:
        """See `Archives.add_source`."""
        dsc = dsc_of(source)
        self.check_component(source.component)
        rows = self._farm.table("source_release")
        for known in self._farm.sources_by_name.get((source.name, source.version), ()):
            if rows[known].dsc == dsc.sha256:
                return known
        number = self._farm.number("source_release")
        added = SourceRow(
            id=number,
            name=source.name,
            version=source.version,
            component=source.component,
            urgency=source.urgency,
            architectures=source.architectures,
            dsc=dsc.sha256,
            created=self._farm.now(),
        )
        self._farm.put("source_release", number, added)
        self._farm.put("source_file", number, tuple(sorted(source.files, key=lambda file: file.filename)))
        return number

    def source(self, source: int) -> Source:
        """See `Archives.source`."""
        row: SourceRow | None = self._farm.table("source_release").get(source)
        if row is None:
            raise UnknownSource(source)
        return Source(
            id=row.id,
            name=row.name,
            version=row.version,
            component=row.component,
            urgency=row.urgency,
            architectures=row.architectures,
            files=self._farm.table("source_file")[source],
            created=row.created,
        )

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
        """See `Archives.publish`."""
        self.check_component(component)
        one = self.source(source)
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

    def check_component(self, component: str) -> None:
        """See `Archives.check_component`."""
        known = self._farm.table("component")
        if component not in known:
            raise UnknownComponent(component, known=sorted(known))

    def _series_of(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        rows: Iterable[DistroArchSeries] = self._farm.table("distroarchseries").values()
        return self._in_order([one for one in rows if (one.distribution, one.series) == (distribution, series)])

    def _chroot(self, row: ChrootRow) -> Chroot:
        alias = MemoryLibrary(self._farm).alias(row.alias)
        series: DistroArchSeries = self._farm.table("distroarchseries")[row.distroarchseries]
        return Chroot(str(series), row.pocket, alias.filename, alias.sha256, alias.size, row.created, row.held_back)

"""Where sources come from and what they are built for: distributions, series, archives, chroots, sources, publications.

An archive's purpose decides whether its builds are trusted (everything but a PPA is) and never changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from psycopg.types.json import Jsonb

from storage.access.people import People
from storage.database.queries import load
from storage.database.repository import Repository, in_words
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
from storage.limits import LimitChanges, check_limits
from storage.records import (
    Archive,
    ArchivePurpose,
    Chroot,
    DistroArchSeries,
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

_SQL = load("archives")


class Archives(Repository):
    """Series, archives and what is published in them."""

    def families(self) -> tuple[ProcessorFamily, ...]:
        """Return all processor families, by name."""
        return self._rows(ProcessorFamily, _SQL["families"])

    def add_family(self, name: str, architectures: Sequence[str]) -> ProcessorFamily:
        """Register a family, or give it other architecture tags.

        Raises:
            BadValue: a name can't be, no tags, or a tag is another family's.
        """
        check_family(name, architectures, self.families())
        self._run(_SQL["set_family"], name=name, architectures=sorted(set(architectures)))
        return ProcessorFamily(name, tuple(sorted(set(architectures))))

    def family_of(self, architecture: str) -> str:
        """Return the processor family of an architecture tag, as `x86` for `i386`.

        Raises:
            UnknownFamily: no family has it.
        """
        return family_of(architecture, self.families())

    def add_series(
        self, distribution: str, series: str, architectures: Mapping[str, str], *, nominated_archindep: str
    ) -> tuple[DistroArchSeries, ...]:
        """Register a series (and its distribution), or add architectures to it; doing it twice changes nothing.

        Args:
            distribution: as `ubuntu`.
            series: as `hoary`.
            architectures: architecture tag → processor family, as `{"i386": "x86"}`.
            nominated_archindep: the tag that builds arch-indep packages.

        Returns:
            All architectures of the series.

        Raises:
            UnknownFamily: no such family.
            BadValue: a name can't be; the tag is none of its family's; the nominated one is none of the series'.
        """
        check_word("distribution", distribution)
        check_word("series", series)
        check_architectures(architectures, self.families())
        there = {one.architecture for one in self._series_of(distribution, series)}
        check_nominated(f"{distribution}/{series}", nominated_archindep, there | set(architectures))
        # The nomination refers to a row that is only then made: one transaction, or a savepoint in the caller's.
        with in_words(), self._conn.transaction():
            self._run(_SQL["add_distribution"], distribution=distribution)
            (made,) = self._values(
                _SQL["set_series"], distribution=distribution, series=series, nominated_archindep=nominated_archindep
            )
            for architecture, family in architectures.items():
                self._run(_SQL["add_architecture"], distroseries=made, architecture=architecture, family=family)
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
        """Change what is given; None leaves as it is.

        Args:
            distribution: as `ubuntu`.
            series: as `hoary`.
            status: which pockets are open to uploads follows from it (`actors.core.dispatch.pockets`).
            ppas: whether sources in PPAs are built for it.
            architectures: tags that `ppas` is said of; none: all of the series'.
            apt_sources: lines of a `sources.list`, for slaves that write their own.

        Returns:
            All architectures of the series.

        Raises:
            UnknownSeries: no such series, or it has no such architecture; nothing was written.
            BadValue: a line is none, or holds a password.
        """
        if apt_sources is not None:
            check_apt_sources(apt_sources)
        there = self._series_of(distribution, series)
        chosen = chosen_architectures(f"{distribution}/{series}", architectures, there, self.series())
        if status is not None:
            self._run(_SQL["change_series"], distribution=distribution, series=series, status=status)
        if apt_sources is not None:
            lines = list(apt_sources)
            self._run(_SQL["set_apt_sources"], distribution=distribution, series=series, lines=lines)
        if ppas is not None:
            self._run(_SQL["change_architectures"], ids=[one.id for one in chosen], ppas=ppas)
        return self._series_of(distribution, series)

    def remove_series(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        """Forget a series that nothing is of, and return what its architectures were.

        Raises:
            UnknownSeries: says what there is.
            SeriesInUse: it has builds, publications, packages or chroots; nothing was written.
        """
        there = self._series_of(distribution, series)
        chosen_architectures(f"{distribution}/{series}", (), there, self.series())
        builds, publications, packages, chroots = self._values(
            _SQL["series_uses"], distribution=distribution, series=series
        )
        uses = {"builds": builds, "publications": publications, "packages": packages, "chroots": chroots}
        if any(uses.values()):
            raise SeriesInUse(f"{distribution}/{series}", uses)
        self._run(_SQL["remove_series"], distribution=distribution, series=series)
        return there

    def series(self) -> tuple[DistroArchSeries, ...]:
        """Return all architectures of all series, by name."""
        return self._rows(DistroArchSeries, _SQL["series"])

    def distroarchseries(self, text: str) -> DistroArchSeries:
        """Return what `ubuntu/hoary/i386` names.

        Raises:
            UnknownSeries: says which part is unknown and what there is.
            BadValue: not three names with slashes.
        """
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
        """Register an archive.

        Args:
            name: as `primary`; of a PPA `owner/name`, or `name` alone with `owner`.
            distribution: it must have a series.
            purpose: decides trust; never changes.
            owner: person, made if unknown; PPAs need one.
            private: score +10000 (dispatch-rules §2).
            relative_score: added to the score of its builds.
            limits: of its builds, over the settings.
            tags: resource tags that each of its builds asks for.

        Raises:
            UnknownSeries: no such distribution.
            ArchiveExists: the name is taken.
            BadValue: a name, tag or limit can't be; a PPA without owner.
        """
        check_word("distribution", distribution)
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags)
        full, owner = archive_name(name, purpose, owner)
        found = self._values(_SQL["distribution"], distribution=distribution)
        if not found:
            raise UnknownSeries(distribution)
        if any(one.name == full and one.distribution == distribution for one in self.archives()):
            raise ArchiveExists(f"{distribution} has an archive {full!r} already")
        if owner is not None:
            People(self._conn).add(owner)
        added = self._values(
            _SQL["add_archive"],
            distribution=found[0],
            name=full,
            purpose=purpose,
            owner=owner,
            private=private,
            relative_score=relative_score,
            limits=Jsonb(dict(limits)),
            tags=sorted({*tags}),
        )
        if not added:
            raise ArchiveExists(f"{distribution} has an archive {full!r} already")
        return self.archive(distribution, full)

    def archives(self) -> tuple[Archive, ...]:
        """Return all archives, by distribution and name."""
        return self._rows(Archive, _SQL["archives"])

    def archive(self, distribution: str, name: str) -> Archive:
        """Return one archive.

        Raises:
            UnknownArchive: says what there is.
        """
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
        """Change what is given; None leaves as it is.

        Args:
            distribution: as `ubuntu`.
            name: as `primary`.
            enabled: whether its builds are dispatched.
            private: score +10000 (dispatch-rules §2).
            relative_score: added to the score of its builds.
            limits: of its builds that are claimed from now on; None takes one back.
            tags: resource tags that each of its builds asks for, instead of those before.

        Raises:
            UnknownArchive: nothing was written.
            BadValue: score or limit out of range, a tag that can't be.
        """
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags or ())
        before = self.archive(distribution, name)
        self._run(
            _SQL["change_archive"],
            archive=before.id,
            enabled=enabled,
            private=private,
            relative_score=relative_score,
            limits=Jsonb(dict(limits)),
            tags=None if tags is None else sorted({*tags}),
        )
        return self.archive(distribution, name)

    def set_chroot(self, distroarchseries: int, pocket: Pocket, alias: int) -> Chroot:
        """Register a chroot; one that is there is replaced, never doubled.

        Raises:
            UnknownSeries, UnknownFile: no such id.
        """
        arch, content = self._values(_SQL["exist"], distroarchseries=distroarchseries, alias=alias)
        if not arch:
            raise UnknownSeries(distroarchseries)
        if not content:
            raise UnknownFile(alias)
        self._run(_SQL["set_chroot"], distroarchseries=distroarchseries, pocket=pocket, alias=alias)
        return self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)[0]

    def use_chroot(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """Build in a chroot again that was held back.

        Raises:
            UnknownSeries: there is no chroot of its own for this pocket.
        """
        if not self._run(_SQL["use_chroot"], distroarchseries=distroarchseries, pocket=pocket):
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        return self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)[0]

    def remove_chroot(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """Forget a chroot, and return what it was; its tarball stays in the librarian as long as attempts tell of it.

        Raises:
            UnknownSeries: there is no chroot of its own for this pocket.
            ChrootInUse: builds run in it; nothing was written.
        """
        place = {"distroarchseries": distroarchseries, "pocket": pocket}
        there = self._rows(Chroot, _SQL["chroots"], id=distroarchseries, pocket=pocket)
        if not there:
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        with in_words():
            users = [build for (build,) in self._conn.execute(_SQL["chroot_users"], place)]
        if users:
            raise ChrootInUse(users)
        self._run(_SQL["remove_chroot"], **place)
        return there[0]

    def chroots(self) -> tuple[Chroot, ...]:
        """Return all chroots, by series and pocket."""
        return self._rows(Chroot, _SQL["chroots"], id=None, pocket=None)

    def add_source(self, source: NewSource) -> int:
        """Register a source package release; the very same one again is the one that is there.

        Returns:
            Its id.

        Raises:
            UnknownComponent: no such component.
            BadValue: no `.dsc` or more than one, a name, version or hash that can't be, a name twice.
        """
        dsc = dsc_of(source)
        self.check_component(source.component)
        columns = {"name": source.name, "version": source.version, "dsc": dsc.sha256}
        added = self._values(
            _SQL["add_source"],
            **columns,
            component=source.component,
            urgency=source.urgency,
            architectures=list(source.architectures),
        )
        if not added:
            (same,) = self._values(_SQL["same_source"], **columns)
            return int(same)
        self._run(
            _SQL["add_source_files"],
            source=added[0],
            filenames=[file.filename for file in source.files],
            sha256s=[file.sha256 for file in source.files],
            sizes=[file.size for file in source.files],
        )
        return int(added[0])

    def source(self, source: int) -> Source:
        """Return one source package release.

        Raises:
            UnknownSource: no such row.
        """
        found = self._row(Source, _SQL["source"], source=source)
        if found is None:
            raise UnknownSource(source)
        return found

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
        """Publish a source in an archive; twice is once, with the later component and status.

        What is older there stays as it is: `publishing.submission` supersedes it, and `storage.publications` says what is there.

        Args:
            source: id.
            archive: id; its distribution has `series`.
            series: its name, as `hoary`; or several.
            pocket: part of the series.
            component: may differ from the source's own.
            status: whether it counts already.

        Returns:
            Id of the publication, of several the first.

        Raises:
            UnknownSource, UnknownArchive, UnknownSeries, UnknownComponent: nothing was written.
            BadValue: this version with other content is published there.
        """
        self.check_component(component)
        names = [series] if isinstance(series, str) else list(dict.fromkeys(series))
        dsc, there, missing = self._values(_SQL["place"], source=source, archive=archive, series=names)
        if dsc is None:
            raise UnknownSource(source)
        if there is None:
            raise UnknownArchive(archive)
        if missing is not None or not names:
            raise UnknownSeries(missing)
        if self._values(_SQL["rival"], source=source, archive=archive):
            one = self.source(source)
            raise BadValue(
                f"{one.name} {one.version} is published in that archive with other content; give it another version"
            )
        (publication,) = self._values(
            _SQL["publish"],
            source=source,
            archive=archive,
            series=names,
            pocket=pocket,
            component=component,
            status=status,
        )
        return int(publication)

    def check_component(self, component: str) -> None:
        """Refuse a component that there is not.

        Raises:
            UnknownComponent: says which there are.
        """
        (known,) = self._values(_SQL["components"])
        if component not in known:
            raise UnknownComponent(component, known=known)

    def _series_of(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        return tuple(one for one in self.series() if (one.distribution, one.series) == (distribution, series))

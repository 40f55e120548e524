"""Where sources come from and what they are built for: distributions, series, archives, chroots, sources, publications.

An archive's purpose decides whether its builds are trusted (everything but a PPA is) and never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.queries import load
from storage.records import (
    Archive,
    ArchivePurpose,
    Chroot,
    DistroArchSeries,
    NewSource,
    Pocket,
    ProcessorFamily,
    PublishingStatus,
    Source,
)
from storage.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SQL = load("archives")


class Archives(Repository):
    """Series, archives and what is published in them."""

    def families(self) -> tuple[ProcessorFamily, ...]:
        """Return all processor families, by name."""
    def add_family(self, name: str, architectures: Sequence[str]) -> ProcessorFamily:
        """Register a family, or give it other architecture tags.

        Raises:
            BadValue: a name can't be, no tags, or a tag is another family's.
        """
    def family_of(self, architecture: str) -> str:
        """Return the processor family of an architecture tag, as `x86` for `i386`.

        Raises:
            UnknownFamily: no family has it.
        """
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
    def series(self) -> tuple[DistroArchSeries, ...]:
        """Return all architectures of all series, by name."""
    def distroarchseries(self, text: str) -> DistroArchSeries:
        """Return what `ubuntu/hoary/i386` names.

        Raises:
            UnknownSeries: says which part is unknown and what there is.
            BadValue: not three names with slashes.
        """
    def add_archive(  # noqa: PLR0913 - the columns of a row
        self,
        name: str,
        distribution: str,
        purpose: ArchivePurpose,
        *,
        owner: str | None = None,
        private: bool = False,
        relative_score: int = 0,
    ) -> Archive:
        """Register an archive.

        Args:
            name: as `primary`; of a PPA `owner/name`, or `name` alone with `owner`.
            distribution: it must have a series.
            purpose: decides trust; never changes.
            owner: person, made if unknown; PPAs need one.
            private: score +10000 (dispatch-rules §2).
            relative_score: added to the score of its builds.

        Raises:
            UnknownSeries: no such distribution.
            ArchiveExists: the name is taken.
            BadValue: a name can't be; a PPA without owner.
        """
    def archives(self) -> tuple[Archive, ...]:
        """Return all archives, by distribution and name."""
    def archive(self, distribution: str, name: str) -> Archive:
        """Return one archive.

        Raises:
            UnknownArchive: says what there is.
        """
    def set_chroot(self, distroarchseries: int, pocket: Pocket, alias: int) -> Chroot:
        """Register a chroot; one that is there is replaced, never doubled.

        Raises:
            UnknownSeries, UnknownFile: no such id.
        """
    def chroots(self) -> tuple[Chroot, ...]:
        """Return all chroots, by series and pocket."""
    def add_source(self, source: NewSource) -> int:
        """Register a source package release; the very same one again is the one that is there.

        Returns:
            Its id.

        Raises:
            UnknownComponent: no such component.
            BadValue: no `.dsc` or more than one, a name, version or hash that can't be, a name twice.
        """
    def source(self, source: int) -> Source:
        """Return one source package release.

        Raises:
            UnknownSource: no such row.
        """
    def publish(
        self,
        source: int,
        archive: int,
        series: str,
        pocket: Pocket,
        component: str,
        *,
        status: PublishingStatus = PublishingStatus.PUBLISHED,
    ) -> int:
        """Publish a source in an archive; twice is once, with the later component and status.

        Args:
            source: id.
            archive: id; its distribution has `series`.
            series: its name, as `hoary`.
            pocket: part of the series.
            component: may differ from the source's own.
            status: whether it counts already.

        Returns:
            Id of the publication.

        Raises:
            UnknownSource, UnknownArchive, UnknownSeries, UnknownComponent: nothing was written.
            BadValue: this version with other content is published there.
        """

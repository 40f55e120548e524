"""What sources are built for: distributions and their series, architectures and the processor families they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.database.queries import load
from storage.database.repository import Repository, in_words
from storage.errors import (
    SeriesInUse,
)
from storage.records import (
    DistroArchSeries,
    ProcessorFamily,
    SeriesStatus,
)
from storage.words.names import check_word
from storage.words.series import (
    check_apt_sources,
    check_architectures,
    check_family,
    check_nominated,
    chosen_architectures,
    family_of,
    named_series,
)

_SQL = load("series")


class Series(Repository):
    """Series, and the processor families of their architectures."""

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

    def add(
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

    def change(
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
        chosen = chosen_architectures(f"{distribution}/{series}", architectures, there, self.all())
        if status is not None:
            self._run(_SQL["change_series"], distribution=distribution, series=series, status=status)
        if apt_sources is not None:
            lines = list(apt_sources)
            self._run(_SQL["set_apt_sources"], distribution=distribution, series=series, lines=lines)
        if ppas is not None:
            self._run(_SQL["change_architectures"], ids=[one.id for one in chosen], ppas=ppas)
        return self._series_of(distribution, series)

    def remove(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        """Forget a series that nothing is of, and return what its architectures were.

        Raises:
            UnknownSeries: says what there is.
            SeriesInUse: it has builds, publications, packages or chroots; nothing was written.
        """
        there = self._series_of(distribution, series)
        chosen_architectures(f"{distribution}/{series}", (), there, self.all())
        builds, publications, packages, chroots = self._values(
            _SQL["series_uses"], distribution=distribution, series=series
        )
        uses = {"builds": builds, "publications": publications, "packages": packages, "chroots": chroots}
        if any(uses.values()):
            raise SeriesInUse(f"{distribution}/{series}", uses)
        self._run(_SQL["remove_series"], distribution=distribution, series=series)
        return there

    def all(self) -> tuple[DistroArchSeries, ...]:
        """Return all architectures of all series, by name."""
        return self._rows(DistroArchSeries, _SQL["series"])

    def named(self, text: str) -> DistroArchSeries:
        """Return what `ubuntu/hoary/i386` names.

        Raises:
            UnknownSeries: says which part is unknown and what there is.
            BadValue: not three names with slashes.
        """
        return named_series(text, self.all())

    def _series_of(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        return tuple(one for one in self.all() if (one.distribution, one.series) == (distribution, series))

"""The in-memory twin of `storage.series`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from storage.errors import (
    SeriesInUse,
)
from storage.memory.database import MemoryFarm
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


class MemorySeries:
    """The twin of `storage.series.Series`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def families(self) -> tuple[ProcessorFamily, ...]:
        """See `Series.families`."""
        return tuple(sorted(self._farm.table("processor_family").values(), key=lambda family: family.name))

    def add_family(self, name: str, architectures: Sequence[str]) -> ProcessorFamily:
        """See `Series.add_family`."""
        check_family(name, architectures, self.families())
        family = ProcessorFamily(name, tuple(sorted(set(architectures))))
        self._farm.put("processor_family", name, family)
        return family

    def family_of(self, architecture: str) -> str:
        """See `Series.family_of`."""
        return family_of(architecture, self.families())

    def add(
        self, distribution: str, series: str, architectures: Mapping[str, str], *, nominated_archindep: str
    ) -> tuple[DistroArchSeries, ...]:
        """See `Series.add`."""
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
        """See `Series.change`."""
        if apt_sources is not None:
            check_apt_sources(apt_sources)
        there = self._series_of(distribution, series)
        chosen = chosen_architectures(f"{distribution}/{series}", architectures, there, self.all())
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

    def remove(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        """See `Series.remove`."""
        there = self._series_of(distribution, series)
        chosen_architectures(f"{distribution}/{series}", (), there, self.all())
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

    def all(self) -> tuple[DistroArchSeries, ...]:
        """See `Series.all`."""
        return self._in_order(self._farm.table("distroarchseries").values())

    def _in_order(self, rows: Iterable[DistroArchSeries]) -> tuple[DistroArchSeries, ...]:
        status = self._farm.table("distroseries")
        return tuple(
            replace(one, status=status.get((one.distribution, one.series), SeriesStatus.DEVELOPMENT))
            for one in sorted(rows, key=lambda one: (one.distribution, one.series, one.architecture))
        )

    def named(self, text: str) -> DistroArchSeries:
        """See `Series.named`."""
        return named_series(text, self.all())

    def _series_of(self, distribution: str, series: str) -> tuple[DistroArchSeries, ...]:
        rows: Iterable[DistroArchSeries] = self._farm.table("distroarchseries").values()
        return self._in_order([one for one in rows if (one.distribution, one.series) == (distribution, series)])

"""The in-memory twin of `storage.chroots`."""

from __future__ import annotations

from collections.abc import Iterable

from storage.errors import (
    ChrootInUse,
    UnknownFile,
    UnknownSeries,
)
from storage.memory.database import MemoryFarm
from storage.memory.library import MemoryLibrary
from storage.memory.rows import AttemptRow, ChrootRow
from storage.records import (
    Chroot,
    DistroArchSeries,
    Pocket,
)


class MemoryChroots:
    """The twin of `storage.chroots.Chroots`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def set(self, distroarchseries: int, pocket: Pocket, alias: int) -> Chroot:
        """See `Chroots.set`."""
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

    def use(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """See `Chroots.use`."""
        row: ChrootRow | None = self._farm.table("chroot").get((distroarchseries, pocket))
        if row is None:
            raise UnknownSeries(f"chroot {pocket} of series {distroarchseries}")
        self._farm.put("chroot", (distroarchseries, pocket), row._replace(held_back=""))
        return self._chroot(self._farm.table("chroot")[distroarchseries, pocket])

    def remove(self, distroarchseries: int, pocket: Pocket) -> Chroot:
        """See `Chroots.remove`."""
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

    def all(self) -> tuple[Chroot, ...]:
        """See `Chroots.all`."""
        rows = (self._chroot(row) for row in self._farm.table("chroot").values())
        return tuple(sorted(rows, key=lambda chroot: (chroot.distroarchseries, chroot.pocket)))

    def _chroot(self, row: ChrootRow) -> Chroot:
        alias = MemoryLibrary(self._farm).alias(row.alias)
        series: DistroArchSeries = self._farm.table("distroarchseries")[row.distroarchseries]
        return Chroot(str(series), row.pocket, alias.filename, alias.sha256, alias.size, row.created, row.held_back)

"""The in-memory twin of `storage.making`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from storage.limits import LimitChanges, changed, check_limits
from storage.memory.builds import MemoryBuilds
from storage.memory.database import MemoryFarm
from storage.memory.rows import BuildRow
from storage.records import Build, Pocket
from storage.words.names import check_tags


class MemoryMaking:
    """The twin of `storage.making.Making`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm
        self._builds = MemoryBuilds(farm)

    def there(self, source: int, archive: int) -> Mapping[int, Build]:
        """See `Making.there`."""
        rows: list[BuildRow] = [
            row for row in self._farm.table("build").values() if (row.source, row.archive) == (source, archive)
        ]
        latest = {row.distroarchseries: row.id for row in sorted(rows, key=lambda row: row.again)}
        return {series: self._builds.get(build) for series, build in latest.items()}

    def builds(self, builds: Sequence[int]) -> tuple[Build, ...]:
        """See `Making.builds`."""
        return tuple(self._builds.get(build) for build in builds if build in self._farm.table("build"))

    def create(
        self,
        source: int,
        archive: int,
        pocket: Pocket,
        series: Mapping[int, bool],
        *,
        again: bool = False,
        tags: Sequence[str] = (),
        limits: LimitChanges = MappingProxyType({}),
    ) -> tuple[int, ...]:
        """See `Making.create`."""
        check_limits(limits)
        made = tuple(
            self._builds.create(source, one, archive, pocket, arch_indep=arch_indep, again=again, tags=tags).id
            for one, arch_indep in series.items()
        )
        self.change(made, limits)
        return made

    def queue(self, builds: Sequence[int]) -> None:
        """See `Making.queue`."""
        for build in builds:
            self._builds.queue(build)

    def change(self, builds: Sequence[int], limits: LimitChanges, tags: Sequence[str] | None = None) -> None:
        """See `Making.change`."""
        check_limits(limits)
        check_tags(tags or ())
        for build in builds:
            row: BuildRow = self._farm.table("build")[build]
            wanted = row.tags if tags is None else tuple(sorted({*tags}))
            self._farm.put("build", build, row._replace(limits=changed(row.limits, limits), tags=wanted))

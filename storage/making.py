"""Builds of one source, many at once: made, given other limits and tags, and queued.

What is to be made is decided in `actors.core.sources.making`; `storage.builds` has everything else about builds, and
`create` and `queue` for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from psycopg.types.json import Jsonb

from storage.database.queries import load
from storage.database.repository import Repository, in_words, portions
from storage.errors import (
    BadValue,
    BuildExists,
    DatabaseUnreachable,
    ImpossibleMove,
    StorageError,
    UnknownArchive,
    UnknownBuild,
    UnknownSeries,
    UnknownSource,
)
from storage.events.log import Events
from storage.limits import LimitChanges, check_limits
from storage.records import Build, BuildState, Pocket
from storage.words.jobs import build_exists
from storage.words.names import check_tags

_SQL = load("making")
_BUILDS = load("builds")["builds"]


class Making(Repository):
    """Builds of one source in one archive."""

    def there(self, source: int, archive: int) -> Mapping[int, Build]:
        """Return the builds that there are, by id of their distroarchseries: where there are several, the latest."""
        found = self._pairs(_SQL["there"], source=source, archive=archive, series=None)
        builds = {one.id: one for one in self.builds(tuple(found.values()))}
        return {series: builds[build] for series, build in found.items()}

    def builds(self, builds: Sequence[int]) -> tuple[Build, ...]:
        """Return builds in the order of these ids; unknown ones are left out."""
        rows = {
            one.id: one
            for some in portions(builds)
            for one in self._rows(Build, _BUILDS, ids=some, state=None, limit=None)
        }
        return tuple(rows[build] for build in builds if build in rows)

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
        """Register builds, NEEDSBUILD and without jobs; return their ids in the order of `series`.

        Args:
            source: id.
            archive: id.
            pocket: whose chroot and place in the order they get.
            series: id of a distroarchseries → whether arch-indep packages are built there as well.
            again: a person asks for other builds of what there are builds of.
            tags: resource tags that they ask for, beside those of the archive.
            limits: of their own.

        Raises:
            UnknownSource, UnknownSeries, UnknownArchive: no such id.
            BadValue: series and archive are of different distributions; a tag or limit that can't be.
            BuildExists: carries the id of the build that there is; the transaction has others and is to be undone.
        """
        check_tags(tags)
        check_limits(limits)
        have, place, missing, stranger = self._values(
            _SQL["parents"], source=source, series=list(series), archive=archive
        )
        if not have:
            raise UnknownSource(source)
        if not place:
            raise UnknownArchive(archive)
        if missing is not None:
            raise UnknownSeries(missing)
        if stranger is not None:
            raise BadValue("the series is of another distribution than the archive: give an archive of the series' own")
        made: dict[int, int] = {}
        for some in portions(tuple(series)):
            made |= self._pairs(
                _SQL["create"],
                source=source,
                series=some,
                archive=archive,
                pocket=pocket,
                arch_indep=[series[one] for one in some],
                again=again,
                tags=sorted({*tags}),
                limits=Jsonb(dict(limits)),
            )
        for one in series:
            if one not in made:
                raise self._exists(source, archive, one)
        return tuple(made[one] for one in series)

    def queue(self, builds: Sequence[int]) -> None:
        """Give builds jobs; those that ended are tried again, on any builder.  A build that has a job keeps it.

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: one is FULLYBUILT; the transaction has jobs of others and is to be undone.
        """
        for some in portions(builds):
            states = {build: BuildState(state) for build, state in self._pairs(_SQL["hold"], builds=some).items()}
            for build in some:
                if build not in states:
                    raise UnknownBuild(build)
                if states[build] is BuildState.FULLYBUILT:
                    story = Events(self._conn).story(f"build:{build}")
                    raise ImpossibleMove(build, states[build], BuildState.NEEDSBUILD, story)
            ended = [build for build in some if states[build].final]
            if ended:
                self._run(_SQL["forget_failures"], builds=ended)
                self._run(_SQL["retry"], builds=ended)
            self._run(_SQL["queue"], builds=some)

    def change(self, builds: Sequence[int], limits: LimitChanges, tags: Sequence[str] | None = None) -> None:
        """Give builds limits of their own (None takes one back) and, unless None, other resource tags.

        Raises:
            BadValue: a limit out of range, a tag that can't be; nothing was written.
        """
        check_limits(limits)
        check_tags(tags or ())
        if builds and (limits or tags is not None):
            wanted = None if tags is None else sorted({*tags})
            self._run(_SQL["change"], builds=list(builds), limits=Jsonb(dict(limits)), tags=wanted)

    def _exists(self, source: int, archive: int, series: int) -> StorageError:
        found = self._pairs(_SQL["there"], source=source, archive=archive, series=[series])
        if not found:
            return DatabaseUnreachable("the build was made by somebody else just now; try again")
        (there,) = self.builds(tuple(found.values()))
        return BuildExists(build_exists(there), there.id)

    def _pairs(self, query: bytes, **params: object) -> dict[Any, Any]:
        """Return rows of two columns as a dictionary."""
        with in_words():
            return dict(self._conn.execute(query, params).fetchall())

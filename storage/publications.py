"""What is and was published in archives: table `publication`.

What a new version does to older ones is decided in `actors.core.sources.publishing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import BadValue, UnknownArchive, UnknownSeries, UnknownSource
from storage.records import Pocket, Publication, PublishingStatus
from storage.sources import Sources

_SQL = load("publications")


class Publications(Repository):
    """Sources in archives."""

    def hold(self, archive: int, name: str) -> None:
        """Wait until nobody else publishes or withdraws sources of this name in the archive; to the transaction's end.

        Args:
            archive: id.
            name: of sources.
        """
        self._values(_SQL["hold"], archive=archive, name=name)

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

        What is older there stays as it is: `publishing.submission` supersedes it.

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
        Sources(self._conn).check_component(component)
        names = [series] if isinstance(series, str) else list(dict.fromkeys(series))
        dsc, there, missing = self._values(_SQL["place"], source=source, archive=archive, series=names)
        if dsc is None:
            raise UnknownSource(source)
        if there is None:
            raise UnknownArchive(archive)
        if missing is not None or not names:
            raise UnknownSeries(missing)
        if self._values(_SQL["rival"], source=source, archive=archive):
            one = Sources(self._conn).get(source)
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

    def all(self, archive: int, name: str | None = None, *, live: bool = False) -> tuple[Publication, ...]:
        """Return what is and was published in an archive, by name, series and pocket, oldest first.

        Args:
            archive: id.
            name: of sources; None: all.
            live: only what counts: PENDING and PUBLISHED.
        """
        return self._rows(Publication, _SQL["publications"], archive=archive, name=name, live=live)

    def set_status(self, publications: Sequence[int], status: PublishingStatus) -> None:
        """Have publications count, or not count any more; unknown ids are passed over."""
        self._run(_SQL["set_status"], publications=list(publications), status=status)

    def waiting_for_nothing(self, publications: Sequence[int]) -> int:
        """Return how many builds wait for these publications, where their source does not count in any pocket any more.

        The running farm makes them SUPERSEDED (`BuildQueue.supersede`).
        """
        (waiting,) = self._values(_SQL["waiting_for_nothing"], publications=list(publications))
        return int(waiting)

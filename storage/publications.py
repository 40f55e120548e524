"""What is and was published in archives: table `publication`.  `storage.archives` adds to it.

What a new version does to older ones is decided in `actors.core.sources.publishing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.database.queries import load
from storage.database.repository import Repository
from storage.records import Publication, PublishingStatus

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

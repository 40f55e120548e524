"""What a farm has done lately: how long builds took, and how many came.  For capacity planning; changes nothing."""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository
from storage.records import Arrivals, PastBuild

_SQL = load("history")


class History(Repository):
    """The last days of the farm."""

    def past_builds(self, days: int, most: int) -> tuple[PastBuild, ...]:
        """Return builds that succeeded in the last `days`, the latest first, at most so many."""
        return self._rows(PastBuild, _SQL["past_builds"], days=days, most=most)

    def arrivals(self, days: int) -> tuple[Arrivals, ...]:
        """Return how many builds came in the last `days`, by family and trust."""
        return self._rows(Arrivals, _SQL["arrivals"], days=days)

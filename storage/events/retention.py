"""How long the event log remembers: old events go, but for those that tell how something that is there became what it is.

The log is append-only for everybody else.  What stays is what invariant 8 asks for: of builds, jobs, builders, chroots
and the farm the insert, and the last event of each column.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from storage.database.connection import acting, connect
from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import StorageError

log = logging.getLogger("buildd_master.storage.retention")

_SQL = load("retention")

_PORTION: Final = 1000  #: events looked at by one statement: it must not keep a busy database from anything
WHO: Final = "retention"  #: who, in the database's list of connections
_EVERY: Final = 60.0  #: seconds between two looks
_PORTIONS: Final = 5  #: a look: some milliseconds each, and together more than any farm writes in that time
_ROUND: Final = 86_400.0  #: seconds between two times that all old events are looked at


class Retention(Repository):
    """Forgets."""

    def forget(self, older_than: timedelta, after: int = 0, limit: int = _PORTION) -> int | None:
        """Look at some old events, and forget those that tell nothing any more; in a transaction.

        Args:
            older_than: age of the youngest that may go.
            after: only those with a greater id: where the last look ended.
            limit: at most so many.

        Returns:
            The last one that was looked at; None: there are no more.
        """
        self._values(_SQL["allow"])
        (last,) = self._values(_SQL["forget"], seconds=older_than.total_seconds(), after=after, limit=limit)
        return None if last is None else int(last)


class Forgetting:
    """Has the log forget what is old, a little at a time, whenever its owner has a look."""

    def __init__(self) -> None:
        """Begin with the first look."""
        self._after = 0
        self._due = 0.0

    def look(self, dsn: str, days: int, at: float) -> None:
        """Forget some of what is old, if it is time; a database that is away is tried again.

        Args:
            dsn: where the log is.
            days: that events are kept; 0: for ever.
            at: monotonic seconds.
        """
        if not days or at < self._due:
            return
        self._due = at + _EVERY
        try:
            if self._look(dsn, timedelta(days=days)):
                self._after, self._due = 0, at + _ROUND
        except StorageError as error:
            log.warning("old events can't be forgotten now: %s", error)

    def _look(self, dsn: str, age: timedelta) -> bool:
        """Look at some portions; return whether these were the last ones."""
        with connect(dsn, application=WHO) as connection:
            for _ in range(_PORTIONS):
                with acting(connection, WHO):
                    last = Retention(connection).forget(age, self._after)
                if last is None:
                    return True
                self._after = last
        return False

"""Builds that wait for dependencies: those in MANUALDEPWAIT that say what they miss (dispatch-rules §7).

What is satisfied by what is published is decided in `actors.core.dependencies.waits`, and when to look in
`actors.queue.dependency_waits`.  A build without stored dependencies waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Cursor

from storage.database.queries import load
from storage.database.repository import Repository, in_words
from storage.records import DependencyWait, Settled, Settlement

_SQL = load("dependency_waits")


class DependencyWaits(Repository):
    """Who waits for what."""

    def waits(
        self, builds: Iterable[int] | None = None, *, after: int = 0, most_builds: int = 1000, most_lines: int = 100_000
    ) -> tuple[DependencyWait, ...]:
        """Return builds that wait, by id.

        Args:
            builds: only these; None: all.
            after: only those with a higher id.
            most_builds: at most so many.
            most_lines: no more builds than it takes to have so many dependencies.
        """
        return self._rows(
            DependencyWait,
            _SQL["waits"],
            builds=None if builds is None else sorted(builds),
            after=after,
            most_builds=most_builds,
            most_lines=most_lines,
        )

    def awaiting(self, packages: Iterable[int]) -> tuple[int, ...]:
        """Return the builds that one of these packages may help, by id: they see it, and wait for a name it goes by."""
        with in_words():
            rows = self._conn.execute(_SQL["awaiting"], {"packages": sorted(packages)}).fetchall()
        return tuple(build for (build,) in rows)

    def of_job(self, job: int) -> int | None:
        """Return the build in MANUALDEPWAIT that had this job last; None: none had."""
        found = self._values(_SQL["of_job"], job=job)
        return found[0] if found else None

    def settle(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Store what remains of each build's dependencies, and queue those again of which nothing does.

        Returns:
            Those that were written; left out are builds that somebody has changed meanwhile, or is about to.
        """
        if not settlements:
            return ()
        with in_words():
            with self._conn.pipeline():
                cursors = [self._settle(one) for one in settlements]
            rows = [row for cursor in cursors for row in cursor.fetchall()]
        return tuple(Settled(build, job) for build, job in rows)

    def _settle(self, one: Settlement) -> Cursor[Any]:
        self._conn.execute(_SQL["because"], {"why": one.why})
        return self._conn.execute(
            _SQL["settle"], {"build": one.build, "before": list(one.before), "remaining": list(one.remaining)}
        )

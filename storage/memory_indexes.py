"""What the in-memory database finds without looking through whole tables, and what it need not read again.

Kept by `storage.memory_rows`, which says of every row that is put what it was and what it is now; used by the twins of
the repositories.  Knows the columns that it looks at, and no rule.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final
from uuid import UUID

from storage.records import Job, Outcome

#: table → index of it, and what a row is found by there; many rows may be found by the same
_SHARED: Final[Mapping[str, tuple[str, Callable[[Any], Hashable]]]] = {
    "source_release": ("sources_by_name", lambda row: (row.name, row.version)),
    "build": ("builds_by_source", lambda row: row.source),
    "publication": ("places_by_source", lambda row: row.source),
}
#: further tables that a `Job` is read from
_OF_JOBS: Final = frozenset({"archive", "chroot", "distroarchseries", "distroseries", "library_content", "source_file"})


class Indexes:
    """The indexes.

    Attributes:
        open_by_build, open_by_builder: open attempts.
        jobs_by_build: jobs.
        sources_by_name: releases of this name and version.
        builds_by_source, places_by_source: builds and publications of a release.
        exclusions: attempts that exclude, or did, their build from their builder.
        attempts_by_build, attempts_by_builder: all attempts, in the order in which they came.
        releases_by_name: all releases of a name.
        chroot_results: how often which builder's attempts in a chroot ended how.
        jobs_seen: what was read of a job and is still so (see `storage.memory_queue`).
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.open_by_build: dict[int, UUID] = {}
        self.open_by_builder: dict[str, UUID] = {}
        self.jobs_by_build: dict[int, int] = {}
        self.sources_by_name: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.builds_by_source: defaultdict[int, list[int]] = defaultdict(list)
        self.places_by_source: defaultdict[int, list[Hashable]] = defaultdict(list)
        self.exclusions: defaultdict[int, list[UUID]] = defaultdict(list)
        self.attempts_by_build: defaultdict[int, list[UUID]] = defaultdict(list)
        self.attempts_by_builder: defaultdict[str, list[UUID]] = defaultdict(list)
        self.releases_by_name: defaultdict[str, list[int]] = defaultdict(list)
        self.chroot_results: defaultdict[int, Counter[tuple[str, Outcome]]] = defaultdict(Counter)
        self.jobs_seen: dict[int, Job] = {}

    def note(self, table: str, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of any table
        """Take in that a row of a table is another now; None: there is none."""
        shared = _SHARED.get(table)
        if shared is not None and (before is None or row is None):
            name, found_by = shared
            _keep(getattr(self, name), found_by(row or before), key, there=row is not None)
        if table == "source_release" and (before is None or row is None):
            _keep(self.releases_by_name, (row or before).name, key, there=row is not None)
        if table == "attempt":
            self._note_attempt(key, before, row)
        elif table == "buildqueue":
            if before is not None:
                self.jobs_by_build.pop(before.build, None)
            if row is not None:
                self.jobs_by_build[row.build] = row.id
            self.jobs_seen.pop((row or before).id, None)
        elif table == "build":
            self._forget_job(row or before)
        elif table in {"publication", "source_release"}:
            one = row or before
            for build in self.builds_by_source.get(one.id if table == "source_release" else one.source, ()):
                self.jobs_seen.pop(self.jobs_by_build.get(build, 0), None)
        elif table in _OF_JOBS and (table != "library_content" or before is not None):  # files that come: those jobs
            self.jobs_seen.clear()  # are read again and again

    def _note_attempt(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `attempt`
        for index, column in ((self.open_by_build, "build"), (self.open_by_builder, "builder")):
            _keep_open(index, column, before, row)
        for one, there in ((before, False), (row, True)):
            if one is not None and one.excluded_until is not None:
                _keep(self.exclusions, one.build, key, there=there)
        for one, there in ((before, False), (row, True)):
            if one is not None and one.outcome is not None:
                self.chroot_results[one.chroot][one.builder, one.outcome] += 1 if there else -1
        if before is None or row is None:
            _keep(self.attempts_by_build, (row or before).build, key, there=row is not None)
            _keep(self.attempts_by_builder, (row or before).builder, key, there=row is not None)
        self.jobs_seen.pop((row or before).job, None)

    def _forget_job(self, build: Any) -> None:  # noqa: ANN401 - a row of `build`
        self.jobs_seen.pop(self.jobs_by_build.get(build.id, 0), None)


def _keep(index: defaultdict[Any, list[Any]], name: Hashable, key: Hashable, *, there: bool) -> None:
    """Keep a row findable by what it shares with others, in the order in which they came."""
    if there:
        index[name].append(key)
        return
    index[name].remove(key)
    if not index[name]:
        del index[name]


def _keep_open(index: dict[Any, UUID], column: str, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `attempt`
    """Keep open attempts findable."""
    if before is not None and index.get(getattr(before, column)) == before.id:
        del index[getattr(before, column)]
    if after is not None and after.outcome is None:
        index[getattr(after, column)] = after.id

"""What the in-memory database finds without looking through whole tables, and what it need not read again.

Kept by `storage.memory.database`, which says of every row that is put what it was and what it is now; used by the twins of
the repositories.  Knows the columns that it looks at, and no rule.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from storage.records import ArchivePurpose, Attempt, Builder, BuildState, Job, Outcome

_NAMES: Final = re.compile(r"(?:^|[|,])\s*([a-z0-9][a-z0-9+.-]*)")  #: as the database's `relation_names` finds them


class Indexes:
    """The indexes.

    Attributes:
        open_by_build, open_by_builder: open attempts; open_rows: their rows, by build.
        jobs_by_build: jobs.
        sources_by_name: releases of this name and version.
        builds_by_source, places_by_source: builds and publications of a release.
        exclusions: attempts that exclude, or did, their build from their builder.
        attempts_by_build, attempts_by_builder: all attempts, in the order in which they came.
        releases_by_name: all releases of a name.
        chroot_results: how often which builder's attempts in a chroot ended how.
        primaries: primary archives of a distribution.
        files_by_build: aliases of the results of a build.
        packages_by_offer: binary packages by all names by which they may be depended on.
        builds_by_need: builds that wait for dependencies, by the names in these; all of them by the empty one.
        jobs_seen, attempts_seen, builders_seen: what was read of a job, an open attempt or all builders, and is still so
            (`storage.memory.build_queue`, `storage.memory.builders`).
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.open_by_build: dict[int, UUID] = {}
        self.open_by_builder: dict[str, UUID] = {}
        self.open_rows: dict[int, Any] = {}
        self.jobs_by_build: dict[int, int] = {}
        self.sources_by_name: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.builds_by_source: defaultdict[int, list[int]] = defaultdict(list)
        self.places_by_source: defaultdict[int, list[Hashable]] = defaultdict(list)
        self.exclusions: defaultdict[int, list[UUID]] = defaultdict(list)
        self.attempts_by_build: defaultdict[int, list[UUID]] = defaultdict(list)
        self.attempts_by_builder: defaultdict[str, list[UUID]] = defaultdict(list)
        self.releases_by_name: defaultdict[str, list[int]] = defaultdict(list)
        self.chroot_results: defaultdict[int, Counter[tuple[str, Outcome]]] = defaultdict(Counter)
        self.primaries: defaultdict[str, list[int]] = defaultdict(list)
        self.files_by_build: defaultdict[int, list[int]] = defaultdict(list)
        self.packages_by_offer: defaultdict[str, list[int]] = defaultdict(list)
        self.builds_by_need: defaultdict[str, list[int]] = defaultdict(list)
        self.jobs_seen: dict[int, Job] = {}
        self.builders_seen: tuple[Builder, ...] | None = None
        self.attempts_seen: dict[UUID, Attempt] = {}

    def note(self, table: str, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of any table
        """Take in that a row of a table is another now; None: there is none."""
        noted = _NOTED.get(table)
        if noted is not None:
            noted(self, key, before, row)

    def _note_attempt(self, key: Any, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `attempt`
        self.attempts_seen.pop(key, None)
        if before is not None and self.open_by_build.get(before.build) == before.id:
            del self.open_by_build[before.build], self.open_rows[before.build]
        if before is not None and self.open_by_builder.get(before.builder) == before.id:
            del self.open_by_builder[before.builder]
        if row is not None and row.outcome is None:
            self.open_by_build[row.build] = self.open_by_builder[row.builder] = row.id
            self.open_rows[row.build] = row
        for one, there in ((before, False), (row, True)):
            if one is None:
                continue
            if one.excluded_until is not None:
                _keep(self.exclusions, one.build, key, there=there)
                self.jobs_seen.pop(one.job, None)
            if one.outcome is not None:
                self.chroot_results[one.chroot][one.builder, one.outcome] += 1 if there else -1
        _keep_both(self.attempts_by_build, "build", key, before, row)
        _keep_both(self.attempts_by_builder, "builder", key, before, row)

    def _note_job(self, _key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `buildqueue`
        if before is not None:
            self.jobs_by_build.pop(before.build, None)
        if row is not None:
            self.jobs_by_build[row.build] = row.id
        self.jobs_seen.pop((row or before).id, None)

    def _note_build(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `build`
        _keep_both(self.builds_by_source, "source", key, before, row)
        for one, there in ((before, False), (row, True)):
            if one is not None and one.dependencies and one.state == BuildState.MANUALDEPWAIT:
                for name in ("", *relation_names(one.dependencies)):
                    _keep(self.builds_by_need, name, key, there=there)
        self.jobs_seen.pop(self.jobs_by_build.get((row or before).id, 0), None)

    def _note_source(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `source_release`
        one = row or before
        if before is None or row is None:
            _keep(self.sources_by_name, (one.name, one.version), key, there=row is not None)
        _keep_both(self.releases_by_name, "name", key, before, row)
        self._forget_jobs_of(one.id)

    def _note_files(self, key: Any, _before: Any, _row: Any) -> None:  # noqa: ANN401 - rows of `source_file`
        self._forget_jobs_of(key)

    def _note_publication(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `publication`
        _keep_both(self.places_by_source, "source", key, before, row)
        self._forget_jobs_of((row or before).source)

    def _note_file(self, _key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `build_file`
        if before is None or row is None:
            _keep(self.files_by_build, (row or before).build, (row or before).alias, there=row is not None)

    def _note_package(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `binary_package`
        for one, there in ((before, False), (row, True)):
            for name in () if one is None else one.offers:
                _keep(self.packages_by_offer, name, key, there=there)

    def _note_builder(self, _key: Hashable, _before: Any, _row: Any) -> None:  # noqa: ANN401 - rows of `builder`
        self.builders_seen = None

    def _note_runtime(self, _key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `builder_runtime`
        if before is None or row is None or _in_force(before) != _in_force(row):
            self.builders_seen = None

    def _note_archive(self, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of `archive`
        if (row or before).purpose == ArchivePurpose.PRIMARY:
            _keep_both(self.primaries, "distribution", key, before, row)
        self.jobs_seen.clear()

    def _note_content(self, _key: Hashable, before: Any, _row: Any) -> None:  # noqa: ANN401 - rows of `library_content`
        if before is not None:  # jobs that wait for files that come are read again and again
            self.jobs_seen.clear()

    def _forget_jobs(self, _key: Hashable, _before: Any, _row: Any) -> None:  # noqa: ANN401 - rows of any table
        self.jobs_seen.clear()

    def _forget_jobs_of(self, source: int) -> None:
        for build in self.builds_by_source.get(source, ()):
            self.jobs_seen.pop(self.jobs_by_build.get(build, 0), None)


_NOTED: Final[Mapping[str, Callable[[Indexes, Hashable, Any, Any], None]]] = {
    "archive": Indexes._note_archive,  # noqa: SLF001 - its own
    "attempt": Indexes._note_attempt,  # noqa: SLF001
    "buildqueue": Indexes._note_job,  # noqa: SLF001
    "build": Indexes._note_build,  # noqa: SLF001
    "source_release": Indexes._note_source,  # noqa: SLF001
    "builder": Indexes._note_builder,  # noqa: SLF001
    "builder_runtime": Indexes._note_runtime,  # noqa: SLF001
    "source_file": Indexes._note_files,  # noqa: SLF001
    "publication": Indexes._note_publication,  # noqa: SLF001
    "build_file": Indexes._note_file,  # noqa: SLF001
    "binary_package": Indexes._note_package,  # noqa: SLF001
    "library_content": Indexes._note_content,  # noqa: SLF001
    # a `Job` is read from these, too
    **dict.fromkeys(
        ("chroot", "distroarchseries", "distroseries"),
        Indexes._forget_jobs,  # noqa: SLF001
    ),
}


def relation_names(relations: Iterable[str]) -> frozenset[str]:
    """Return the package names in relations, as the database's function of this name does."""
    return frozenset(name for relation in relations for name in _NAMES.findall(relation))


def _keep(index: defaultdict[Any, list[Any]], name: Hashable, key: Hashable, *, there: bool) -> None:
    """Keep a row findable by what it shares with others, in the order in which they came."""
    if there:
        index[name].append(key)
        return
    index[name].remove(key)
    if not index[name]:
        del index[name]


def _in_force(runtime: Any) -> tuple[object, ...]:  # noqa: ANN401 - a row of `builder_runtime`
    """Return what a `Builder` shows of what its actor and its verdicts say."""
    return runtime.quarantined_until, runtime.quarantine_why, runtime.frozen_until, runtime.failures_in_row


def _keep_both(index: defaultdict[Any, list[Any]], column: str, key: Hashable, before: Any, row: Any) -> None:  # noqa: ANN401 - rows of any table
    """Keep a row findable by a column of it that never changes."""
    if before is None or row is None:
        _keep(index, getattr(row or before, column), key, there=row is not None)

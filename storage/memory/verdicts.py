"""The in-memory twin of `storage.verdicts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from statistics import median
from typing import Final
from uuid import UUID

from storage.errors import UnknownAttempt
from storage.memory.database import MemoryFarm
from storage.memory.rows import AttemptRow, BuildRow, ChrootRow, JobRow
from storage.records import BuilderRuntime, BuildResult, BuildState, Evidence, Outcome

_COMPLETED: Final = frozenset({Outcome.OK, Outcome.PACKAGEFAIL, Outcome.DEPFAIL})
_FAILED: Final = frozenset({Outcome.BUILDERFAIL, Outcome.LOST, Outcome.ABORTED})
_FAILED_HERE: Final = _FAILED | {Outcome.CHROOTFAIL}  #: one that left the job where it was had been the builder's
_RESULTS: Final = _COMPLETED | {Outcome.UNVERIFIED, Outcome.TIMEOUT}
_TRYING: Final = frozenset({BuildState.NEEDSBUILD, BuildState.BUILDING, BuildState.GATHERING})
_LATELY: Final = 5


class MemoryVerdicts:
    """The twin of `storage.verdicts.Verdicts`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def evidence(self, attempt: UUID) -> Evidence:
        """See `Verdicts.evidence`."""
        this: AttemptRow | None = self._farm.table("attempt").get(attempt)
        if this is None:
            raise UnknownAttempt(attempt)
        counting = _COMPLETED | _FAILED | {Outcome.BREACH}
        before = next((row for row in self._latest(this.builder) if row.outcome in counting), None)
        mine = [row for row in self._of_build(this.build) if row.job == this.job and row.outcome is not None]
        charged = sorted((row for row in mine if row.charged), key=lambda row: row.ended or row.started)
        results = self._farm.chroot_results[this.chroot]
        elsewhere = {outcome for (name, outcome), times in results.items() if times and name != this.builder}
        return Evidence(
            builder=this.builder,
            failures_in_row=self._runtime(this.builder).failures_in_row,
            after_completed=before is not None and before.outcome in _COMPLETED,
            failed_here=any(row.builder == this.builder and row.outcome in _FAILED_HERE for row in mine),
            charged_on=tuple(row.builder for row in charged),
            chroot_works_elsewhere=bool(elsewhere & _COMPLETED),
            chroot_fails_elsewhere=Outcome.CHROOTFAIL in elsewhere,
        )

    def count_failure(self, builder: str, failures: int, quarantine: float | None, why: str) -> None:
        """See `Verdicts.count_failure`."""
        if builder not in self._farm.table("builder"):
            return
        runtime = replace(self._runtime(builder), failures_in_row=failures)
        if quarantine is not None:
            until = self._farm.now() + timedelta(seconds=quarantine)
            runtime = replace(runtime, quarantined_until=until, quarantine_why=why)
        self._put(runtime)

    def completed(self, builder: str) -> None:
        """See `Verdicts.completed`."""
        if builder in self._farm.table("builder"):
            self._put(replace(self._runtime(builder), failures_in_row=0))

    def release(self, builder: str) -> None:
        """See `Verdicts.release`."""
        if builder in self._farm.table("builder"):
            now = self._farm.now()
            self._put(replace(self._runtime(builder), quarantined_until=None, quarantine_why="", cleared=now))

    def requeue_charged(self, builder: str, why: str) -> tuple[int, ...]:
        """See `Verdicts.requeue_charged`."""
        charged = {row.build for row in self._latest(builder) if row.charged}
        return self._requeue([row for row in self._builds(charged) if row.state == BuildState.INFRAFAILED], why)

    def results(self, builders: Sequence[str], most: int) -> dict[str, tuple[BuildResult, ...]]:
        """See `Verdicts.results`."""
        return {name: tuple(self._results(name, most)) for name in builders}

    def try_elsewhere(self, builder: str, builds: Sequence[int], seconds: float, why: str) -> tuple[int, ...]:
        """See `Verdicts.try_elsewhere`."""
        again = []
        until = self._farm.now() + timedelta(seconds=seconds)
        for row in self._builds(set(builds)):
            closed = [one for one in self._of_build(row.id) if one.outcome is not None]
            last = max(closed, key=lambda one: one.ended or one.started, default=None)
            if row.state != BuildState.FAILEDTOBUILD or row.suspect is not None or last is None:
                continue
            if last.builder == builder:
                for one in closed:
                    if one.builder == builder:
                        self._farm.put("attempt", one.id, one._replace(excluded_until=until))
                again.append(row)
        return self._requeue(again, why, suspect=builder)

    def tried_elsewhere(self, builder: str, build: int) -> int:
        """See `Verdicts.tried_elsewhere`."""
        row: BuildRow = self._farm.table("build")[build]
        if row.suspect == builder:
            self._farm.put("build", build, row._replace(suspect=None))
        builds = {one.build: self._farm.table("build")[one.build] for one in self._latest(builder)}
        return sum(one.suspect == builder and one.id != build and one.state in _TRYING for one in builds.values())

    def mark_builder_induced(self, builder: str, build: int) -> None:
        """See `Verdicts.mark_builder_induced`."""
        for row in list(self._of_build(build)):
            if row.builder == builder and row.outcome == Outcome.PACKAGEFAIL:
                self._farm.put("attempt", row.id, row._replace(builder_induced=True))

    def hold_back_chroot(self, attempt: UUID, why: str) -> bool:
        """See `Verdicts.hold_back_chroot`."""
        alias = self._farm.table("attempt")[attempt].chroot
        chroots: dict[object, ChrootRow] = self._farm.table("chroot")
        held = [(key, row) for key, row in chroots.items() if row.alias == alias and not row.held_back]
        for key, row in held:
            self._farm.put("chroot", key, row._replace(held_back=why))
        return bool(held)

    # --- rows ---

    def _results(self, builder: str, most: int) -> Iterator[BuildResult]:
        cleared = self._runtime(builder).cleared if builder in self._farm.table("builder") else None
        found = 0
        for row in self._latest(builder):
            if found == most or (cleared is not None and row.ended is not None and row.ended <= cleared):
                return
            if row.outcome is not None and row.outcome in _RESULTS:
                found += 1
                yield BuildResult(builder, row.build, row.outcome, _seconds(row), self._expected(row.build))

    def _expected(self, build: int) -> float | None:
        this: BuildRow = self._farm.table("build")[build]
        name = self._farm.table("source_release")[this.source].name
        builds: dict[int, BuildRow] = self._farm.table("build")
        done = [
            row
            for source in self._farm.releases_by_name[name]
            for build in self._farm.builds_by_source.get(source, ())
            if builds[build].distroarchseries == this.distroarchseries
            for row in self._of_build(build)
            if row.outcome == Outcome.OK
        ]
        lately = sorted(done, key=lambda row: row.ended or row.started, reverse=True)[:_LATELY]
        return median(map(_seconds, lately)) if lately else None

    def _requeue(self, rows: Sequence[BuildRow], why: str, suspect: str | None = None) -> tuple[int, ...]:
        for row in sorted(rows, key=lambda one: one.id):
            columns = {} if suspect is None else {"suspect": suspect}
            self._farm.move_build(row.id, BuildState.NEEDSBUILD, why=why, **columns)
            if row.id not in self._farm.jobs_by_build:
                job = self._farm.number("buildqueue")
                self._farm.put("buildqueue", job, JobRow(job, row.id, self._farm.now()))
        return tuple(sorted(row.id for row in rows))

    def _latest(self, builder: str) -> Iterator[AttemptRow]:
        rows: dict[UUID, AttemptRow] = self._farm.table("attempt")  # a builder's attempts end in the order they began
        attempts = reversed(self._farm.attempts_by_builder.get(builder, ()))
        return (row for one in attempts if (row := rows[one]).outcome is not None)

    def _of_build(self, build: int) -> Iterator[AttemptRow]:
        rows = self._farm.table("attempt")
        return (rows[one] for one in self._farm.attempts_by_build.get(build, ()))

    def _builds(self, builds: set[int]) -> Iterator[BuildRow]:
        rows: dict[int, BuildRow] = self._farm.table("build")
        return (rows[build] for build in sorted(builds) if build in rows)

    def _runtime(self, builder: str) -> BuilderRuntime:
        runtime: BuilderRuntime = self._farm.table("builder_runtime")[builder]
        return runtime

    def _put(self, runtime: BuilderRuntime) -> None:
        self._farm.put("builder_runtime", runtime.builder, runtime)


def _seconds(row: AttemptRow) -> float:
    return (row.ended - (row.accepted or row.started)).total_seconds() if row.ended is not None else 0.0

"""The in-memory twin of `storage.build_queue`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from storage.errors import (
    ImpossibleMove,
    UnknownAttempt,
    UnknownJob,
)
from storage.limits import in_force
from storage.memory.database import MemoryFarm
from storage.memory.library import MemoryLibrary
from storage.memory.queue_records import LIVE, attempt_of, chroot_of, job_of, order_of, place_of
from storage.memory.rows import AttemptRow, BuildFileRow, BuildRow, JobRow
from storage.records import (
    Archive,
    Attempt,
    Builder,
    BuilderRuntime,
    BuildOrder,
    BuildState,
    Job,
    Limits,
    Outcome,
    Pick,
    Recording,
    Result,
)
from storage.transitions import path_to
from storage.words.jobs import check_score


class MemoryBuildQueue:
    """The twin of `storage.build_queue.BuildQueue`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def jobs(self, ids: Sequence[int] | None = None) -> tuple[Job, ...]:
        """See `BuildQueue.jobs`."""
        rows = self._farm.table("buildqueue")
        wanted = rows if ids is None else set(ids) & set(rows)
        return tuple(self._job(rows[job]) for job in sorted(wanted))

    def job(self, job: int) -> Job:
        """See `BuildQueue.job`."""
        row = self._farm.table("buildqueue").get(job)
        if row is None:
            raise UnknownJob(job)
        return self._job(row)

    def jobs_of(self, sources: Sequence[int], archives: Sequence[int]) -> frozenset[int]:
        """See `BuildQueue.jobs_of`."""
        builds = self._farm.table("build")
        of_sources = {build for source in sources for build in self._farm.builds_by_source.get(source, ())}
        in_archives = {build.id for build in builds.values() if build.archive in archives} if archives else set()
        jobs = self._farm.jobs_by_build
        return frozenset(jobs[build] for build in of_sources | in_archives if build in jobs)

    def supersede(self, jobs: Sequence[int]) -> frozenset[int]:
        """See `BuildQueue.supersede`."""
        gone = {
            job.id: job.build
            for job in self.jobs(jobs)
            if job.builder is None and job.state is BuildState.NEEDSBUILD and not job.published
        }
        for build in gone.values():
            why = "its source is not published in the archive any more"
            self._farm.move_build(build, BuildState.SUPERSEDED, why=why)
        return frozenset(gone)

    def claim(self, picks: Sequence[Pick], limits: Limits) -> tuple[Attempt, ...]:
        """See `BuildQueue.claim`."""
        claimed = (self._claim_one(pick, limits) for pick in picks)
        return tuple(attempt_of(row) for row in claimed if row is not None)

    def order(self, attempt: UUID) -> BuildOrder:
        """See `BuildQueue.order`."""
        found = self.orders((attempt,))
        if not found:
            raise UnknownAttempt(attempt)
        return found[0]

    def orders(self, attempts: Sequence[UUID]) -> tuple[BuildOrder, ...]:
        """See `BuildQueue.orders`."""
        held = [row for attempt in set(attempts) if (row := self._held(attempt)) is not None]
        return tuple(order_of(self._farm, row) for row in sorted(held, key=lambda row: (row.started, row.id)))

    def attempt(self, attempt: UUID) -> Attempt:
        """See `BuildQueue.attempt`."""
        row = self._farm.table("attempt").get(attempt)
        if row is None:
            raise UnknownAttempt(attempt)
        return attempt_of(row)

    def open_attempts(self) -> tuple[Attempt, ...]:
        """See `BuildQueue.open_attempts`."""
        return tuple(map(self._seen, self._open()))

    def started(self, attempt: UUID) -> bool:
        """See `BuildQueue.started`."""
        row = self._held(attempt)
        if row is None:
            return False
        if row.accepted is None:
            now = self._farm.now()
            building = self._farm.table("build")[row.build].state == BuildState.BUILDING
            deadline = now + timedelta(seconds=row.wall_seconds) if building else row.deadline
            self._farm.put("attempt", attempt, row._replace(accepted=now, deadline=deadline))
        return True

    def gathering(self, attempt: UUID, seconds: float = 3600.0) -> bool:
        """See `BuildQueue.gathering`."""
        row = self._held(attempt)
        if row is None:
            return False
        if self._farm.table("build")[row.build].state == BuildState.BUILDING:
            self._farm.move_build(row.build, BuildState.GATHERING)
            deadline = self._farm.now() + timedelta(seconds=seconds)
            self._farm.put("attempt", attempt, row._replace(deadline=deadline))
        return True

    def prolong(self, attempt: UUID, seconds: float) -> None:
        """See `BuildQueue.prolong`."""
        row = self._held(attempt)
        if row is None or self._farm.table("build")[row.build].state == BuildState.CANCELLING:
            return
        deadline = max(row.deadline, self._farm.now() + timedelta(seconds=seconds))
        self._farm.put("attempt", attempt, row._replace(deadline=deadline))

    def record(
        self,
        attempt: UUID,
        outcome: Outcome,
        text: str,
        *,
        build_state: BuildState,
        unpublished_state: BuildState | None = None,
        keep_job: bool,
        dependencies: Sequence[str] = (),
        results: Sequence[Result] = (),
        log: Result | None = None,
        exclude_seconds: float | None = None,
        cool_seconds: float | None = None,
        charged: bool = False,
        verdict: str = "",
    ) -> Recording:
        """See `BuildQueue.record`."""
        row: AttemptRow | None = self._farm.table("attempt").get(attempt)
        if row is None:
            return Recording.FENCED
        if row.outcome is not None:
            return Recording.ALREADY if row.outcome == outcome else Recording.FENCED
        now = self._farm.table("build")[row.build].state
        build: BuildRow = self._farm.table("build")[row.build]
        place = place_of(self._farm, build, self._farm.table("distroarchseries")[build.distroarchseries])
        published = place is not None and place.status in LIVE
        wanted = build_state if published or unpublished_state is None else unpublished_state
        path = path_to(now, wanted)
        if not path:
            raise ImpossibleMove(row.build, now, wanted, self._farm.story(f"build:{row.build}"))
        for state in path[:-1]:
            self._farm.move_build(row.build, state, why=text)
        if path[-1] == build_state:
            for result in results:
                alias = self._name(result)
                self._farm.put("build_file", (row.build, alias), BuildFileRow(row.build, attempt, alias))
        logged = None if log is None else self._name(log)
        ended = self._farm.now()
        excluded = None if exclude_seconds is None else ended + timedelta(seconds=exclude_seconds)
        closed = row._replace(
            outcome=outcome,
            ended=ended,
            text=text,
            log=logged,
            excluded_until=excluded,
            charged=charged,
            verdict=verdict,
        )
        self._farm.put("attempt", attempt, closed)
        self._farm.move_build(row.build, path[-1], why=text, dependencies=tuple(dependencies))
        if keep_job:
            self._cool_down(row.job, cool_seconds)
        else:
            self._farm.remove_job(row.job)
        return Recording.RECORDED

    def fence(self, attempt: UUID, text: str) -> Recording:
        """See `BuildQueue.fence`."""
        stands = self.attempt(attempt).outcome
        if self._farm.fence_attempt(attempt, text):
            return Recording.RECORDED
        return Recording.ALREADY if stands == Outcome.FENCED else Recording.FENCED

    def release(self, attempt: UUID) -> Recording:
        """See `BuildQueue.release`."""
        return self.fence(attempt, "given back before it was started")

    def remove(self, job: int) -> bool:
        """See `BuildQueue.remove`."""
        return self._farm.remove_job(job)

    def set_manual_score(self, job: int, score: int | None) -> Job:
        """See `BuildQueue.set_manual_score`."""
        check_score(score)
        self.job(job)
        self._farm.put("buildqueue", job, self._farm.table("buildqueue")[job]._replace(manual_score=score))
        return self.job(job)

    def overdue(self, grace_seconds: float = 0.0) -> tuple[Attempt, ...]:
        """See `BuildQueue.overdue`."""
        limit = self._farm.now() - timedelta(seconds=grace_seconds)
        late = [row for row in self._farm.open_rows.values() if row.deadline <= limit]
        return tuple(map(attempt_of, sorted(late, key=lambda row: (row.deadline, row.id))))

    def _cool_down(self, job: int, seconds: float | None) -> None:
        row: JobRow | None = self._farm.table("buildqueue").get(job)
        if row is None:
            return
        if seconds is None:
            cooled = row._replace(cooling_until=None, given_back=0) if row.given_back else row
        else:
            until = self._farm.now() + timedelta(seconds=seconds)
            cooled = row._replace(cooling_until=until, given_back=min(row.given_back, 1_000_000) + 1)
        self._farm.put("buildqueue", job, cooled)

    def _seen(self, row: AttemptRow) -> Attempt:
        """Return the record of an open attempt; it is made once of each state of its row."""
        seen = self._farm.attempts_seen.get(row.id)
        if seen is None:
            seen = self._farm.attempts_seen[row.id] = attempt_of(row)
        return seen

    def _open(self) -> list[AttemptRow]:
        return sorted(self._farm.open_rows.values(), key=lambda row: (row.started, row.id))

    def _held(self, attempt: UUID) -> AttemptRow | None:
        row: AttemptRow | None = self._farm.table("attempt").get(attempt)
        return row if row is not None and row.outcome is None else None

    def _claim_one(self, pick: Pick, settings: Limits) -> AttemptRow | None:
        farm = self._farm
        row: JobRow | None = farm.table("buildqueue").get(pick.job)
        builder: Builder | None = farm.table("builder").get(pick.builder)
        if row is None or builder is None or row.builder is not None:
            return None
        build: BuildRow = farm.table("build")[row.build]
        job = self._job(row)
        chroot = chroot_of(farm, build)
        now = farm.now()
        if (
            build.state != BuildState.NEEDSBUILD
            or chroot is None
            or chroot.held_back
            or pick.builder in farm.open_by_builder
            or not job.archive_enabled
            or job.cooling_until is not None
            or not _takes(builder, farm.table("builder_runtime")[builder.name], job, now)
        ):
            return None
        archive: Archive = farm.table("archive")[build.archive]
        limits, limits_from = in_force(settings, archive.limits, build.limits)
        wall_seconds = float(limits.wall_seconds or 0)
        attempt = AttemptRow(
            id=farm.new_uuid(),
            build=build.id,
            job=row.id,
            builder=builder.name,
            session=pick.session,
            trusted=job.trusted,
            chroot=chroot.alias,
            wall_seconds=wall_seconds,
            started=now,
            deadline=now + timedelta(seconds=wall_seconds),
            limits=limits,
            limits_from=limits_from,
        )
        farm.put("attempt", attempt.id, attempt)
        farm.move_build(build.id, BuildState.BUILDING, started=now, why="")
        farm.put("buildqueue", row.id, row._replace(builder=builder.name, buildstart=now))
        return attempt

    def _job(self, row: JobRow) -> Job:
        seen = self._farm.jobs_seen.get(row.id)
        if seen is not None:
            return seen
        job = job_of(self._farm, row)
        timed = row.cooling_until is not None or row.build in self._farm.exclusions
        if not job.files_missing and not timed:  # nothing changes the rest but another row
            self._farm.jobs_seen[row.id] = job
        return job

    def _name(self, file: Result) -> int:
        return MemoryLibrary(self._farm).name(file.content, file.filename)


def _takes(builder: Builder, runtime: BuilderRuntime, job: Job, now: datetime) -> bool:
    """Return whether the claim's second look leaves the builder to the job."""
    quarantined = runtime.quarantined_until is not None and runtime.quarantined_until > now
    called = not builder.manual if job.assigned is None else job.assigned == builder.name
    return (
        builder.builderok
        and not quarantined
        and called
        and builder.trusted == job.trusted
        and job.family in builder.families
        and {*builder.restricted_tags} <= {*job.tags} <= {*builder.tags, *builder.restricted_tags}
    )

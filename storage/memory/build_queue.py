"""The in-memory twin of `storage.build_queue`; its neighbours are in `storage.memory`."""

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
from storage.memory.archives import MemoryLibrary
from storage.memory.rows import (
    AttemptRow,
    BuildFileRow,
    BuildRow,
    ChrootRow,
    JobRow,
    MemoryFarm,
    PublicationRow,
    SourceRow,
)
from storage.records import (
    Archive,
    ArchivePurpose,
    Attempt,
    Builder,
    BuilderRuntime,
    BuildOrder,
    BuildState,
    DistroArchSeries,
    Exclusion,
    Job,
    Limits,
    NamedFile,
    Outcome,
    Pick,
    Pocket,
    PublishingStatus,
    Recording,
    Result,
    SeriesStatus,
)
from storage.transitions import path_to
from storage.words.jobs import check_score

_LIVE = frozenset({PublishingStatus.PENDING, PublishingStatus.PUBLISHED})


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
        return tuple(self._order(row) for row in sorted(held, key=lambda row: (row.started, row.id)))

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
        published = place is not None and place.status in _LIVE
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
        chroot = _chroot_of(farm, build)
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
        job = self._read(row)
        timed = row.cooling_until is not None or row.build in self._farm.exclusions
        if not job.files_missing and not timed:  # nothing changes the rest but another row
            self._farm.jobs_seen[row.id] = job
        return job

    def _read(self, row: JobRow) -> Job:
        farm = self._farm
        build: BuildRow = farm.table("build")[row.build]
        archive: Archive = farm.table("archive")[build.archive]
        source: SourceRow = farm.table("source_release")[build.source]
        series: DistroArchSeries = farm.table("distroarchseries")[build.distroarchseries]
        files: tuple[NamedFile, ...] = farm.table("source_file")[source.id]
        contents = farm.table("library_content")
        place, chroot = place_of(farm, build, series), _chroot_of(farm, build)
        now = farm.now()
        until: dict[str, datetime] = {}
        attempts = farm.table("attempt")
        for attempt in (attempts[one] for one in farm.exclusions.get(build.id, ())):
            if attempt.excluded_until is not None and attempt.excluded_until > now:
                until[attempt.builder] = max(attempt.excluded_until, until.get(attempt.builder, now))
        return Job(
            id=row.id,
            build=build.id,
            source=source.name,
            version=source.version,
            family=series.family,
            trusted=archive.purpose != ArchivePurpose.PPA,
            archive=archive.name,
            distroarchseries=str(series),
            pocket=build.pocket,
            component=source.component if place is None else place.component,
            urgency=source.urgency,
            purpose=archive.purpose,
            owner=archive.owner,
            private=archive.private,
            relative_score=archive.relative_score,
            manual_score=row.manual_score,
            created=row.created,
            builder=row.builder,
            buildstart=row.buildstart,
            state=build.state,
            has_chroot=chroot is not None and not chroot.held_back,
            chroot_held_back="" if chroot is None else chroot.held_back,
            archive_enabled=archive.enabled,
            files_missing=tuple(sorted(file.filename for file in files if file.sha256 not in contents)),
            series_status=farm.table("distroseries").get(
                (series.distribution, series.series), SeriesStatus.DEVELOPMENT
            ),
            published=place is not None and place.status in _LIVE,
            tags=tuple(sorted({*archive.tags, *build.tags})),
            assigned=row.assigned,
            cooling_until=row.cooling_until if row.cooling_until is not None and row.cooling_until > now else None,
            given_back=row.given_back,
            excluded=tuple(Exclusion(builder, end) for builder, end in sorted(until.items())),
            suspect=build.suspect,
        )

    def _order(self, row: AttemptRow) -> BuildOrder:
        farm = self._farm
        build: BuildRow = farm.table("build")[row.build]
        source: SourceRow = farm.table("source_release")[build.source]
        series: DistroArchSeries = farm.table("distroarchseries")[build.distroarchseries]
        files: tuple[NamedFile, ...] = farm.table("source_file")[source.id]
        chroot = MemoryLibrary(farm).alias(row.chroot)
        archive: Archive = farm.table("archive")[build.archive]
        contents, place = farm.table("library_content"), place_of(farm, build, series)
        return BuildOrder(
            attempt=row.id,
            job=row.job,
            build=build.id,
            builder=row.builder,
            trusted=row.trusted,
            build_type="binarypackage",
            source=source.name,
            version=source.version,
            chroot=NamedFile(chroot.filename, chroot.sha256, chroot.size, chroot.sha1),
            files=tuple(
                NamedFile(
                    file.filename, file.sha256, file.size, contents[file.sha256].sha1 if file.sha256 in contents else ""
                )
                for file in files
            ),
            dsc=next(file.filename for file in files if file.sha256 == source.dsc),
            architecture=series.architecture,
            arch_indep=build.arch_indep,
            suite=series.series,
            wall_seconds=row.wall_seconds,
            limits=row.limits,
            limits_from=row.limits_from,
            component=source.component if place is None else place.component,
            purpose=archive.purpose,
            private=archive.private,
            apt_sources=series.apt_sources,
        )

    def _name(self, file: Result) -> int:
        return MemoryLibrary(self._farm).name(file.content, file.filename)


def attempt_of(row: AttemptRow) -> Attempt:
    """Return the record of an attempt's row."""
    return Attempt(
        id=row.id,
        build=row.build,
        job=row.job,
        builder=row.builder,
        session=row.session,
        trusted=row.trusted,
        started=row.started,
        deadline=row.deadline,
        ended=row.ended,
        outcome=row.outcome,
        text=row.text,
        log=row.log,
        limits=row.limits,
        limits_from=row.limits_from,
        charged=row.charged,
        builder_induced=row.builder_induced,
        verdict=row.verdict,
    )


def _chroot_of(farm: MemoryFarm, build: BuildRow) -> ChrootRow | None:
    """Return the chroot for the build's series and pocket, or the series' RELEASE."""
    chroots = farm.table("chroot")
    own: ChrootRow | None = chroots.get((build.distroarchseries, build.pocket))
    return own if own is not None else chroots.get((build.distroarchseries, Pocket.RELEASE))


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


def place_of(farm: MemoryFarm, build: BuildRow, series: DistroArchSeries) -> PublicationRow | None:
    """Return where the build's source is published in its archive and series; what counts goes before what doesn't."""
    places = farm.table("publication")
    rows: list[PublicationRow] = [
        row
        for key in farm.places_by_source.get(build.source, ())
        if ((row := places[key]).archive, row.series) == (build.archive, series.series)
    ]
    if len(rows) == 1:
        return rows[0]
    return max(rows, key=lambda row: (row.status in _LIVE, row.pocket == build.pocket, row.id), default=None)

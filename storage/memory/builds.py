"""The in-memory twin of `storage.builds`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from storage.errors import (
    BadValue,
    BuildExists,
    ImpossibleMove,
    NotQueued,
    NotRunning,
    StillRunning,
    UnknownArchive,
    UnknownBuild,
    UnknownBuilder,
    UnknownSeries,
    UnknownSource,
)
from storage.limits import LimitChanges, changed, check_limits
from storage.memory.build_queue import MemoryBuildQueue
from storage.memory.database import MemoryFarm
from storage.memory.library import MemoryLibrary
from storage.memory.queue_records import attempt_of, place_of
from storage.memory.rows import BuildRow, JobRow, SourceRow
from storage.records import (
    Alias,
    Archive,
    ArchivePurpose,
    Attempt,
    Build,
    BuildState,
    DistroArchSeries,
    Job,
    Pocket,
)
from storage.transitions import HELD, may_move
from storage.words.jobs import build_exists, given_back
from storage.words.names import check_tags


class MemoryBuilds:
    """The twin of `storage.builds.Builds`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def create(
        self,
        source: int,
        distroarchseries: int,
        archive: int,
        pocket: Pocket,
        *,
        arch_indep: bool,
        again: bool = False,
        tags: Sequence[str] = (),
    ) -> Build:
        """See `Builds.create`."""
        check_tags(tags)
        farm = self._farm
        if source not in farm.table("source_release"):
            raise UnknownSource(source)
        if archive not in farm.table("archive"):
            raise UnknownArchive(archive)
        if distroarchseries not in farm.table("distroarchseries"):
            raise UnknownSeries(distroarchseries)
        if farm.table("archive")[archive].distribution != farm.table("distroarchseries")[distroarchseries].distribution:
            raise BadValue("the series is of another distribution than the archive: give an archive of the series' own")
        there = self.find(source, distroarchseries, archive)
        if there is not None and not again:
            raise BuildExists(build_exists(there), there.id)
        number = 0 if there is None else farm.table("build")[there.id].again + 1
        row = BuildRow(farm.number("build"), source, archive, distroarchseries, pocket, arch_indep, farm.now(), number)
        row = row._replace(tags=tuple(sorted({*tags})))
        farm.put("build", row.id, row)
        return self.get(row.id)

    def queue(self, build: int) -> Job:
        """See `Builds.queue`."""
        row = self._row(build)
        if row.state == BuildState.FULLYBUILT:
            raise self._impossible(row, BuildState.NEEDSBUILD)
        if row.state.final:
            self._forget_failures(build)
            self._farm.move_build(build, BuildState.NEEDSBUILD, why="")
        if build not in self._farm.jobs_by_build:
            job = self._farm.number("buildqueue")
            self._farm.put("buildqueue", job, JobRow(job, build, self._farm.now()))
        return self.job(build)

    def job(self, build: int) -> Job:
        """See `Builds.job`."""
        job = self._farm.jobs_by_build.get(build)
        if job is None:
            raise NotQueued(build, self._row(build).state)
        return MemoryBuildQueue(self._farm).job(job)

    def retry(self, build: int) -> Job:
        """See `Builds.retry`."""
        row = self._row(build)
        if row.state == BuildState.CANCELLING:
            raise self._impossible(row, BuildState.NEEDSBUILD)
        if row.state in HELD:
            raise StillRunning(build, row.state)
        job = self._farm.jobs_by_build.get(build)
        if job is not None:
            self._forget_failures(build)
            waiting: JobRow = self._farm.table("buildqueue")[job]
            self._farm.put("buildqueue", job, waiting._replace(cooling_until=None, given_back=0))
        return self.queue(build)

    def give_back(self, build: int, why: str = "", *, exclude_seconds: float | None = None) -> Job:
        """See `Builds.give_back`."""
        row = self._row(build)
        held = self._farm.open_by_build.get(build)
        if held is None:
            raise NotRunning(build, row.state)
        if not may_move(row.state, BuildState.NEEDSBUILD):
            raise self._impossible(row, BuildState.NEEDSBUILD)
        if exclude_seconds is not None:
            until = self._farm.now() + timedelta(seconds=exclude_seconds)
            self._farm.put("attempt", held, self._farm.table("attempt")[held]._replace(excluded_until=until))
        self._farm.fence_attempt(held, given_back(why))
        return self.job(build)

    def rescore(self, build: int, score: int | None) -> Job:
        """See `Builds.rescore`."""
        return MemoryBuildQueue(self._farm).set_manual_score(self.job(build).id, score)

    def assign(self, build: int, builder: str | None) -> Job:
        """See `Builds.assign`."""
        if builder is not None and builder not in self._farm.table("builder"):
            raise UnknownBuilder(builder)
        self._row(build)
        job = self.job(build).id
        self._farm.put("buildqueue", job, self._farm.table("buildqueue")[job]._replace(assigned=builder))
        return self.job(build)

    def get(self, build: int) -> Build:
        """See `Builds.get`."""
        farm = self._farm
        row = self._row(build)
        archive: Archive = farm.table("archive")[row.archive]
        source: SourceRow = farm.table("source_release")[row.source]
        series: DistroArchSeries = farm.table("distroarchseries")[row.distroarchseries]
        held = farm.open_by_build.get(build)
        place = place_of(farm, row, series)
        return Build(
            id=row.id,
            source=source.name,
            version=source.version,
            archive=archive.name,
            distroarchseries=str(series),
            architecture=series.architecture,
            family=series.family,
            pocket=row.pocket,
            component=source.component if place is None else place.component,
            urgency=source.urgency,
            trusted=archive.purpose != ArchivePurpose.PPA,
            arch_indep=row.arch_indep,
            state=row.state,
            dependencies=row.dependencies,
            why=row.why,
            created=row.created,
            started=row.started,
            ended=row.ended,
            builder=None if held is None else farm.table("attempt")[held].builder,
            limits=row.limits,
            tags=row.tags,
            owner=archive.owner,
            private=archive.private,
        )

    def list(self, state: BuildState | None = None, limit: int = 50) -> tuple[Build, ...]:
        """See `Builds.list`."""
        rows = sorted(self._farm.table("build").values(), key=lambda row: -row.id)
        return tuple(self.get(row.id) for row in rows if state is None or row.state == state)[:limit]

    def of_kind(
        self, state: BuildState, *, archive: int | None = None, series: tuple[str, str] | None = None
    ) -> tuple[Build, ...]:
        """See `Builds.of_kind`."""
        arches: dict[int, DistroArchSeries] = self._farm.table("distroarchseries")
        rows: list[BuildRow] = sorted(self._farm.table("build").values(), key=lambda row: row.id)
        return tuple(
            self.get(row.id)
            for row in rows
            if row.state == state
            and archive in {None, row.archive}
            and series in {None, (arches[row.distroarchseries].distribution, arches[row.distroarchseries].series)}
        )

    def find(self, source: int, distroarchseries: int, archive: int) -> Build | None:
        """See `Builds.find`."""
        builds: dict[int, BuildRow] = self._farm.table("build")
        rows = [builds[build] for build in self._farm.builds_by_source.get(source, ())]
        found = [row for row in rows if (row.distroarchseries, row.archive) == (distroarchseries, archive)]
        return self.get(max(found, key=lambda row: row.again).id) if found else None

    def change_limits(self, build: int, limits: LimitChanges) -> Build:
        """See `Builds.change_limits`."""
        check_limits(limits)
        row = self._row(build)
        self._farm.put("build", build, row._replace(limits=changed(row.limits, limits)))
        return self.get(build)

    def cancel(self, build: int, why: str = "") -> BuildState:
        """See `Builds.cancel`."""
        row = self._row(build)
        if row.state in {BuildState.CANCELLED, BuildState.CANCELLING}:
            return row.state
        wanted = BuildState.CANCELLING if row.state in HELD else BuildState.CANCELLED
        if not may_move(row.state, wanted):
            raise self._impossible(row, wanted)
        self._farm.move_build(build, wanted, why=why or "cancelled")
        return wanted

    def set_state(self, build: int, state: BuildState, why: str = "") -> Build:
        """See `Builds.set_state`."""
        row = self._row(build)
        if state in HELD or not may_move(row.state, state):
            raise self._impossible(row, state)
        if state != row.state:
            self._farm.move_build(build, state, why=why or f"set to {state} by an operator")
        if row.state.final and state == BuildState.NEEDSBUILD:
            self.queue(build)
        return self.get(build)

    def files(self, build: int) -> tuple[Alias, ...]:
        """See `Builds.files`."""
        library = MemoryLibrary(self._farm)
        rows = self._farm.table("build_file").values()
        found = (library.alias(row.alias) for row in rows if row.build == build)
        return tuple(sorted(found, key=lambda alias: alias.filename))

    def attempts(self, build: int) -> tuple[Attempt, ...]:
        """See `Builds.attempts`."""
        rows = [row for row in self._farm.table("attempt").values() if row.build == build]
        return tuple(map(attempt_of, sorted(rows, key=lambda row: row.started)))

    def log(self, build: int) -> Alias | None:
        """See `Builds.log`."""
        logs = [attempt.log for attempt in self.attempts(build) if attempt.log is not None]
        return MemoryLibrary(self._farm).alias(logs[-1]) if logs else None

    def _row(self, build: int) -> BuildRow:
        row: BuildRow | None = self._farm.table("build").get(build)
        if row is None:
            raise UnknownBuild(build)
        return row

    def _forget_failures(self, build: int) -> None:
        for row in tuple(self._farm.table("attempt").values()):
            if row.build == build and row.excluded_until is not None:
                self._farm.put("attempt", row.id, row._replace(excluded_until=None))

    def _impossible(self, row: BuildRow, wanted: BuildState) -> ImpossibleMove:
        return ImpossibleMove(row.id, row.state, wanted, self._farm.story(f"build:{row.id}"))

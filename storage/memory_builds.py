"""The in-memory twin of `storage.builds`; its neighbours are in `storage.memory`."""

from __future__ import annotations

from dataclasses import replace

from storage.errors import (
    BadValue,
    BuildExists,
    ImpossibleMove,
    UnknownArchive,
    UnknownBuild,
    UnknownSeries,
    UnknownSource,
)
from storage.limits import LimitChanges, changed, check_limits
from storage.memory_archives import MemoryLibrary
from storage.memory_queue import MemoryBuildQueue, attempt_of
from storage.memory_rows import BuildRow, JobRow, MemoryFarm, SourceRow
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


class MemoryBuilds:
    """The twin of `storage.builds.Builds`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def create(
        self, source: int, distroarchseries: int, archive: int, pocket: Pocket, *, arch_indep: bool, again: bool = False
    ) -> Build:
        """See `Builds.create`."""
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
            raise BuildExists(
                f"{there.source} {there.version} has a build for {there.distroarchseries} in {there.archive}:"
                f" build {there.id}, {there.state}; retry that one, or submit another version",
                there.id,
            )
        number = 0 if there is None else farm.table("build")[there.id].again + 1
        row = BuildRow(farm.number("build"), source, archive, distroarchseries, pocket, arch_indep, farm.now(), number)
        farm.put("build", row.id, row)
        return self.get(row.id)

    def queue(self, build: int) -> Job:
        """See `Builds.queue`."""
        row = self._row(build)
        if row.state == BuildState.FULLYBUILT:
            raise self._impossible(row, BuildState.NEEDSBUILD)
        if row.state.final:
            self._farm.move_build(build, BuildState.NEEDSBUILD, why="")
        job = self._farm.jobs_by_build.get(build)
        if job is None:
            job = self._farm.number("buildqueue")
            self._farm.put("buildqueue", job, JobRow(job, build, self._farm.now()))
        return MemoryBuildQueue(self._farm).job(job)

    def get(self, build: int) -> Build:
        """See `Builds.get`."""
        farm = self._farm
        row = self._row(build)
        archive: Archive = farm.table("archive")[row.archive]
        source: SourceRow = farm.table("source_release")[row.source]
        series: DistroArchSeries = farm.table("distroarchseries")[row.distroarchseries]
        held = farm.open_by_build.get(build)
        return Build(
            id=row.id,
            source=source.name,
            version=source.version,
            archive=archive.name,
            distroarchseries=str(series),
            architecture=series.architecture,
            family=series.family,
            pocket=row.pocket,
            component=source.component,
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

    def find(self, source: int, distroarchseries: int, archive: int) -> Build | None:
        """See `Builds.find`."""
        rows = self._farm.table("build").values()
        wanted = (source, distroarchseries, archive)
        found = [row for row in rows if (row.source, row.distroarchseries, row.archive) == wanted]
        return self.get(max(found, key=lambda row: row.again).id) if found else None

    def change_limits(self, build: int, limits: LimitChanges) -> Build:
        """See `Builds.change_limits`."""
        check_limits(limits)
        row = self._row(build)
        self._farm.put("build", build, replace(row, limits=changed(row.limits, limits)))
        return self.get(build)

    def cancel(self, build: int) -> BuildState:
        """See `Builds.cancel`."""
        row = self._row(build)
        if row.state in {BuildState.CANCELLED, BuildState.CANCELLING}:
            return row.state
        wanted = BuildState.CANCELLING if row.state in HELD else BuildState.CANCELLED
        if not may_move(row.state, wanted):
            raise self._impossible(row, wanted)
        self._farm.move_build(build, wanted, why="cancelled")
        return wanted

    def set_state(self, build: int, state: BuildState) -> Build:
        """See `Builds.set_state`."""
        row = self._row(build)
        if state in HELD or not may_move(row.state, state):
            raise self._impossible(row, state)
        if state != row.state:
            self._farm.move_build(build, state, why=f"set to {state} by an operator")
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

    def _impossible(self, row: BuildRow, wanted: BuildState) -> ImpossibleMove:
        return ImpossibleMove(row.id, row.state, wanted, self._farm.story(f"build:{row.id}"))

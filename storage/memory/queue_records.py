"""Records of jobs and attempts, read from the rows of the in-memory database; `storage.memory.build_queue` changes them."""

from __future__ import annotations

from datetime import datetime

from storage.memory.database import MemoryFarm
from storage.memory.library import MemoryLibrary
from storage.memory.rows import AttemptRow, BuildRow, ChrootRow, JobRow, PublicationRow, SourceRow
from storage.records import (
    Archive,
    ArchivePurpose,
    Attempt,
    BuildOrder,
    DistroArchSeries,
    Exclusion,
    Job,
    NamedFile,
    Pocket,
    PublishingStatus,
    SeriesStatus,
)

LIVE = frozenset({PublishingStatus.PENDING, PublishingStatus.PUBLISHED})  #: a source counts


def job_of(farm: MemoryFarm, row: JobRow) -> Job:
    """Return all that dispatch looks at."""
    build: BuildRow = farm.table("build")[row.build]
    archive: Archive = farm.table("archive")[build.archive]
    source: SourceRow = farm.table("source_release")[build.source]
    series: DistroArchSeries = farm.table("distroarchseries")[build.distroarchseries]
    files: tuple[NamedFile, ...] = farm.table("source_file")[source.id]
    contents = farm.table("library_content")
    place, chroot = place_of(farm, build, series), chroot_of(farm, build)
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
        series_status=farm.table("distroseries").get((series.distribution, series.series), SeriesStatus.DEVELOPMENT),
        published=place is not None and place.status in LIVE,
        tags=tuple(sorted({*archive.tags, *build.tags})),
        assigned=row.assigned,
        cooling_until=row.cooling_until if row.cooling_until is not None and row.cooling_until > now else None,
        given_back=row.given_back,
        excluded=tuple(Exclusion(builder, end) for builder, end in sorted(until.items())),
        suspect=build.suspect,
    )


def order_of(farm: MemoryFarm, row: AttemptRow) -> BuildOrder:
    """Return what a builder needs for an open attempt."""
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


def chroot_of(farm: MemoryFarm, build: BuildRow) -> ChrootRow | None:
    """Return the chroot for the build's series and pocket, or the series' RELEASE."""
    chroots = farm.table("chroot")
    own: ChrootRow | None = chroots.get((build.distroarchseries, build.pocket))
    return own if own is not None else chroots.get((build.distroarchseries, Pocket.RELEASE))


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
    return max(rows, key=lambda row: (row.status in LIVE, row.pocket == build.pocket, row.id), default=None)

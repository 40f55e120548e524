"""Jobs that wait and run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.records.archives import ArchivePurpose, Pocket, SeriesStatus
from storage.records.builds import BuildState
from storage.records.sources import Urgency


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A builder that a job does not go to for a while, because it failed there for reasons of infrastructure."""

    builder: str
    until: datetime  #: still to come when this was read


@dataclass(frozen=True, slots=True)
class Job:
    """A build that waits or runs: everything dispatch looks at; row in `buildqueue`."""

    id: int
    build: int
    source: str
    version: str
    family: str
    trusted: bool
    archive: str
    distroarchseries: str
    pocket: Pocket
    component: str  #: that it is published in, which may differ from the source's own
    urgency: Urgency
    purpose: ArchivePurpose  #: of its archive
    owner: str | None  #: of its archive
    private: bool
    relative_score: int  #: of its archive
    manual_score: int | None
    created: datetime
    builder: str | None  #: who holds it
    buildstart: datetime | None
    state: BuildState  #: of its build
    has_chroot: bool  #: for its distroarchseries and pocket, or the series' RELEASE
    archive_enabled: bool
    files_missing: tuple[str, ...]  #: source files without content in the librarian
    series_status: SeriesStatus = SeriesStatus.DEVELOPMENT
    published: bool = True  #: its source is PENDING or PUBLISHED in its archive and series
    tags: tuple[str, ...] = ()  #: resource tags that it asks for: its archive's and its own, sorted
    assigned: str | None = None  #: the only builder that may take it
    cooling_until: datetime | None = None  #: given back; still to come when this was read
    given_back: int = 0  #: how often in a row
    excluded: tuple[Exclusion, ...] = ()  #: by builder
    chroot_held_back: str = ""  #: why the chroot that it would get is not used; `has_chroot` is false then
    suspect: str | None = None  #: builder on which it failed so quickly that it is tried once elsewhere


@dataclass(frozen=True, slots=True)
class Pick:
    """What the matcher proposes: this job for that builder; `BuildQueue.claim` says who won."""

    job: int
    builder: str
    session: int  #: session epoch in which the builder said it is ready

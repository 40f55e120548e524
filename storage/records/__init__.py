"""Rows of the farm as frozen records, and the enumerations in them: a module per aggregate, one door for all.

Shared by everybody above the database: cores, actors, command line.  Knows no database; `storage.builders`,
`storage.builds` and their neighbours read and write these.  Times are timezone-aware UTC, set by the database.
A record is imported from here, and by its own module's name within this room.
"""

from __future__ import annotations

from storage.records.access import (
    ADMINS,
    ApiToken,
    Certificate,
    Person,
    Team,
)
from storage.records.archives import (
    Archive,
    ArchivePurpose,
    Chroot,
    DistroArchSeries,
    Pocket,
    ProcessorFamily,
    SeriesStatus,
)
from storage.records.attempts import (
    Attempt,
    BuildOrder,
    BuildResult,
    Evidence,
    Outcome,
    Recording,
)
from storage.records.builders import (
    Builder,
    BuilderRuntime,
    KnownCertificate,
    NotOkBy,
    NotOkKind,
    RuntimeState,
)
from storage.records.builds import (
    Build,
    BuildState,
)
from storage.records.events import (
    Event,
    Relatives,
)
from storage.records.farm import (
    Arrivals,
    FamilyScore,
    FarmState,
    PastBuild,
    Violation,
)
from storage.records.files import (
    Alias,
    NamedFile,
    Result,
    StoredFile,
)
from storage.records.limits import (
    Limits,
)
from storage.records.packages import (
    BinaryPackage,
    DependencyWait,
    EarlierPackage,
    Imported,
    Place,
    PublishedPackage,
    Settled,
    Settlement,
)
from storage.records.queue import (
    Exclusion,
    Job,
    Pick,
)
from storage.records.sources import (
    NewSource,
    Publication,
    PublishingStatus,
    Source,
    Urgency,
)

__all__ = [
    "ADMINS",
    "Alias",
    "ApiToken",
    "Archive",
    "ArchivePurpose",
    "Arrivals",
    "Attempt",
    "BinaryPackage",
    "Build",
    "BuildOrder",
    "BuildResult",
    "BuildState",
    "Builder",
    "BuilderRuntime",
    "Certificate",
    "Chroot",
    "DependencyWait",
    "DistroArchSeries",
    "EarlierPackage",
    "Event",
    "Evidence",
    "Exclusion",
    "FamilyScore",
    "FarmState",
    "Imported",
    "Job",
    "KnownCertificate",
    "Limits",
    "NamedFile",
    "NewSource",
    "NotOkBy",
    "NotOkKind",
    "Outcome",
    "PastBuild",
    "Person",
    "Pick",
    "Place",
    "Pocket",
    "ProcessorFamily",
    "Publication",
    "PublishedPackage",
    "PublishingStatus",
    "Recording",
    "Relatives",
    "Result",
    "RuntimeState",
    "SeriesStatus",
    "Settled",
    "Settlement",
    "Source",
    "StoredFile",
    "Team",
    "Urgency",
    "Violation",
]

"""Source package releases, and where they are published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.records.archives import Pocket
from storage.records.files import NamedFile


class Urgency(StrEnum):
    """Urgency of a source package release, from its changes file or changelog."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source package release to be registered."""

    name: str
    version: str
    component: str
    urgency: Urgency
    architectures: tuple[str, ...]  #: hint list, as in the `.dsc`: `any`, `all`, `i386`, ...
    files: tuple[NamedFile, ...]  #: the `.dsc` and all that it names; content may come later


@dataclass(frozen=True, slots=True)
class Source:
    """A source package release."""

    id: int
    name: str
    version: str
    component: str
    urgency: Urgency
    architectures: tuple[str, ...]  #: hint list
    files: tuple[NamedFile, ...]
    created: datetime


class PublishingStatus(StrEnum):
    """Whether a source counts in an archive."""

    PENDING = "PENDING"
    PUBLISHED = "PUBLISHED"
    SUPERSEDED = "SUPERSEDED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Publication:
    """A source in an archive, for one series and pocket."""

    id: int
    source_id: int
    source: str  #: its name
    version: str
    archive: str  #: its name, as `primary`
    series: str  #: as `hoary`
    pocket: Pocket
    component: str  #: that it is in there; may differ from the source's own
    status: PublishingStatus
    created: datetime

"""Series, archives, and the base systems that things are built in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.records.limits import Limits


class Pocket(StrEnum):
    """Part of a series that a source is published in."""

    RELEASE = "RELEASE"
    SECURITY = "SECURITY"
    UPDATES = "UPDATES"
    PROPOSED = "PROPOSED"
    BACKPORTS = "BACKPORTS"


class SeriesStatus(StrEnum):
    """Where a series is in its life; `actors.core.dispatch.pockets` says which pockets are open to uploads."""

    EXPERIMENTAL = "EXPERIMENTAL"
    DEVELOPMENT = "DEVELOPMENT"
    FROZEN = "FROZEN"  #: about to be released
    CURRENT = "CURRENT"  #: the latest release
    SUPPORTED = "SUPPORTED"  #: an earlier release
    OBSOLETE = "OBSOLETE"


class ArchivePurpose(StrEnum):
    """What an archive is for; everything but a PPA is trusted."""

    PRIMARY = "PRIMARY"
    PARTNER = "PARTNER"
    COPY = "COPY"
    PPA = "PPA"


@dataclass(frozen=True, slots=True)
class ProcessorFamily:
    """What builders and builds are matched by."""

    name: str
    architectures: tuple[str, ...]  #: Debian architecture tags, as `i386`


@dataclass(frozen=True, slots=True)
class DistroArchSeries:
    """One series of a distribution for one architecture tag."""

    id: int
    distribution: str
    series: str
    architecture: str  #: Debian architecture tag, as `i386`
    family: str  #: processor family, as `x86`
    nominated_archindep: bool  #: builds the series' arch-indep packages
    status: SeriesStatus = SeriesStatus.DEVELOPMENT  #: of its series
    ppas: bool = True  #: sources in PPAs are built for it
    apt_sources: tuple[str, ...] = ()  #: of its series: lines of a `sources.list` for launchpad-buildd slaves

    def __str__(self) -> str:
        """Return the field's notation, as `ubuntu/hoary/i386`."""
        return f"{self.distribution}/{self.series}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class Chroot:
    """The tarball of a base system registered for one distroarchseries and pocket."""

    distroarchseries: str  #: as `ubuntu/hoary/i386`
    pocket: Pocket
    filename: str
    sha256: str
    size: int  #: bytes
    created: datetime
    held_back: str = ""  #: why nothing is built in it; empty: it is used


@dataclass(frozen=True, slots=True)
class Archive:
    """Where sources come from and results go."""

    id: int
    name: str  #: `primary`, or `owner/name` for a PPA
    distribution: str
    purpose: ArchivePurpose
    owner: str | None  #: person; PPAs have one
    private: bool
    enabled: bool
    relative_score: int
    limits: Limits  #: its own, of each build in it
    tags: tuple[str, ...] = ()  #: resource tags that every build in it asks for

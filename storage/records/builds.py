"""What is to be built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.records.archives import Pocket
from storage.records.limits import Limits
from storage.records.sources import Urgency


class BuildState(StrEnum):
    """States of a build (dispatch-rules §4); `storage.transitions` has the table of moves."""

    NEEDSBUILD = "NEEDSBUILD"
    BUILDING = "BUILDING"
    CANCELLING = "CANCELLING"
    GATHERING = "GATHERING"
    FULLYBUILT = "FULLYBUILT"
    FAILEDTOBUILD = "FAILEDTOBUILD"
    MANUALDEPWAIT = "MANUALDEPWAIT"
    CHROOTWAIT = "CHROOTWAIT"
    SUPERSEDED = "SUPERSEDED"
    FAILEDTOUPLOAD = "FAILEDTOUPLOAD"
    CANCELLED = "CANCELLED"
    INFRAFAILED = "INFRAFAILED"

    @property
    def final(self) -> bool:
        """True if the build has ended and has no job."""
        return self not in {
            BuildState.NEEDSBUILD,
            BuildState.BUILDING,
            BuildState.CANCELLING,
            BuildState.GATHERING,
        }


@dataclass(frozen=True, slots=True)
class Build:
    """One source package release to be built for one distroarchseries, pocket and archive."""

    id: int
    source: str
    version: str
    archive: str
    distroarchseries: str  #: as `ubuntu/hoary/i386`
    architecture: str
    family: str
    pocket: Pocket
    component: str  #: that it is published in, which may differ from the source's own
    urgency: Urgency
    trusted: bool
    arch_indep: bool  #: arch-indep packages are built as well
    state: BuildState
    dependencies: tuple[str, ...]  #: what was missing, while MANUALDEPWAIT
    why: str  #: last outcome's text for people; may be empty
    created: datetime
    started: datetime | None  #: of the last attempt
    ended: datetime | None
    builder: str | None  #: of the open attempt
    limits: Limits  #: its own; they go over the archive's
    owner: str | None  #: of its archive
    private: bool  #: of its archive
    tags: tuple[str, ...] = ()  #: resource tags that it asks for, beside its archive's

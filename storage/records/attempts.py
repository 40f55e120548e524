"""One try of a build on one builder: what it was given, how it ended, what is known of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from storage.records.archives import ArchivePurpose
from storage.records.files import NamedFile
from storage.records.limits import Limits


class Outcome(StrEnum):
    """How an attempt ended (dispatch-rules §5)."""

    OK = "OK"
    UNVERIFIED = "UNVERIFIED"  #: the slave said OK, but the results do not verify or parse
    PACKAGEFAIL = "PACKAGEFAIL"
    DEPFAIL = "DEPFAIL"
    CHROOTFAIL = "CHROOTFAIL"
    GIVENBACK = "GIVENBACK"
    BUILDERFAIL = "BUILDERFAIL"
    LOST = "LOST"  #: slave lost, transport error, deadline missed
    BREACH = "BREACH"  #: isolation breach: dirty or busy slave where a clean one was promised
    ABORTED = "ABORTED"
    TIMEOUT = "TIMEOUT"  #: the build's own limits
    FENCED = "FENCED"  #: closed by an operator's verdict or lowered trust; never blamed


class Recording(StrEnum):
    """What became of the end of an attempt that somebody reported.  After each of them the slave may be cleaned."""

    RECORDED = "RECORDED"  #: written now
    ALREADY = "ALREADY"  #: the same outcome stood already: the report came twice
    FENCED = "FENCED"  #: the attempt is closed with another outcome (or unknown): the report does not count


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a build on one builder."""

    id: UUID
    build: int
    job: int
    builder: str
    session: int  #: session epoch of the connection it was claimed for
    trusted: bool  #: of the build and of the builder, when it was claimed
    started: datetime
    deadline: datetime
    ended: datetime | None
    outcome: Outcome | None
    text: str  #: for people: why it ended so
    log: int | None  #: alias
    limits: Limits  #: in force for it, whatever was changed since
    limits_from: tuple[str, ...]  #: `memory_bytes=archive` or `=build`; those not named are from the settings
    charged: bool = False  #: its failure counts against the job
    builder_induced: bool = False  #: it passed elsewhere: the builder turned out to be broken
    verdict: str = ""  #: what its outcome meant, in words


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """All that a builder actor needs to build one attempt."""

    attempt: UUID
    job: int
    build: int
    builder: str
    trusted: bool
    build_type: str
    source: str
    version: str
    chroot: NamedFile
    files: tuple[NamedFile, ...]  #: the `.dsc` and all that it names
    dsc: str  #: filename of the `.dsc`
    architecture: str
    arch_indep: bool
    suite: str  #: name of the series
    wall_seconds: float  #: the build's own wall-time limit
    limits: Limits  #: all that are in force, `wall_seconds` too
    limits_from: tuple[str, ...]  #: as in `Attempt`
    component: str = "main"  #: that the source is published in
    purpose: ArchivePurpose = ArchivePurpose.PRIMARY  #: of the archive
    private: bool = False  #: the archive is
    apt_sources: tuple[str, ...] = ()  #: of the series: lines for a slave that writes its own `sources.list`


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known, beside its outcome, when an attempt failed (dispatch-rules §5, §6)."""

    builder: str = ""
    failures_in_row: int = 0  #: of the builder, before this one
    after_completed: bool = False  #: what the builder did before, last, was to complete a build
    failed_here: bool = False  #: the job had failed on this builder before
    charged_on: tuple[str, ...] = ()  #: builders on which the job was charged, oldest first
    chroot_works_elsewhere: bool = False  #: a build in this very chroot was completed on another builder
    chroot_fails_elsewhere: bool = False  #: this very chroot failed on another builder


@dataclass(frozen=True, slots=True)
class BuildResult:
    """How a builder's attempt ended, and how long that took."""

    builder: str
    build: int
    outcome: Outcome
    seconds: float
    expected: float | None  #: seconds that builds of this source took there lately; None: not known

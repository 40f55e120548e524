"""Rows of the farm as frozen records, and the enumerations in them.

Shared by everybody above the database: cores, actors, command line.  Knows no database; `storage.builders`,
`storage.builds` and their neighbours read and write these.  Times are timezone-aware UTC, set by the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from certificates.identity import CertificateRole


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


class Urgency(StrEnum):
    """Urgency of a source package release, from its changes file or changelog."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EMERGENCY = "emergency"


class NotOkBy(StrEnum):
    """Who took a builder out of dispatch."""

    PERSON = "person"  #: only a person sets it ok again
    MACHINE = "machine"


class NotOkKind(StrEnum):
    """Why the machine took a builder out of dispatch; some heal by themselves (dispatch-rules §6)."""

    UNREACHABLE = "unreachable"
    CRASH = "crash"
    MISFIT = "misfit"  #: wrong architecture, protocol version, farm or token; heals when it fits
    BREACH = "breach"  #: isolation breach
    FAILURES = "failures"  #: too many failures in a row
    BLACKHOLE = "blackhole"  #: builds that it failed passed elsewhere

    @property
    def heals(self) -> bool:
        """Return whether a probe that passes clears it; the others only a person clears."""
        return self in {NotOkKind.UNREACHABLE, NotOkKind.CRASH, NotOkKind.MISFIT}


class RuntimeState(StrEnum):
    """What a builder's actor last said of its slave; `builder_runtime.state`."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    IDLE = "IDLE"
    PREPARING = "PREPARING"  #: chroot and sources are being pushed
    BUILDING = "BUILDING"
    GATHERING = "GATHERING"
    ABORTING = "ABORTING"
    CLEANING = "CLEANING"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may take; None: nothing is said here.  Ranges, and whose word counts: `storage.limits`."""

    wall_seconds: int | None = None  #: the whole build
    silent_seconds: int | None = None  #: without a byte printed
    memory_bytes: int | None = None  #: of all its processes
    processes: int | None = None  #: at once, threads counted
    file_bytes: int | None = None  #: of one file
    log_bytes: int | None = None
    disk_bytes: int | None = None  #: on top of the base system it builds in


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A certificate that was issued to a builder, as the builder's actor must know it."""

    serial: str  #: hexadecimal
    revoked: str | None  #: when, in words
    pem: str  #: of the one that lasts longest, to be handed to the slave; of others empty


@dataclass(frozen=True, slots=True)
class Builder:
    """A registered machine that builds."""

    id: int
    name: str
    url: str  #: `buildd://host:port`; `http://host:port` of a launchpad-buildd slave
    families: tuple[str, ...]  #: processor families
    trusted: bool
    builderok: bool
    failnotes: str  #: why not ok; empty when ok
    notok_by: NotOkBy | None
    notok_kind: NotOkKind | None
    manual: bool
    tags: tuple[str, ...]  #: resource tags that it has, beside the restricted ones
    architectures: tuple[str, ...]  #: architecture tags of its families: the slave must offer one of them
    certificates: tuple[KnownCertificate, ...] = ()  #: ever issued to it since it was registered, oldest first
    restricted_tags: tuple[str, ...] = ()  #: more tags that it has: it takes only jobs that ask for all of these
    quarantined_until: datetime | None = None  #: still to come when this was read
    quarantine_why: str = ""
    frozen_until: datetime | None = None  #: held at the debug console; still to come when this was read
    failures_in_row: int = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the farm's authority has issued."""

    serial: str  #: hexadecimal
    role: CertificateRole
    name: str  #: of the builder, or `master`
    not_before: datetime
    not_after: datetime
    issued: datetime
    revoked: datetime | None
    warned: datetime | None  #: when people were told that it expires soon
    pem: str

    @property
    def holder(self) -> str:
        """Who has it, in words."""
        return "the master" if self.role is CertificateRole.MASTER else f"builder {self.name}"


@dataclass(frozen=True, slots=True)
class BuilderRuntime:
    """What only actors know of a builder, written when it changes."""

    builder: str
    state: RuntimeState
    connected: bool
    since: datetime
    deadline: datetime | None
    quarantined_until: datetime | None
    failures_in_row: int
    quarantine_why: str = ""
    frozen_until: datetime | None = None  #: held at the debug console
    cleared: datetime | None = None  #: since when its results count as evidence against it


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Content in the librarian."""

    sha256: str
    sha1: str
    size: int  #: bytes


class Result(Protocol):
    """A file in the librarian that an attempt left: `actors.messages.ResultStored` is one."""

    @property
    def filename(self) -> str:
        """A single path component."""

    @property
    def content(self) -> StoredFile:
        """What the librarian holds."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """Content in the librarian under a filename."""

    filename: str
    sha256: str
    size: int  #: bytes
    sha1: str = ""  #: of a file in a `BuildOrder`: what older slaves call it by


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for content in the librarian."""

    id: int
    filename: str
    mimetype: str
    sha256: str
    sha1: str
    size: int  #: bytes
    created: datetime


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


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A builder that a job does not go to for a while, because it failed there for reasons of infrastructure."""

    builder: str
    until: datetime  #: still to come when this was read


@dataclass(frozen=True, slots=True)
class FarmState:
    """What an operator has said of the farm as a whole."""

    paused: str = ""  #: why nothing is given away; empty: jobs are given away
    minimum_score: int | None = None  #: jobs whose score without age is less wait
    family_scores: tuple[FamilyScore, ...] = ()  #: the same for a processor family; the higher of the two counts


@dataclass(frozen=True, slots=True)
class FamilyScore:
    """The least score, without age, of jobs of one processor family that are given away."""

    family: str
    score: int


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
class Event:
    """One line of the append-only event log."""

    id: int
    at: datetime
    who: str  #: actor or person; `sql` for a person at the SQL prompt
    why: str
    subject: str  #: `builder:bob`, `build:17`, `job:17`, `attempt:UUID`, ...
    what: str  #: `insert`, `delete`, or the names of the changed columns
    before: dict[str, object] | None  #: changed columns only
    after: dict[str, object] | None
    cause: int | None  #: id of an earlier event


@dataclass(frozen=True, slots=True)
class Relatives:
    """What the subject of an event hangs together with; None and () where there is nothing of the kind."""

    build: int | None
    source: int | None  #: of the build
    builder: str | None
    attempts: tuple[str, ...]  #: all at the build, oldest first
    jobs: tuple[int, ...]  #: of the build
    last_attempts: tuple[str, ...]  #: the builder's latest, if it is the subject


@dataclass(frozen=True, slots=True)
class Pick:
    """What the matcher proposes: this job for that builder; `BuildQueue.claim` says who won."""

    job: int
    builder: str
    session: int  #: session epoch in which the builder said it is ready


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


class Recording(StrEnum):
    """What became of the end of an attempt that somebody reported.  After each of them the slave may be cleaned."""

    RECORDED = "RECORDED"  #: written now
    ALREADY = "ALREADY"  #: the same outcome stood already: the report came twice
    FENCED = "FENCED"  #: the attempt is closed with another outcome (or unknown): the report does not count


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


@dataclass(frozen=True, slots=True)
class ProcessorFamily:
    """What builders and builds are matched by."""

    name: str
    architectures: tuple[str, ...]  #: Debian architecture tags, as `i386`


@dataclass(frozen=True, slots=True)
class BinaryPackage:
    """A binary package, as far as others depend on it: what its control file says."""

    name: str
    version: str
    architecture: str  #: a Debian architecture tag, or `all`
    provides: tuple[str, ...] = ()  #: virtual packages, as `mail-transport-agent` or `libfoo-abi (= 3)`


@dataclass(frozen=True, slots=True)
class PublishedPackage:
    """A binary package in an archive, for builds of one series; `architecture` `all` is for every architecture."""

    id: int
    archive: int
    series: str
    name: str
    version: str
    architecture: str
    provides: tuple[str, ...]
    build: int | None  #: which left it; None: it comes from outside the farm
    created: datetime  #: when it came


@dataclass(frozen=True, slots=True)
class EarlierPackage:
    """A binary package that a build has left before."""

    id: int
    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a build publishes what it leaves."""

    build: int
    archive: int
    series: str
    earlier: tuple[EarlierPackage, ...] = ()  #: what is there, of the names asked for; what comes from outside is not


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import of an index did."""

    added: int
    removed: int
    kept: int


@dataclass(frozen=True, slots=True)
class DependencyWait:
    """A MANUALDEPWAIT build that says what it misses, with all that its check looks at."""

    build: int
    architecture: str
    series: str
    archives: tuple[int, ...]  #: whose packages it sees
    dependencies: tuple[str, ...]  #: a relation each, as `libfoo-dev (>= 2) | libbar-dev`
    since: datetime  #: when it began to wait
    tried: datetime | None  #: when its last attempt was claimed
    missed: int  #: how many attempts at it ended so
    now: datetime  #: by the database's clock


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a check came to, to be written down."""

    build: int
    before: tuple[str, ...]  #: the dependencies that were looked at
    remaining: tuple[str, ...]  #: empty: the build is queued again
    why: str  #: of the events, as `libfoo 1.2 is there now`


@dataclass(frozen=True, slots=True)
class Settled:
    """A check of a build's dependencies was written down."""

    build: int
    job: int | None  #: its new job; None: it goes on waiting


ADMINS: Final = "buildd-admins"  #: the team whose members have the role buildd-admin


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who owns archives and does things to the farm."""

    id: int
    name: str
    teams: tuple[str, ...] = ()  #: that they are a member of, by name


@dataclass(frozen=True, slots=True)
class Team:
    """People with a role in common."""

    name: str
    members: tuple[str, ...]  #: people, by name


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What the farm knows of a token by which somebody is known to it: all but the secret."""

    id: int
    person: str
    label: str  #: what it is for, in people's words
    created: datetime
    expires: datetime | None  #: None: never
    last_used: datetime | None  #: to a minute
    revoked: datetime | None
    expired: bool  #: when this was read


@dataclass(frozen=True, slots=True)
class PastBuild:
    """A build that succeeded, and how long it took."""

    source: str  #: name
    family: str
    trusted: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many builds of one kind came lately."""

    family: str
    trusted: bool
    builds: int
    hours: float  #: in which they came


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant of architecture §9 that does not hold."""

    number: int  #: of the invariant, 1-8
    what: str  #: the invariant, as a sentence
    rows: tuple[str, ...]  #: what breaks it, one line each, as `build 17: ...`

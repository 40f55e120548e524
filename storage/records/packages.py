"""Binary packages that are published, and builds that wait for some."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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

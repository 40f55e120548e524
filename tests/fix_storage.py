"""A stage for tests of storage: one set of repositories over PostgreSQL, one over memory, the same words for both.

Tests that take `stage` run on both; those that take `farm` run on PostgreSQL only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.access.people import People
from storage.archives import Archives
from storage.binary_packages import BinaryPackages
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.builds import Builds
from storage.chroots import Chroots
from storage.database.connection import acting, connect
from storage.dependency_waits import DependencyWaits
from storage.events.log import Events
from storage.farm import FarmStates
from storage.files.librarian import Librarian
from storage.files.library import Library
from storage.making import Making
from storage.memory.archives import MemoryArchives
from storage.memory.binary_packages import MemoryBinaryPackages
from storage.memory.build_queue import MemoryBuildQueue
from storage.memory.builders import MemoryBuilders
from storage.memory.builds import MemoryBuilds
from storage.memory.chroots import MemoryChroots
from storage.memory.database import MemoryFarm
from storage.memory.dependency_waits import MemoryDependencyWaits
from storage.memory.events import MemoryEvents
from storage.memory.farm import MemoryFarmStates
from storage.memory.library import MemoryLibrary
from storage.memory.making import MemoryMaking
from storage.memory.people import MemoryPeople
from storage.memory.publications import MemoryPublications
from storage.memory.series import MemorySeries
from storage.memory.sources import MemorySources
from storage.memory.verdicts import MemoryVerdicts
from storage.publications import Publications
from storage.records import (
    ArchivePurpose,
    Attempt,
    Build,
    Job,
    Limits,
    NamedFile,
    NewSource,
    Pick,
    Pocket,
    StoredFile,
    Urgency,
)
from storage.series import Series
from storage.sources import Sources
from storage.verdicts import Verdicts
from tests.fix_postgres import Seeds


def stored(content: str) -> StoredFile:
    """Return what the librarian would say of `content`."""
    octets = content.encode()
    return StoredFile(hashlib.sha256(octets).hexdigest(), hashlib.sha1(octets).hexdigest(), len(octets))


def named(filename: str, content: str = "") -> NamedFile:
    """Return a file of a source."""
    one = stored(content or filename)
    return NamedFile(filename, one.sha256, one.size)


@dataclass(frozen=True, slots=True)
class Left:
    """A result or log that an attempt left."""

    filename: str
    content: StoredFile


def left(filename: str) -> Left:
    """Return a result named `filename`."""
    return Left(filename, stored(filename))


@dataclass
class Stage:
    """Repositories, and the shortest way to what tests need."""

    builders: Builders | MemoryBuilders
    queue: BuildQueue | MemoryBuildQueue
    builds: Builds | MemoryBuilds
    series: Series | MemorySeries
    chroots: Chroots | MemoryChroots
    archives: Archives | MemoryArchives
    sources: Sources | MemorySources
    library: Library | MemoryLibrary
    people: People | MemoryPeople
    events: Events | MemoryEvents
    farm_states: FarmStates | MemoryFarmStates
    verdicts: Verdicts | MemoryVerdicts
    packages: BinaryPackages | MemoryBinaryPackages
    waits: DependencyWaits | MemoryDependencyWaits
    making: Making | MemoryMaking
    publications: Publications | MemoryPublications
    begin: Callable[[str, str], AbstractContextManager[object]]

    def acting(self, who: str, why: str = "") -> AbstractContextManager[object]:
        """Run a transaction as `who`."""
        return self.begin(who, why)

    def set_up(self) -> None:
        """Make ubuntu/hoary/i386 with a chroot and a primary archive, and cprov's PPA."""
        with self.acting("stage"):
            (arch,) = self.series.add("ubuntu", "hoary", {"i386": "x86"}, nominated_archindep="i386")
            self.chroots.set(arch.id, Pocket.RELEASE, self.library.add(stored("chroot"), "chroot.tar.zst").id)
            self.archives.add("primary", "ubuntu", ArchivePurpose.PRIMARY)
            self.archives.add("cprov/ppa", "ubuntu", ArchivePurpose.PPA)

    def source(self, name: str = "foo", version: str = "1.0-1", *, present: bool = True) -> int:
        """Register a source of two files; their content is there if `present`."""
        files = (named(f"{name}_{version}.dsc"), named(f"{name}_1.0.tar.xz"))
        if present:
            for file in files:
                self.library.add(stored(file.filename), file.filename)
        return self.sources.add(NewSource(name, version, "main", Urgency.LOW, ("any",), files))

    def build(self, name: str = "foo", archive: str = "primary", series: str = "ubuntu/hoary/i386") -> Build:
        """Make a build of a new source in `archive`, without a job."""
        with self.acting("stage"):
            where = self.series.named(series)
            there = self.archives.get(where.distribution, archive)
            source = self.source(name)
            self.publications.publish(source, there.id, where.series, Pocket.RELEASE, "main")
            return self.builds.create(source, where.id, there.id, Pocket.RELEASE, arch_indep=False)

    def job(self, name: str = "foo", archive: str = "primary", series: str = "ubuntu/hoary/i386") -> Job:
        """Make a build of a new source in `archive`, and queue it."""
        build = self.build(name, archive, series)
        with self.acting("stage"):
            return self.builds.queue(build.id)

    def builder(self, name: str = "bob", *, trusted: bool = True, family: str = "x86") -> str:
        """Register a builder and return its name."""
        with self.acting("stage"):
            return self.builders.add(name, f"buildd://{name}.example:8221", (family,), trusted=trusted).name

    def claim(self, job: Job, builder: str = "bob", session: int = 1) -> Attempt:
        """Give `job` to `builder`, who must take it."""
        with self.acting("queue"):
            (attempt,) = self.queue.claim((Pick(job.id, builder, session),), Limits(wall_seconds=3600))
        return attempt


@dataclass
class Farm(Stage):
    """The stage on PostgreSQL, with its connection."""

    conn: psycopg.Connection[Any]

    def sql(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run plain SQL as a person at the prompt would, and return its rows."""
        with self.conn.transaction():
            self.conn.execute("SET LOCAL farm.who = ''")
            cursor = self.conn.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def shared_database(postgres_dsn: str, _template: str) -> Iterator[str]:
    """Yield the DSN of a database for all tests that leave its tables as they are."""
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute(f"CREATE DATABASE shared TEMPLATE {_template}")
    yield make_conninfo(postgres_dsn, dbname="shared")
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute("DROP DATABASE shared WITH (FORCE)")


@pytest.fixture(scope="session")
def _shared_connection(shared_database: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(shared_database, application="test") as opened:
        yield opened


@pytest.fixture(scope="session")
def _as_set_up(_shared_connection: psycopg.Connection[Any]) -> Seeds:
    on_postgresql(_shared_connection)
    return Seeds(_shared_connection)


@pytest.fixture
def fresh_farm(_shared_connection: psycopg.Connection[Any], _as_set_up: Seeds) -> Callable[[], Farm]:
    """Return what brings the shared database back to a stage set up; quicker than a database of its own."""

    def make() -> Farm:
        _as_set_up.restore(_shared_connection)
        return over(_shared_connection)

    return make


@pytest.fixture
def farm(fresh_farm: Callable[[], Farm]) -> Farm:
    """Return a set-up stage on PostgreSQL."""
    return fresh_farm()


def on_postgresql(connection: psycopg.Connection[Any]) -> Farm:
    """Return a set-up stage on an empty database."""
    one = over(connection)
    one.set_up()
    return one


def over(connection: psycopg.Connection[Any]) -> Farm:
    """Return the stage on a database as it is."""
    return Farm(
        Builders(connection),
        BuildQueue(connection),
        Builds(connection),
        Series(connection),
        Chroots(connection),
        Archives(connection),
        Sources(connection),
        Library(connection),
        People(connection),
        Events(connection),
        FarmStates(connection),
        Verdicts(connection),
        BinaryPackages(connection),
        DependencyWaits(connection),
        Making(connection),
        Publications(connection),
        lambda who, why: acting(connection, who, why),
        connection,
    )


def every_row(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Return the rows of every table of a farm as text, events included: what must not change is compared by it."""
    named = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname !~ 'yoyo'"
    )
    return {
        name: connection.execute(
            psycopg.sql.SQL("SELECT one::text FROM {} AS one ORDER BY 1").format(psycopg.sql.Identifier(name))
        ).fetchall()
        for (name,) in named.fetchall()
    }


@pytest.fixture
def librarian(tmp_path: Path) -> Librarian:
    """Return an empty librarian."""
    return Librarian(tmp_path / "librarian")


@pytest.fixture(params=["postgresql", "memory"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Return a set-up stage, on each of the two."""
    if request.param == "postgresql":
        one: Stage = request.getfixturevalue("farm")
        return one
    return in_memory()


def in_memory() -> Stage:
    """Return a set-up stage in memory."""
    return on_memory(MemoryFarm())


def on_memory(rows: MemoryFarm) -> Stage:
    """Return a set-up stage on empty rows."""
    one = Stage(
        MemoryBuilders(rows),
        MemoryBuildQueue(rows),
        MemoryBuilds(rows),
        MemorySeries(rows),
        MemoryChroots(rows),
        MemoryArchives(rows),
        MemorySources(rows),
        MemoryLibrary(rows),
        MemoryPeople(rows),
        MemoryEvents(rows),
        MemoryFarmStates(rows),
        MemoryVerdicts(rows),
        MemoryBinaryPackages(rows),
        MemoryDependencyWaits(rows),
        MemoryMaking(rows),
        MemoryPublications(rows),
        rows.acting,
    )
    one.set_up()
    return one

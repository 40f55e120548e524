"""How fast jobs reach slaves: a real farm, real processes, a real database; only the slaves are simulated.

Round one, latency: jobs arrive one at a time, at random moments (Poisson, `rate` a second), while builders are idle.
Measured from just before the commit of the job's INSERT to the slave's receipt of `Build`, stamped by the slave.
Round two, throughput: as many jobs again in one transaction; whole cycles, from that commit to the last FULLYBUILT.
Beside them, on a database of its own on the same server: a bare psycopg loop making the same claims.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from bench.farm import ARCHITECTURE, FAMILY, WHO, MeasuredFarm, memory_mb, wait_until
from storage.archives import Archives
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.builds import Builds
from storage.chroots import Chroots
from storage.database.connection import acting, connect
from storage.database.migration import migrate
from storage.files.library import Library
from storage.publications import Publications
from storage.records import ArchivePurpose, BuildState, Limits, NamedFile, NewSource, Pick, Pocket, StoredFile, Urgency
from storage.series import Series
from storage.sources import Sources

SEED: Final = 2  #: of the moments at which jobs arrive
_BATCH_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.25  #: between two looks at the builds: to watch costs the farm's processors


@dataclass(frozen=True, slots=True)
class Figures:
    """What the benchmark prints."""

    builders: int
    jobs: int  #: of each round
    p50_ms: float  #: commit of the INSERT → `Build` at the slave
    p99_ms: float
    jobs_per_s: float  #: whole cycles, results stored and recorded
    raw_claims_per_s: float  #: the claim alone, one a transaction
    pss_mb_per_builder: float  #: all of the master's processes but PostgreSQL, shared out on its builders


def measure(builders: int, jobs: int, rate: float) -> Figures:
    """Start a farm, run both rounds, stop it."""
    with MeasuredFarm(builders) as farm, farm.connect() as connection:
        first, second = Stage(connection).add_builds(2 * jobs, parts=2)
        latencies = _latencies(farm, connection, first, rate)
        jobs_per_s = throughput(connection, second)
        memory = memory_mb(farm.master) / builders
        raw = _raw_claims_per_s(farm.dsn, jobs)
    return Figures(
        builders=builders,
        jobs=jobs,
        p50_ms=round(percentile(latencies, 50) * 1000, 2),
        p99_ms=round(percentile(latencies, 99) * 1000, 2),
        jobs_per_s=round(jobs_per_s, 1),
        raw_claims_per_s=round(raw, 1),
        pss_mb_per_builder=round(memory, 2),
    )


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


class Stage:
    """A distribution with one series, a chroot, a primary archive, and builds that wait for a job."""

    def __init__(self, connection: Connection[Any]) -> None:
        """Set it up; the files are rows only, for the slaves have everything."""
        self._connection = connection
        self._numbers = itertools.count()
        self._series, self._chroots = Series(connection), Chroots(connection)
        self._archives, self._library = Archives(connection), Library(connection)
        self._sources, self._publications = Sources(connection), Publications(connection)
        with acting(connection, WHO):
            (self._arch,) = self._series.add("bench", "one", {ARCHITECTURE: FAMILY}, nominated_archindep=ARCHITECTURE)
            self._archive = self._archives.add("primary", "bench", ArchivePurpose.PRIMARY)
            self._chroots.set(self._arch.id, Pocket.RELEASE, self._add_file("chroot.tar.zst")[0])

    def add_builds(self, count: int, *, parts: int) -> list[list[tuple[int, str]]]:
        """Return `count` builds in equal parts: id, and name of the `.dsc`."""
        made = []
        builds = Builds(self._connection)
        with acting(self._connection, WHO):
            for number in itertools.islice(self._numbers, count):
                name = f"bench{number}_1.0.dsc"
                files = (self._add_file(name)[1], self._add_file(f"bench{number}_1.0.tar.gz")[1])
                source = NewSource(f"bench{number}", "1.0", "main", Urgency.LOW, ("any",), files)
                release = self._sources.add(source)
                self._publications.publish(release, self._archive.id, self._arch.series, Pocket.RELEASE, "main")
                build = builds.create(release, self._arch.id, self._archive.id, Pocket.RELEASE, arch_indep=False)
                made.append((build.id, name))
        size = count // parts
        return [made[start : start + size] for start in range(0, count, size)]

    def _add_file(self, name: str) -> tuple[int, NamedFile]:
        sha256, sha1 = hashlib.sha256(name.encode()).hexdigest(), hashlib.sha1(name.encode()).hexdigest()  # noqa: S324
        alias = self._library.add(StoredFile(sha256, sha1, len(name)), name)
        return alias.id, NamedFile(name, sha256, len(name))


def _latencies(
    farm: MeasuredFarm, connection: Connection[Any], builds: list[tuple[int, str]], rate: float
) -> list[float]:
    """Queue the builds one by one; return the seconds from commit to `Build` of each."""
    arrivals, queue = random.Random(SEED), Builds(connection)  # noqa: S311 - no secret
    committed: dict[str, float] = {}
    due = time.monotonic()
    for build, name in builds:
        due += arrivals.expovariate(rate)
        time.sleep(max(0.0, due - time.monotonic()))
        with acting(connection, WHO):
            queue.queue(build)
            committed[name] = time.monotonic()
    wait_until(lambda: committed.keys() <= farm.heard().keys(), "every job of the first round reached a slave")
    heard = farm.heard()
    _wait_built(connection, [build for build, _ in builds])
    return [heard[name] - at for name, at in committed.items()]


def throughput(connection: Connection[Any], builds: list[tuple[int, str]]) -> float:
    """Queue all builds at once; return builds ended a second."""
    queue, ids = Builds(connection), [build for build, _ in builds]
    with acting(connection, WHO):
        for build in ids:
            queue.queue(build)
        begun = _value(connection, "SELECT clock_timestamp()")
    _wait_built(connection, ids)
    ended = _value(connection, "SELECT max(ended) FROM build WHERE id = ANY (%s)", ids)
    return len(ids) / float((ended - begun).total_seconds())


def _wait_built(connection: Connection[Any], ids: list[int]) -> None:
    """Wait until all of these builds have succeeded; one that failed ends the benchmark."""

    def all_built() -> bool:
        states = "SELECT DISTINCT state::text FROM build WHERE id = ANY (%s)"
        found = [BuildState(state) for (state,) in connection.execute(states, (ids,)).fetchall()]
        wrong = {state for state in found if state.final} - {BuildState.FULLYBUILT}
        if wrong:
            raise SystemExit(f"a build ended {', '.join(wrong)}")
        return all(state.final for state in found)

    wait_until(all_built, "every build has ended", _BATCH_SECONDS, every=_LOOK_SECONDS)


def _raw_claims_per_s(dsn: str, jobs: int) -> float:
    """Make the queue actor's claim `jobs` times, one a transaction, with nothing around it."""
    name = "bench_claims"
    with connect(dsn, application=WHO) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    alone = make_conninfo(dsn, dbname=name)
    migrate(alone)
    with connect(alone, application=WHO) as connection:
        (builds,) = Stage(connection).add_builds(jobs, parts=1)
        queue, builders = BuildQueue(connection), Builders(connection)
        picks = []
        with acting(connection, WHO):
            for port, (build, dsc) in enumerate(builds, 1):
                url = f"buildd://127.0.0.1:{port}"
                builder = builders.add(dsc.partition("_")[0], url, [FAMILY], trusted=True).name
                picks.append(Pick(Builds(connection).queue(build).id, builder, builders.open_session(builder)))
        began = time.perf_counter()
        for pick in picks:
            with acting(connection, WHO):
                won = queue.claim([pick], Limits(wall_seconds=3600))
            if len(won) != 1:
                raise SystemExit(f"the claim of {pick} was not won")
        return jobs / (time.perf_counter() - began)


def _value(connection: Connection[Any], query: str, *values: Any) -> Any:  # noqa: ANN401
    row = connection.execute(query, values).fetchone()
    assert row is not None  # noqa: S101 - an aggregate or a function: always one row
    return row[0]

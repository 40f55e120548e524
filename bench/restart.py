"""How soon a farm works again when its master is restarted in the middle of builds, and whether all builds come through.

Every builder but one builds; the master is ended (politely, or killed) and started anew.  A job for the free builder,
which was kept waiting by a pause, tells when dispatch goes on: the pause is ended as soon as the database answers.
All that ran must be adopted, end well, and have been built once.
"""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import Connection, sql

from bench.dispatch import Stage
from bench.farm import WHO, MeasuredFarm, wait_until
from storage.builds import Builds
from storage.database.connection import acting
from storage.errors import DatabaseUnreachable
from storage.farm import FarmStates

_PATIENCE: Final = 600.0  #: seconds


@dataclass(frozen=True, slots=True)
class Restart:
    """What was measured."""

    builders: int
    stopped_s: float  #: from the signal until the old master was gone
    ready_s: float  #: from the start of the new one until it says that it is ready
    dispatch_s: float  #: … until a slave was told to build a job that had waited
    adopted_s: float  #: … until every build that ran is followed again
    adopted: int  #: builds that ran
    lost: int  #: of those, not FULLYBUILT in the end
    twice: int  #: of those, with another attempt than the one that was running


def measure(builders: int, build_seconds: float, *, kill: bool) -> Restart:
    """Start a farm, fill it, restart its master, and wait for every build."""
    with MeasuredFarm(builders, build_seconds=build_seconds) as farm:
        with farm.connect() as connection:
            running, waiting = _fill(farm, connection)
            attempts = _attempts(connection, running)
            asked = connection.execute("SELECT clock_timestamp()").fetchone()
        began = time.monotonic()
        farm.stop_master(signal.SIGKILL if kill else signal.SIGTERM)
        stopped = time.monotonic()
        with ThreadPoolExecutor() as meanwhile:
            resumed = meanwhile.submit(_resume, farm)
            farm.start_master()
            ready = time.monotonic()
            resumed.result()
        wait_until(lambda: waiting in farm.heard(), "the job that waited reached a slave", _PATIENCE)
        dispatched = farm.heard()[waiting]
        with farm.connect() as connection:
            since = asked[0] if asked is not None else None
            followed = "every build is followed again"
            wait_until(lambda: _followed(connection, running, since), followed, _PATIENCE, every=farm.pause)
            adopted = time.monotonic()
            wait_until(lambda: not _unfinished(connection, running), "every build has ended", _PATIENCE, every=0.5)
            after = _attempts(connection, running)
            lost = len(running) - _count(connection, "state = 'FULLYBUILT'", running)
        return Restart(
            builders=builders,
            stopped_s=round(stopped - began, 2),
            ready_s=round(ready - stopped, 2),
            dispatch_s=round(dispatched - stopped, 2),
            adopted_s=round(adopted - stopped, 2),
            adopted=len(running),
            lost=lost,
            twice=sum(after[build] != attempts[build] for build in running),
        )


def _fill(farm: MeasuredFarm, connection: Connection[Any]) -> tuple[list[int], str]:
    """Have every builder but one build; return these builds, and the `.dsc` of a job that waits by a pause."""
    (builds,) = Stage(connection).add_builds(farm.builders, parts=1)
    running, (last, dsc) = [build for build, _ in builds[:-1]], builds[-1]
    with acting(connection, WHO):
        for build in running:
            Builds(connection).queue(build)
    wait_until(lambda: _followed(connection, running), "every builder builds", _PATIENCE, every=farm.pause)
    connection.execute("CHECKPOINT")  # a farm that was made just now has hundreds of files that no disk has seen
    with acting(connection, WHO):
        FarmStates(connection).pause("the master is restarted")
    with acting(connection, WHO):
        Builds(connection).queue(last)
    return running, dsc


def _resume(farm: MeasuredFarm) -> None:
    """End the pause as soon as the database answers."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with farm.connect() as connection, acting(connection, WHO):
                FarmStates(connection).resume()
        except DatabaseUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _followed(connection: Connection[Any], builds: list[int], since: datetime | None = None) -> bool:
    """Return whether the builders of all these builds follow them (since a moment), or have seen them end."""
    query = """
        SELECT count(*)
        FROM build
        WHERE id = ANY (%s)
          AND (state = 'FULLYBUILT'
               OR EXISTS (SELECT FROM attempt JOIN builder_runtime AS runtime USING (builder)
                          WHERE attempt.build = build.id AND outcome IS NULL
                            AND runtime.state IN ('BUILDING', 'GATHERING')
                            AND runtime.since > coalesce(%s, '-infinity'::timestamptz)))
    """
    row = connection.execute(query, (builds, since)).fetchone()
    return row is not None and row[0] == len(builds)


def _unfinished(connection: Connection[Any], builds: list[int]) -> int:
    return _count(connection, "state IN ('NEEDSBUILD', 'BUILDING', 'GATHERING')", builds)


def _attempts(connection: Connection[Any], builds: list[int]) -> dict[int, list[str]]:
    """Return the attempts at each build."""
    query = "SELECT build, array_agg(id::text ORDER BY started) FROM attempt WHERE build = ANY (%s) GROUP BY build"
    return dict(connection.execute(query, (builds,)).fetchall())


def _count(connection: Connection[Any], condition: LiteralString, builds: list[int]) -> int:
    query = sql.SQL("SELECT count(*) FROM build WHERE id = ANY (%s) AND ({})").format(sql.SQL(condition))
    row = connection.execute(query, (builds,)).fetchone()
    return int(row[0]) if row is not None else 0

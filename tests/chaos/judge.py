"""What must be true of a farm after the monkey has gone: every job ended exactly once, nothing is left, nobody is blamed falsely.

Each finding is one line in words; none means that the farm has survived.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import zstandard
from psycopg import Connection

from cli.jobs.explaining import unexplained
from storage.check import check
from storage.files.librarian import Librarian
from tests.chaos.monkey import Happened
from tests.chaos.plan import OF_A_BUILDER, OF_THE_DATABASE
from tests.chaos.slave_process import ENDS, log_of

#: seconds after the end of a fault in which a builder may be blamed for it: a slave is lost after `lost` and
#: `reconnect`, a link that was cut delivers late
BLAME_SECONDS: Final = 25.0
#: seconds between two faults of the database in which it may not have come back, or not have been told everything
_BREATH_SECONDS: Final = 5.0
_COMPLETED: Final = ("OK", "PACKAGEFAIL", "DEPFAIL")
_NOBODYS: Final = (*_COMPLETED, "FENCED")  #: outcomes that blame no builder


def judge(connection: Connection[Any], librarian: Librarian, faults: Sequence[Happened]) -> Iterator[str]:
    """Yield what is wrong."""
    for violation in check(connection, librarian, unexplained):
        yield f"invariant {violation.number} ({violation.what}): {'; '.join(violation.rows)}"
    for damage in librarian.verify():
        yield f"the librarian's {damage.sha256} is damaged: {damage.found}"
    yield from _jobs(connection)
    yield from _logs(connection, librarian)
    yield from _blame(connection, faults)
    yield from _builders(connection)


def lost_and_double(connection: Connection[Any]) -> tuple[int, int]:
    """Return how many builds did not end as their source says, and how many results were accepted twice."""
    rows = connection.execute(_BUILDS).fetchall()
    lost = sum(state != expected(source) for _, source, state, _, _ in rows)
    double = sum(max(0, accepted - 1) + max(0, ends - 1) for _, _, _, accepted, ends in rows)
    return lost, double


def expected(source: str) -> str:
    """Return the state in which a build of `source` must end."""
    return ENDS[source.partition("-")[0]][1].value


#: every build: id, source, state, attempts that count, and how often it ended so
_BUILDS: Final = """
    SELECT build.id, source.name::text, build.state::text,
           (SELECT count(*) FROM attempt WHERE attempt.build = build.id
            AND attempt.outcome IN ('OK', 'PACKAGEFAIL', 'DEPFAIL', 'UNVERIFIED', 'CHROOTFAIL', 'TIMEOUT')),
           (SELECT count(*) FROM event WHERE event.subject = 'build:' || build.id
            AND event.after ->> 'state' IN ('FULLYBUILT', 'FAILEDTOBUILD', 'MANUALDEPWAIT', 'FAILEDTOUPLOAD', 'CHROOTWAIT'))
    FROM build JOIN source_release AS source ON source.id = build.source
    ORDER BY build.id
"""


def _jobs(connection: Connection[Any]) -> Iterator[str]:
    for build, source, state, accepted, ends in connection.execute(_BUILDS):
        if state != expected(source):
            yield f"build {build} of {source} is {state}"
        elif (accepted, ends) != (1, 1):
            yield f"build {build} of {source}: {accepted} attempts count, it ended {ends} times"
    for job, build in connection.execute("SELECT id, build FROM buildqueue"):
        yield f"job {job} of build {build} is still there"
    for attempt, builder in connection.execute("SELECT id, builder FROM attempt WHERE outcome IS NULL"):
        yield f"attempt {attempt} on {builder} is still open"
    doubles = "SELECT build, count(DISTINCT attempt) FROM build_file GROUP BY build HAVING count(DISTINCT attempt) > 1"
    for build, attempts in connection.execute(doubles):
        yield f"build {build} has results of {attempts} attempts"


def _logs(connection: Connection[Any], librarian: Librarian) -> Iterator[str]:
    """Compare the log of every attempt that counts with what the slave wrote."""
    rows = connection.execute(
        "SELECT attempt.id, source.name::text, alias.content::text FROM attempt JOIN build ON build.id = attempt.build"
        " JOIN source_release AS source ON source.id = build.source LEFT JOIN library_alias AS alias ON alias.id = attempt.log"
        " WHERE attempt.outcome::text = ANY (%s)",
        (list(_COMPLETED),),
    )
    for attempt, source, sha256 in rows:
        if sha256 is None:
            yield f"attempt {attempt} of {source} has no log"
            continue
        packed = librarian.path(sha256).read_bytes()
        found, whole = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read(), log_of(source)
        if found != whole:
            same = next((at for at, pair in enumerate(zip(found, whole, strict=False)) if pair[0] != pair[1]), None)
            where = f"differs from byte {same} on" if same is not None else f"has {len(found)} of {len(whole)} bytes"
            yield f"the log of attempt {attempt} of {source} {where}"


def _blame(connection: Connection[Any], faults: Sequence[Happened]) -> Iterator[str]:
    """Find what was held against a builder that nobody had done anything to."""
    blamed = connection.execute(
        "SELECT extract(epoch FROM ended)::float, builder::text, outcome::text || ': ' || text FROM attempt"
        " WHERE NOT outcome::text = ANY (%s)"
        " UNION ALL"
        " SELECT extract(epoch FROM at)::float, replace(subject, 'builder:', ''), 'not ok: ' || (after ->> 'failnotes')"
        " FROM event WHERE subject ~ '^builder:' AND after ->> 'failnotes' <> ''"
        " ORDER BY 1",
        (list(_NOBODYS),),
    )
    for at, builder, words in blamed:
        if words.startswith("BREACH") or not any(_explains(one, builder, at, faults) for one in faults):
            yield f"{time.strftime('%H:%M:%S', time.gmtime(at))} {builder} is blamed, and nobody had done anything to it: {words}"


def _explains(one: Happened, builder: str, at: float, faults: Sequence[Happened]) -> bool:
    if one.fault.kind not in OF_A_BUILDER or one.fault.target != builder or at < one.begun:
        return False
    return at <= _noted(one, faults) + BLAME_SECONDS


def _noted(one: Happened, faults: Sequence[Happened]) -> float:
    """Return when a fault could be written down: at its end, or when the database was back from what befell it then."""
    now = time.time()
    noted = now if one.ended is None else one.ended
    for other in sorted(faults, key=lambda other: other.begun):
        if other.fault.kind in OF_THE_DATABASE and other.begun <= noted + _BREATH_SECONDS:
            noted = max(noted, now if other.ended is None else other.ended)
    return noted


def _builders(connection: Connection[Any]) -> Iterator[str]:
    rows = connection.execute(
        "SELECT builder.name::text, builderok, failnotes, notok_kind::text, connected, quarantined_until > now(), quarantine_why"
        " FROM builder LEFT JOIN builder_runtime AS runtime ON runtime.builder = builder.name ORDER BY builder.name"
    )
    for name, ok, notes, kind, connected, quarantined, why in rows:
        if not ok and (kind != "failures" or not notes):
            yield f"{name} is not ok ({kind}): {notes or 'and nothing says why'}"
        if ok and not connected:
            yield f"{name} is ok, and not connected"
        if quarantined and not why:
            yield f"{name} is quarantined, and nothing says why"

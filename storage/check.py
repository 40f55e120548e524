"""The invariants of architecture §9, on a live database and its librarian: `buildd-master check`, and tests.

What is checked here is also kept by constraints, triggers and the repositories; this looks at the rows as if nobody
had.  All queries see one moment.  Invariant 5 needs the matcher, which storage does not know: the caller brings it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from psycopg import Connection

from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.database.patience import unhurried
from storage.database.queries import load
from storage.database.repository import in_words
from storage.farm import FarmStates
from storage.files.librarian import Librarian
from storage.records import Builder, BuilderRuntime, FarmState, Job, Violation

#: Given all jobs, builders, what actors last said of them, and what holds for the whole farm: one line for each job
#: that waits without a reason.
Unexplained = Callable[[tuple[Job, ...], tuple[Builder, ...], tuple[BuilderRuntime, ...], FarmState], Iterable[str]]

INVARIANTS: Final = {
    1: "at most one open attempt per build and per builder",
    2: "a job has a builder if and only if its build has an open attempt there",
    3: "every attempt has the trust of its build, and none is open whose builder's trust was lowered",
    4: "no row is past its deadline by more than a minute",
    5: "every waiting job has a reason, or would be dispatched now",
    6: "every FULLYBUILT build has files, and the librarian has them all",
    7: "every closed attempt has exactly one outcome",
    8: "the last event of every build, job, builder and chroot tells its state",
}

_SQL = load("check")

_QUERIES: Final = {
    1: "one_open_attempt",
    2: "holder_has_attempt",
    3: "trust",
    4: "deadlines",
    6: "built_without_files",
    7: "one_outcome",
    8: "events_tell",
}


def check(conn: Connection[Any], librarian: Librarian, unexplained: Unexplained | None = None) -> tuple[Violation, ...]:
    """Look for violated invariants; changes nothing.

    Args:
        conn: not in a transaction.
        librarian: asked whether it has the files of what was built; `Librarian.verify` reads them.
        unexplained: the matcher's answer to invariant 5; None: that one is left out.

    Returns:
        One entry for each invariant that does not hold, by number; empty: all is well.

    Raises:
        DatabaseUnreachable, SchemaOutdated: could not look.
    """
    with in_words(), unhurried(conn), conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute("SET LOCAL statement_timeout = 0")
        found = {number: [str(row) for (row,) in conn.execute(_SQL[name], {})] for number, name in _QUERIES.items()}
        found[6] += _missing(conn, librarian)
        if unexplained is not None:
            builders = Builders(conn)
            jobs, state = BuildQueue(conn).jobs(), FarmStates(conn).get()
            found[5] = list(unexplained(jobs, builders.all(), builders.runtimes(), state))
    return tuple(Violation(number, INVARIANTS[number], tuple(rows)) for number, rows in sorted(found.items()) if rows)


def _missing(conn: Connection[Any], librarian: Librarian) -> list[str]:
    """Return the files of builds that the librarian does not have."""
    return [
        f"build {build}: the librarian does not have {filename} ({sha256})"
        for build, filename, sha256 in conn.execute(_SQL["built_files"], {})
        if not librarian.has(sha256)
    ]

"""Connections, transactions, migrations, and the lock that makes one master the database's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from psycopg import Connection


def connect(dsn: str, *, application: str, statement_seconds: float = 4.5) -> Connection[Any]:
    """Open a connection in autocommit mode; transactions are made with `acting`.

    Nothing on it waits longer than five seconds: connecting, a statement, a lock, a peer that is gone.  Times come in
    UTC.  What it changes is the doing of `application` unless `acting` names somebody else.

    Args:
        dsn: URL or `key=value` words, as libpq takes them.
        application: shown in `pg_stat_activity`, and who of the events.
        statement_seconds: limit for one statement; 0: none.

    Raises:
        DatabaseUnreachable: says which database, what was said, what to do; never shows a password.
    """
    raise NotImplementedError


@contextmanager
def acting(conn: Connection[Any], who: str, why: str = "", cause: int | None = None) -> Iterator[Connection[Any]]:
    """Run a transaction whose changes are `who`'s doing.

    Args:
        conn: must not be in a transaction.
        who: actor or person.
        why: shown with each event.
        cause: id of the event that led to this.

    Raises:
        DatabaseUnreachable: also when the commit could not be sent: it may or may not have happened.
    """
    raise NotImplementedError
    yield conn


def farm_id(conn: Connection[Any]) -> str:
    """Return the UUID of the farm that this database is."""
    raise NotImplementedError


def migrate(dsn: str) -> tuple[str, ...]:
    """Bring the database up to this version; returns the migrations applied, in order.

    Safe to call from several processes; each migration is one transaction.

    Raises:
        DatabaseUnreachable: can't connect.
        SchemaOutdated: the database was made by a later version; nothing was changed.
    """
    raise NotImplementedError


def pending_migrations(dsn: str) -> tuple[str, ...]:
    """Return the names of migrations that `migrate` would apply; changes nothing.

    Raises:
        DatabaseUnreachable: can't connect.
        SchemaOutdated: the database was made by a later version.
    """
    raise NotImplementedError


class MasterLock:
    """One master per database: a session-level advisory lock on a connection of its own.

    The lock lives as long as the connection, and a forked child shares it: take it in the process that shall hold it,
    after the actor system was forked, or its children keep the database locked when their parent is killed.
    """

    def __init__(self, dsn: str) -> None:
        """Know where; `acquire` connects."""

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AnotherMaster: says who holds it (process id, since when).
            DatabaseUnreachable: can't connect.
        """
        raise NotImplementedError

    def held(self) -> bool:
        """Ask the database whether the lock is still ours (its connection may have broken)."""
        raise NotImplementedError

    def release(self) -> None:
        """Give it back; harmless twice."""
        raise NotImplementedError

    def __enter__(self) -> MasterLock:
        """Acquire."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

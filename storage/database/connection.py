"""Connections, transactions, and the lock that makes one master the database's own.

Migrations are in `storage.database.migration`.  A connection here is always in autocommit mode: what belongs together is said with
`acting`, which also says who does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from storage.database.patience import GRACE_SECONDS, PromptConnection
from storage.database.repository import in_words
from storage.errors import AnotherMaster, BadValue, DatabaseUnreachable

CHANNEL: Final = "farm"  #: the triggers notify here

_CONNECT_SECONDS: Final = 4
_LOCK_SECONDS: Final = 3.0
_HANDOVER_SECONDS: Final = 1.0  #: until the server has noticed that a killed master's connection is gone
_IDLE_SECONDS: Final = 60.0  #: a transaction that somebody forgot holds up the farm for no longer

#: A peer that vanished is noticed in 4.5 s: by keepalives when we wait, by the user timeout when we send.
_KEEPALIVE: Final = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 4500,
}

#: Advisory lock of the master; "buildd" in a number, so that it meets nobody else's.
_MASTER_LOCK: Final = int.from_bytes(b"buildd", "big")


def connect(
    dsn: str,
    *,
    application: str,
    statement_seconds: float = 4.5,
    read_only: bool = False,
    kind: type[PromptConnection] = PromptConnection,
) -> Connection[Any]:
    """Open a connection in autocommit mode; transactions are made with `acting`.

    Nothing on it waits longer than five seconds: connecting, a statement, a lock, a peer that is gone, a server that
    hangs.  Times come in UTC.  What it changes is the doing of `application` unless `acting` names somebody else.

    Args:
        dsn: URL or `key=value` words, as libpq takes them.
        application: shown in `pg_stat_activity`, and who of the events; printable.
        statement_seconds: limit for one statement; 0: none.
        read_only: the server refuses to write, but in transactions begun while the connection's own `read_only` is
            False.
        kind: class of the connection.

    Raises:
        DatabaseUnreachable: says which database and what was said; never shows a password.
        BadValue: `dsn` is none.
    """
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise BadValue(
            f"the database's DSN can't be read: {str(error).splitlines()[0]}; write postgresql://USER@HOST/DATABASE"
            " or host=... dbname=..."
        ) from error
    settings = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_seconds),
        "lock_timeout": _milliseconds(_LOCK_SECONDS),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_SECONDS),
        "farm.who": application,
        "default_transaction_read_only": "on" if read_only else "off",
    }
    options = [str(given.get("options") or ""), *(f"-c {name}={_escaped(value)}" for name, value in settings.items())]
    waits = {key: value for key, value in _KEEPALIVE.items() if key not in given}
    try:
        connection = kind.connect(
            make_conninfo(dsn, options=" ".join(options), application_name=application, **waits), autocommit=True
        )
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[0]
        raise DatabaseUnreachable(f"can't reach the database {shown(dsn)}: {said}") from error
    connection.patience = statement_seconds + GRACE_SECONDS if statement_seconds else None
    return connection


def shown(dsn: str) -> str:
    """Return where a DSN leads, for people: no password, no options."""
    given = conninfo_to_dict(dsn)
    place = [f"{word} {given[key]}" for key, word in _SHOWN if given.get(key)]
    return f"({', '.join(place) or 'with libpq defaults'})"


_SHOWN: Final = (("dbname", "name"), ("host", "at"), ("port", "port"), ("user", "as"))


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
    with in_words(), conn.transaction():
        # The connection says who it is: saying it again would be a journey for nothing on the way of every dispatch.
        if (who, why, cause) != (conn.info.parameter_status("application_name"), "", None):
            conn.execute(
                "SELECT set_config('farm.who', %s, true), set_config('farm.why', %s, true),"
                " set_config('farm.cause', %s, true)",
                (who, why, "" if cause is None else str(cause)),
            )
        yield conn


def farm_id(conn: Connection[Any]) -> str:
    """Return the UUID of the farm that this database is."""
    with in_words():
        row = conn.execute("SELECT id::text FROM farm").fetchone()
    if row is None:
        raise BadValue("the database has no farm: its table `farm` is empty; restore its row, slaves know its id")
    return str(row[0])


def master_of(conn: Connection[Any]) -> str:
    """Return since when and from where a master works on the database, in words; empty if none does."""
    with in_words():
        return _since(conn.execute(_HOLDER, (_MASTER_LOCK,)).fetchone())


def _since(holder: tuple[Any, ...] | None) -> str:
    return f" since {holder[0]:%Y-%m-%d %H:%M:%S} UTC, from {holder[1]}" if holder else ""


class MasterLock:
    """One master per database: a session-level advisory lock on a connection of its own.

    The lock lives as long as the connection, and a forked child shares it: take it in the process that shall hold it,
    after the actor system was forked, or its children keep the database locked when their parent is killed.
    """

    def __init__(self, dsn: str) -> None:
        """Know where; `acquire` connects."""
        self._dsn = dsn
        self._conn: Connection[Any] | None = None
        self._server = 0  # the server's process for the connection that holds it, or held it last

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AnotherMaster: says who holds it (process id of its connection's server, since when).
            DatabaseUnreachable: can't connect; or our own lost connection still holds it, whose server's process hangs.
        """
        conn = connect(self._dsn, application="buildd-master lock")
        try:
            self._lock(conn)
        except BaseException:
            conn.close()
            raise
        self._conn, self._server = conn, conn.info.backend_pid

    def _lock(self, conn: Connection[Any]) -> None:
        with in_words():
            conn.execute("SELECT set_config('lock_timeout', %s, false)", (_milliseconds(_HANDOVER_SECONDS),))
            try:
                conn.execute("SELECT pg_advisory_lock(%s)", (_MASTER_LOCK,))
            except psycopg.errors.LockNotAvailable:
                row = conn.execute(_HOLDER, (_MASTER_LOCK,)).fetchone()
                if row is not None and row[2] == self._server:
                    message = f"the database has not noticed yet that our connection (its process {row[2]}) is gone"
                    raise DatabaseUnreachable(message) from None
                raise AnotherMaster(
                    f"another master works on the database {shown(self._dsn)}{_since(row)}; stop it, or use another database"
                ) from None

    def farm(self) -> str:
        """Return the UUID of the farm that is locked; the lock is held."""
        assert self._conn is not None  # noqa: S101 - it is held
        return farm_id(self._conn)

    def held(self) -> bool:
        """Ask the database whether the lock is still ours (its connection may have broken)."""
        if self._conn is None or self._conn.closed:
            return False
        try:
            row = self._conn.execute(_HELD, (_MASTER_LOCK,)).fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and bool(row[0])

    def release(self) -> None:
        """Give it back; harmless twice."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def __enter__(self) -> Self:
        """Acquire."""
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        """Release."""
        self.release()


# An advisory lock's 64-bit key is shown in two halves.
_LOCKS: Final = """
    FROM pg_locks AS held
    WHERE held.locktype = 'advisory' AND held.granted
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (held.classid::bigint << 32 | held.objid::bigint) = %s
"""
_HELD: Final = f"SELECT EXISTS (SELECT {_LOCKS} AND held.pid = pg_backend_pid())"
_HOLDER: Final = f"""
    SELECT holder.backend_start, coalesce(host(holder.client_addr), 'this machine'), holder.pid
    FROM pg_stat_activity AS holder
    WHERE holder.pid IN (SELECT held.pid {_LOCKS})
"""  # noqa: S608 - our own words


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _escaped(value: str) -> str:
    """Escape blanks and backslashes as libpq's `options` wants them."""
    return "".join(f"\\{letter}" if letter in " \\" else letter for letter in value)

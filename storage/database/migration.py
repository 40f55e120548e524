"""Migrations: the numbered files of `storage/sql/migrations`, applied by yoyo (`docs/adr/0020`).

Each migration is one transaction.  An advisory lock makes it safe to migrate from several processes, and leaves nothing
behind when one of them dies (yoyo's own lock is a row, and would).
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from storage.database.connection import connect, shown
from storage.database.queries import FOLDER
from storage.database.repository import in_words
from storage.errors import SchemaOutdated, StorageError

MIGRATIONS: Final = FOLDER / "migrations"

_HISTORY: Final = "_yoyo_migration"  #: yoyo's own name for its table
_LOCK: Final = int.from_bytes(b"migrate", "big")


def migrate(dsn: str) -> tuple[str, ...]:
    """Bring the database up to this version.

    Safe to call from several processes; each migration is one transaction.

    Returns:
        The names of the migrations applied, in order; empty if there was nothing to do.

    Raises:
        DatabaseUnreachable: can't connect.
        SchemaOutdated: the database was made by a later version; nothing was changed.
        StorageError: the database has tables of ours without their history; nothing was changed.
    """
    with connect(dsn, application="migrate", statement_seconds=0) as conn, in_words():
        conn.execute("SET lock_timeout = 0")
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        pending = _pending(conn, dsn)
        if pending:
            try:
                _apply(dsn)
            except psycopg.ProgrammingError as error:
                raise StorageError(
                    f"the database {shown(dsn)} can't be migrated: {str(error).splitlines()[0]};"
                    " nothing of the migration that failed was done"
                ) from error
    return pending


def pending_migrations(dsn: str) -> tuple[str, ...]:
    """Return the names of migrations that `migrate` would apply; changes nothing.

    Raises:
        DatabaseUnreachable: can't connect.
        SchemaOutdated: the database was made by a later version.
    """
    with connect(dsn, application="migrate") as conn:
        return _pending(conn, dsn)


def _pending(conn: Connection[Any], dsn: str) -> tuple[str, ...]:
    ours = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.sql"))
    with in_words():
        row = conn.execute("SELECT to_regclass(%s), to_regclass('buildqueue')", (_HISTORY,)).fetchone()
        history, queue = row or (None, None)
        if history is None:
            if queue is not None:
                raise StorageError(
                    f"the database {shown(dsn)} has a table buildqueue that is not ours; use a database of its own"
                )
            return tuple(ours)
        applied = {str(name) for (name,) in conn.execute(f"SELECT migration_id FROM {_HISTORY}")}  # noqa: S608 - our constant
    strangers = sorted(applied - set(ours))
    if strangers:
        raise SchemaOutdated(
            f"the database {shown(dsn)} was made by a later version: it has {', '.join(strangers)};"
            " run that version, or a newer one"
        )
    return tuple(name for name in ours if name not in applied)


def _apply(dsn: str) -> None:
    """Let yoyo apply what is missing; we hold the lock, so a lock of yoyo's is a dead process's."""
    # Imported only where it is needed: every start of every command would pay for it.
    from yoyo import read_migrations  # noqa: PLC0415
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # noqa: PLC0415
    from yoyo.connections import DatabaseURI  # noqa: PLC0415

    words = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    where = DatabaseURI(
        scheme="postgresql+psycopg",
        username=None,
        password=None,
        hostname=None,
        port=None,
        database=words.pop("dbname", None),
        args={**words, "application_name": "migrate"},
    )
    backend = PostgresqlPsycopgBackend(where, _HISTORY)
    try:
        backend.init_database()
        backend.break_lock()
        with backend.lock():
            backend.apply_migrations(backend.to_apply(read_migrations(str(MIGRATIONS))))
    finally:
        backend.connection.close()

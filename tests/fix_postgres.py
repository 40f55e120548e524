"""A real PostgreSQL for tests: one embedded server a session, a fresh database a test.

`farm_database` copies a template that has all migrations, or takes a copy that an earlier test is done with: emptying one
costs a tenth of making one, and its catalogues are warm.  A copy whose schema or settings a test changed goes away.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from storage.database.connection import connect
from storage.database.embedded import Embedded
from storage.database.migration import migrate

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the DSN of a running server's database `postgres`; we may make databases on it."""
    server = Embedded(tmp_path_factory.mktemp("postgres"), durable=False)
    try:
        yield make_conninfo(server.start(), dbname="postgres")
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _template(postgres_dsn: str) -> str:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_farm")
    migrate(make_conninfo(postgres_dsn, dbname="template_farm"))
    return "template_farm"


@pytest.fixture
def empty_database(postgres_dsn: str) -> Iterator[str]:
    """Yield the DSN of a new database without any table."""
    yield from new_database(postgres_dsn, "template1")


@pytest.fixture(scope="session")
def seeds(postgres_dsn: str, _template: str) -> Seeds:
    """Return what brings a database back to what migrations make."""
    with psycopg.connect(postgres_dsn, dbname=_template) as connection:
        return Seeds(connection)


@pytest.fixture(scope="session")
def _spare() -> list[str]:  # DSNs
    return []


@pytest.fixture
def farm_database(postgres_dsn: str, _template: str, seeds: Seeds, _spare: list[str]) -> Iterator[str]:
    """Yield the DSN of a database with all migrations and nothing else, of a name that no test had before."""
    dsn = _spare.pop() if _spare else make_database(postgres_dsn, _template)
    yield dsn
    renamed = rename_database(postgres_dsn, dsn)
    with psycopg.connect(renamed, autocommit=True) as connection:
        as_new = seeds.has_schema(connection)
        if as_new:
            seeds.restore(connection)
            _spare.append(renamed)
    if not as_new:
        drop_database(postgres_dsn, renamed)


@pytest.fixture
def connection(farm_database: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to the test's database."""
    with connect(farm_database, application="test") as opened:
        yield opened


@pytest.fixture
def state_directory(tmp_path: Path) -> Path:
    """Return an empty directory for a farm's state."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory


def new_database(server: str, template: str) -> Iterator[str]:
    """Yield the DSN of a copy of `template`, and drop it."""
    dsn = make_database(server, template)
    yield dsn
    drop_database(server, dsn)


def make_database(server: str, template: str) -> str:
    """Copy `template` and return the copy's DSN."""
    name = _new_name()
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
    return make_conninfo(server, dbname=name)


def drop_database(server: str, dsn: str) -> None:
    """Drop a database, whoever is still connected."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_name(dsn)))


def rename_database(server: str, dsn: str) -> str:
    """End everybody's connection and return the new DSN: what is left of a test does not come back by the old one."""
    name = _new_name()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(_END_ALL, (conninfo_to_dict(dsn)["dbname"],))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(_name(dsn), sql.Identifier(name)))
    return make_conninfo(server, dbname=name)


_END_ALL = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"


def _new_name() -> str:
    return f"test_{next(_numbers)}"


def _name(dsn: str) -> sql.Identifier:
    return sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))


class Seeds:
    """The rows of a database, few; it and its copies are brought back to them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Look at a database that nobody else uses."""
        self._schema = _schema(connection)
        statements = ["SET LOCAL session_replication_role = replica"]  # rows only, without triggers
        for name, columns in connection.execute(_TABLES).fetchall():
            statements.append(f"DELETE FROM {name}")
            rows = connection.execute(f"SELECT jsonb_agg(the_row)::text FROM {name} AS the_row").fetchone()
            if rows is not None and rows[0] is not None:
                given = f"jsonb_populate_recordset(NULL::{name}, {sql.Literal(rows[0]).as_string(connection)})"
                statements.append(
                    f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {given}"
                )
        sequences = connection.execute("SELECT quote_ident(sequencename), last_value FROM pg_sequences").fetchall()
        at = [f"setval('{name}', {last or 1}, {last is not None})" for name, last in sequences]
        self._restore = ";\n".join(["BEGIN", *statements, f"SELECT {', '.join(at)}", "COMMIT"])

    def restore(self, connection: psycopg.Connection[Any]) -> None:
        """Leave these rows only; the connection is in no transaction."""
        connection.execute(self._restore)

    def has_schema(self, connection: psycopg.Connection[Any]) -> bool:
        """Return whether tables, functions, triggers, grants and settings are what they were."""
        return _schema(connection) == self._schema


def _schema(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(_SCHEMA).fetchall()


_TABLES = """
SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ')
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.oid ORDER BY c.oid
"""

#: A row of a catalogue that was written anew has another xmin.
_SCHEMA = """
SELECT 'class', count(*), sum(xmin::text::bigint) FROM pg_class
UNION ALL SELECT 'attribute', count(*), sum(xmin::text::bigint) FROM pg_attribute
UNION ALL SELECT 'default', count(*), sum(xmin::text::bigint) FROM pg_attrdef
UNION ALL SELECT 'constraint', count(*), sum(xmin::text::bigint) FROM pg_constraint
UNION ALL SELECT 'trigger', count(*), sum(xmin::text::bigint) FROM pg_trigger
UNION ALL SELECT 'function', count(*), sum(xmin::text::bigint) FROM pg_proc
UNION ALL SELECT 'namespace', count(*), sum(xmin::text::bigint) FROM pg_namespace
UNION ALL SELECT 'setting', count(*), 0 FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
          WHERE d.datname = current_database()
"""

"""A real PostgreSQL for tests: one embedded server a session, a fresh database a test.

`farm_database` copies a template that has all migrations: milliseconds each.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from storage.database import connect
from storage.embedded import Embedded
from storage.migration import migrate

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


@pytest.fixture
def farm_database(postgres_dsn: str, _template: str) -> Iterator[str]:
    """Yield the DSN of a new database with all migrations; dropped afterwards, whoever is still connected."""
    yield from new_database(postgres_dsn, _template)


@pytest.fixture
def connection(farm_database: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to the test's database."""
    with connect(farm_database, application="test") as opened:
        yield opened


def new_database(server: str, template: str) -> Iterator[str]:
    """Yield the DSN of a copy of `template`, and drop it."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def state_directory(tmp_path: Path) -> Path:
    """Return an empty directory for a farm's state."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory

"""A database that a test had before is as new for the next one, or is not given to it (`tests/fix_postgres.py`)."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.fix_postgres import Seeds
from tests.fix_storage import every_row, on_postgresql


@pytest.fixture
def used(connection: psycopg.Connection) -> psycopg.Connection:
    stage = on_postgresql(connection)
    stage.claim(stage.job(), stage.builder())
    return connection


def test_what_a_test_has_written_is_gone_and_what_it_took_away_is_back(used: psycopg.Connection, seeds: Seeds) -> None:
    used.execute("INSERT INTO processor_family (name, architectures) VALUES ('mine', '{mine}')")
    used.execute("UPDATE farm SET paused = 'a try'")
    used.execute("DELETE FROM build_move")
    seeds.restore(used)
    first = every_row(used)
    assert {name for name, rows in first.items() if rows} == {
        "build_move",
        "component",
        "farm",
        "processor_family",
        "team",
    }
    seeds.restore(used)
    assert every_row(used) == first
    assert used.execute("SELECT paused FROM farm").fetchone() == ("",)
    assert used.execute("SELECT count(*) FROM processor_family WHERE name = 'mine'").fetchone() == (0,)
    stage = on_postgresql(used)
    assert (stage.job().id, stage.events.last_id() > 0) == (1, True)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE build ADD COLUMN mine text",
        "ALTER TABLE build DISABLE TRIGGER ALL",
        "DROP INDEX attempt_build",
        "GRANT SELECT ON build TO pg_monitor",
        "CREATE OR REPLACE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
    ],
)
def test_a_schema_that_was_changed_is_noticed(used: psycopg.Connection, seeds: Seeds, change: str) -> None:
    assert seeds.has_schema(used)
    used.execute(sql.SQL(change))
    assert not seeds.has_schema(used)


def test_a_setting_of_the_database_is_noticed(used: psycopg.Connection, seeds: Seeds) -> None:
    used.execute(sql.SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(sql.Identifier(used.info.dbname)))
    assert not seeds.has_schema(used)

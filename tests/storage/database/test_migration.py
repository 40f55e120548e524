"""Migrations, and the schema they add up to."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from storage.database import migration
from storage.database.connection import connect
from storage.database.migration import MIGRATIONS, migrate, pending_migrations
from storage.database.queries import FOLDER
from storage.database.schema import dump
from storage.errors import DatabaseUnreachable, SchemaOutdated, StorageError

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

NAMES = tuple(sorted(path.stem for path in MIGRATIONS.glob("*.sql")))


def test_an_empty_database_is_brought_up_once(empty_database: str) -> None:
    assert pending_migrations(empty_database) == NAMES
    assert migrate(empty_database) == NAMES
    assert pending_migrations(empty_database) == ()
    assert migrate(empty_database) == ()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(name.split(".")[0]) for name in NAMES] == list(range(1, len(NAMES) + 1))


def test_the_schema_file_is_what_the_migrations_make(farm_database: str) -> None:
    assert dump(farm_database) == (FOLDER / "schema.sql").read_text(), (
        "write it again with `python -m storage.database.schema DSN`"
    )


def test_the_schema_file_makes_the_same_database(empty_database: str) -> None:
    with psycopg.connect(empty_database) as conn:
        conn.execute((FOLDER / "schema.sql").read_bytes())
    assert dump(empty_database) == (FOLDER / "schema.sql").read_text()


def test_a_dsn_may_be_a_url_with_a_socket(empty_database: str) -> None:
    given = conninfo_to_dict(empty_database)
    assert migrate(f"postgresql://{given['user']}@/{given['dbname']}?host={given['host']}") == NAMES
    assert pending_migrations(empty_database) == ()


def test_several_may_migrate_at_once(empty_database: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(migrate, [empty_database] * 3))
    assert sorted(applied) == [(), (), NAMES]


def test_what_a_dead_process_left_locked_is_no_obstacle(empty_database: str) -> None:
    with psycopg.connect(empty_database) as conn:
        conn.execute("CREATE TABLE yoyo_lock (locked int DEFAULT 1 PRIMARY KEY, ctime timestamp, pid int NOT NULL)")
        conn.execute("INSERT INTO yoyo_lock (ctime, pid) VALUES (now(), 1)")
    assert migrate(empty_database) == NAMES


def test_a_database_of_a_later_version_is_left_alone(connection: psycopg.Connection, farm_database: str) -> None:
    connection.execute(
        """INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)
           VALUES ('x', '9999.later', now())"""
    )
    for act in (migrate, pending_migrations):
        with pytest.raises(SchemaOutdated, match=r"later version: it has 9999\.later"):
            act(farm_database)


def test_somebody_elses_tables_are_left_alone(empty_database: str) -> None:
    with psycopg.connect(empty_database) as conn:
        conn.execute("CREATE TABLE buildqueue (mine int)")
    with pytest.raises(StorageError, match="buildqueue that is not ours"):
        migrate(empty_database)


def test_a_migration_that_fails_is_undone_whole(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations" / "9999.bad.sql").write_text("CREATE TABLE half (a int);\nSELECT no_such_thing();\n")
    monkeypatch.setattr(migration, "MIGRATIONS", tmp_path / "migrations")
    with pytest.raises(StorageError, match=r"can't be migrated: .*no_such_thing"):
        migrate(empty_database)
    with connect(empty_database, application="test") as conn:
        row = conn.execute("SELECT to_regclass('half'), to_regclass('build')").fetchone()
    assert row == (None, "build")
    assert pending_migrations(empty_database) == ("9999.bad",)


def test_arrays_of_arrays_that_are_there_are_flat_after_the_14th(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    for later in (tmp_path / "migrations").glob("[0-9]*.sql"):
        if later.name >= "0014":
            later.unlink()
    with monkeypatch.context() as before:
        before.setattr(migration, "MIGRATIONS", tmp_path / "migrations")
        migrate(empty_database)
    with connect(empty_database, application="test") as conn:
        conn.execute(
            "INSERT INTO builder (name, url, families, trusted, tags)"
            " VALUES ('bob', 'buildd://bob.example:8221', '{{x86,amd64},{x86,arm64}}', true, '{{kvm},{gpu}}'),"
            " ('eve', 'buildd://eve.example:8221', '{x86}', true, '{}')"
        )
    migrate(empty_database)
    with connect(empty_database, application="test") as conn:
        rows = conn.execute("SELECT name, families, tags FROM builder ORDER BY name").fetchall()
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute("UPDATE builder SET families = '{{x86},{amd64}}'")
    assert rows == [("bob", ["x86", "amd64", "x86", "arm64"], ["kvm", "gpu"]), ("eve", ["x86"], [])]


def test_a_database_that_is_not_there_is_said_so() -> None:
    with pytest.raises(DatabaseUnreachable, match="name nowhere"):
        migrate("host=/nonexistent dbname=nowhere")

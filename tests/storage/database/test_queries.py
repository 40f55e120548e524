"""Named queries and rows as records."""

from __future__ import annotations

import re

import psycopg
import pytest

from storage.database.queries import FOLDER, load, parse
from storage.database.rows import record_row
from storage.records import BuildState, NamedFile, ProcessorFamily
from tests.fix_storage import Farm

AGGREGATES = sorted(path.stem for path in FOLDER.glob("*.sql") if path.stem != "schema")


def test_a_file_is_split_at_its_headings() -> None:
    assert parse("-- About.\n\n-- one --\n-- Why.\nSELECT 1;\n\n-- two --\nSELECT 2;\n", "x") == {
        "one": b"-- Why.\nSELECT 1;",
        "two": b"SELECT 2;",
    }


def test_our_own_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x\.sql: two queries of one name"):
        parse("-- one --\nSELECT 1;\n-- one --\nSELECT 2;\n", "x")
    with pytest.raises(ValueError, match=r"x\.sql: SQL before the first heading"):
        parse("SELECT 1;\n-- one --\nSELECT 2;\n", "x")


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_every_query_is_used_and_every_used_query_exists(aggregate: str) -> None:
    modules = (path.read_text() for path in FOLDER.parent.rglob("*.py"))
    used = {
        name
        for source in modules
        if f'_SQL = load("{aggregate}")' in source
        for name in re.findall(r'_SQL\["(\w+)"\]', source)
    }
    if aggregate == "check":
        used |= set(re.findall(r'\d: "(\w+)"', (FOLDER.parent / "check.py").read_text()))
    assert used == set(load(aggregate))


def test_enumerations_tuples_and_files_come_as_the_record_says(farm: Farm) -> None:
    job = farm.job()
    assert type(farm.queue.job(job.id).state) is BuildState
    farm.claim(job, farm.builder("bob"))
    (attempt,) = farm.queue.open_attempts()
    order = farm.queue.order(attempt.id)
    assert type(order.chroot) is NamedFile
    assert type(order.files) is tuple
    assert {type(file) for file in order.files} == {NamedFile}


def test_a_column_that_the_record_does_not_have_is_our_mistake(farm: Farm) -> None:
    with farm.conn.cursor(row_factory=record_row(ProcessorFamily)) as cursor, pytest.raises(KeyError):
        cursor.execute("SELECT 1 AS stranger").fetchone()
    with pytest.raises(psycopg.errors.UndefinedColumn):
        farm.conn.execute("SELECT stranger FROM build")

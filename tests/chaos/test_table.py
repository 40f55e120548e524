"""The figures of the runs: made from their records, put into a document between its marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.plan import Kind
from tests.chaos.table import BEGIN, END, percentile, table, write_into


def fault(kind: Kind, recovered: float | None, note: str = "") -> dict[str, Any]:
    return {"kind": kind.value, "recovered": recovered, "note": note}


def record(seed: int, *faults: dict[str, Any], wrong: tuple[str, ...] = (), lost: int = 0) -> dict[str, Any]:
    return {
        "orders": {"seed": seed, "jobs": 300},
        "ended": {"FULLYBUILT": 299, "FAILEDTOBUILD": 1},
        "outcomes": {"OK": 299, "PACKAGEFAIL": 1, "LOST": seed},
        "lost": lost,
        "double": 0,
        "acts": [{"what": "set ok"}] if wrong else [],
        "wrong": list(wrong),
        "seconds": 100.0 + seed,
        "faults": list(faults),
    }


@pytest.fixture
def records(tmp_path: Path) -> Path:
    one = record(1, fault(Kind.KILL_QUEUE, 1.0), fault(Kind.KILL_QUEUE, 3.0), fault(Kind.CUT_LINK, None))
    two = record(2, fault(Kind.KILL_QUEUE, 2.0), fault(Kind.KILL_ADMIN, None, "left out: there was nobody to hit"))
    three = record(3, wrong=("a job is lost",), lost=1)
    for number, one_record in ((1, one), (2, two), (3, three)):
        (tmp_path / f"seed-{number}.json").write_text(json.dumps(one_record))
    return tmp_path


def test_jobs_faults_and_what_was_lost_are_counted_over_all_runs(records: Path) -> None:
    figures = table(records)
    assert "| 3 runs (seeds 1-3) | |" in figures
    for line in ("| survived | 2 |", "| jobs | 900 |", "| faults | 4 |", "| lost | 1 |", "| accepted twice | 0 |"):
        assert line in figures
    assert "| attempts | OK 897, LOST 6, PACKAGEFAIL 3 |" in figures
    assert "| operator | set ok 1 |" in figures


def test_each_kind_of_fault_has_its_time_of_recovery(records: Path) -> None:
    figures = table(records)
    assert "| the queue actor: kill -9 | 3 | 2.0 s | 3.0 s |" in figures
    assert "| a link: cut, both ways, 1-12 s | 1 | - | - |" in figures
    assert "| Thespian's admin: kill -9 | 0 | - | - |" in figures, "it was left out"
    assert "| all | 4 | 2.0 s | 3.0 s |" in figures


def test_every_kind_has_a_line(records: Path) -> None:
    assert table(records).count("\n| ") >= len(Kind) + 10


def test_without_records_it_says_how_they_are_made(tmp_path: Path) -> None:
    assert "make chaos" in table(tmp_path)


def test_figures_go_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(document, "new\n")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    write_into(document, "newer\n")
    assert document.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([1.0], 50) == 1.0

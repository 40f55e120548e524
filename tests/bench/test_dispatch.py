from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.dispatch import percentile

CHECKOUT = Path(__file__).parents[2]


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 50) == 7.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


@pytest.mark.slow
def test_the_benchmark_prints_one_json_line_and_leaves_nothing_behind(short_directory: Path) -> None:
    command = [sys.executable, "-m", "bench", "dispatch", "--builders", "2", "--jobs", "4", "--json"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(short_directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, check=False, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert list(found) == [
        "builders",
        "jobs",
        "p50_ms",
        "p99_ms",
        "jobs_per_s",
        "raw_claims_per_s",
        "pss_mb_per_builder",
    ]
    assert (found["builders"], found["jobs"]) == (2, 4)
    assert all(number > 0 for number in found.values())
    assert found["p50_ms"] <= found["p99_ms"]
    assert list(short_directory.iterdir()) == []

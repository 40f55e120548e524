"""The matcher's benchmark measures what it says; how fast is no test's business."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from actors.core.dispatch.events import BuildersRead, JobsRead
from actors.core.dispatch.matcher import Dispatch
from bench import matcher

CHECKOUT = Path(__file__).parents[2]


def test_the_benchmark_prints_one_json_line() -> None:
    command = [sys.executable, "-m", "bench", "matcher", "--json", "--jobs", "200", "--builders", "16"]
    ran = subprocess.run(
        [*command, "--owners", "5", "--decisions", "50"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    found = json.loads(ran.stdout)
    assert list(found) == ["us_per_decision", "memory_mb", "naive_us"]
    assert all(number > 0 for number in found.values())


def test_the_naive_matcher_and_the_farms_own_decide_alike() -> None:
    chance = random.Random(3)
    for number in range(20):
        jobs = [matcher._job(job, 5, chance) for job in range(1, 60)]
        builder = matcher._builder(number, chance)
        dispatch = Dispatch()
        dispatch.handle(BuildersRead((builder,)), JobsRead(tuple(jobs)))
        has: dict[str, int] = {}
        matcher._give(dispatch, has, builder.name)
        naive = matcher._naive(jobs, builder)
        assert has == ({} if naive is None else {builder.name: naive.job})

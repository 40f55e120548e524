"""The benchmark of a restart says what it says it does, on a small farm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--kill"]])
def test_every_build_that_ran_is_adopted_and_built_once(short_directory: Path, how: list[str]) -> None:
    command = [sys.executable, "-m", "bench", "restart", "--builders", "3", "--seconds", "12", "--json", *how]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(short_directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, check=False, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["builders"], found["adopted"], found["lost"], found["twice"]) == (3, 2, 0, 0)
    assert found["dispatch_s"] > 0
    assert not list(short_directory.iterdir())

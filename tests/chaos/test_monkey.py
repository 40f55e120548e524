"""The short form of `make chaos`: a monkey plays with a real farm for half a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.farm import CHECKOUT

pytestmark = pytest.mark.slow


def test_a_real_farm_survives_a_monkey(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "run", "--seed", "11", "--jobs", "40", "--slaves", "4"]
    command += ["--faults", "10", "--seconds", "0.8", "--records", str(tmp_path)]
    ran = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "seed-11.json").read_text())
    assert (record["lost"], record["double"], record["wrong"]) == (0, 0, [])
    assert len(record["faults"]) == 10

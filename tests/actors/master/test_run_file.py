"""The file that says where a farm runs: one that is damaged says nothing."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from actors.master.run_file import RunningFarm, running_farm, write_run_file


def test_a_farm_that_runs_is_found(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        farm = RunningFarm(os.getpid(), door.getsockname()[1], 4711, "here", "a-uuid")
        write_run_file(tmp_path / "run.json", farm)
        assert running_farm(tmp_path / "run.json") == farm


@pytest.mark.parametrize(
    "damage",
    [
        {"pid": 2**70}, {"pid": -1}, {"pid": 0}, {"pid": "1"}, {"pid": None},
        {"admin_port": 99_999}, {"admin_port": -4}, {"admin_port": "a"},
        {"supervisor_port": 99_999}, {"supervisor_port": []}, {"supervisor_port": True},
    ],
)  # fmt: skip
def test_a_damaged_file_is_none(tmp_path: Path, damage: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        farm = RunningFarm(os.getpid(), door.getsockname()[1], 4711, "here", "a-uuid")
        (tmp_path / "run.json").write_text(json.dumps({**asdict(farm), **damage}))
        assert running_farm(tmp_path / "run.json") is None

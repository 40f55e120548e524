"""The benchmark of taps compares what it says it compares, on a small farm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.bare import SwitchedBuilder, half_of

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["sim1", "sim2"])
def test_the_half_whose_byte_is_set_does_without_the_seams(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    actor = SwitchedBuilder()
    actor.half = half_of(name)
    seams = Mock(over=False, frozen=False)
    seams.holds.return_value = True
    monkeypatch.setattr(actor, "_examined", seams)
    monkeypatch.setattr(actor, "send", Mock())
    monkeypatch.setattr(actor, "receive", Mock())
    for own in (0, 1):
        seams.reset_mock()
        monkeypatch.setattr(SwitchedBuilder, "bytes", tuple(own if half == actor.half else 1 - own for half in (0, 1)))
        actor.tell(None, "a message")
        actor.receiveMessage("another", None)
        assert (seams.sent.called, seams.holds.called) == ((True, True) if own == 0 else (False, False))


@pytest.mark.slow
def test_halves_of_one_farm_are_compared_and_nothing_is_left_behind(short_directory: Path) -> None:
    command = [sys.executable, "-m", "bench", "taps", "--builders", "2", "--comparisons", "2", "--seconds", "0.5"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(short_directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*command, "--json"], check=False, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["builders"], found["comparisons"], found["on_lost"]) == (2, 2, 0)
    assert found["jobs"] > 0
    assert found["messages_per_job"] > 1
    assert not list(short_directory.iterdir())

"""The benchmark of the simulator measures what it says."""

from __future__ import annotations

from bench.simulate import measure


def test_a_small_farm_is_measured() -> None:
    found = measure(builders=5, jobs=20, hours=1.0, minutes=3.0, faults="none")
    assert found.builds_per_second > 0
    assert 20 < found.steps_per_build < 2000
    assert found.farm_hours_per_minute > 0

"""The simulator's figures are counted from stories, and from nothing else."""

from __future__ import annotations

from collections import defaultdict

from simulation.observers.story import Line
from simulation.scenario.plan import Trouble
from tests.fix_simulation import Tale
from tests.simulation.figures import Told, count, table


def told_by(tale: Tale) -> dict[str, Told]:
    told: defaultdict[str, Told] = defaultdict(Told)
    count(tale.run().lines, told)
    return told


def test_an_attempt_that_a_fault_ends_is_laid_to_it_and_one_that_survives_is_not() -> None:
    tale = Tale()
    tale.builder("a", "b")
    tale.job("foo", "bar", seconds=1000.0)
    tale.fault(100.0, Trouble.RESET, "a")
    tale.fault(300.0, Trouble.HOST_DEAD, "a", seconds=600.0)
    told = told_by(tale)
    reset, dead = told["connection reset"], told["host dead"]
    assert (reset.times, reset.hit, reset.again) == (1, 1, [])
    assert (dead.times, dead.hit, len(dead.again)) == (1, 1, 1)
    assert 10.0 < dead.again[0] < 60.0


def test_a_fault_of_the_farm_is_over_when_what_waits_is_given_away_again() -> None:
    tale = Tale()
    tale.builder("a")
    tale.job("foo", at=110.0)
    tale.fault(100.0, Trouble.DATABASE_AWAY, seconds=60.0)
    tale.fault(5000.0, Trouble.DATABASE_AWAY, seconds=60.0)
    away = told_by(tale)["database away"]
    assert (away.times, len(away.goes_on)) == (2, 1), "nothing waits when the second is over"
    assert away.goes_on[0] < 10.0


def test_the_table_sums_up_all_stories() -> None:
    def story(build: int, state: str) -> list[Line]:
        return [
            {"at": 0.0, "what": "begun", "seed": 1, "builders": 1, "hours": 1.0},
            {"at": 1.0, "what": "fault", "trouble": "clock jump", "strength": 5.0},
            {"at": 2.0, "what": "build", "build": build, "state": state},
            {"at": 9.0, "what": "end"},
        ]

    made = table([story(1, "FULLYBUILT"), story(2, "CANCELLED")], [Trouble.CLOCK_JUMP, Trouble.CUT])
    assert "| builds ended | FULLYBUILT 1, CANCELLED 1 |" in made
    assert "| faults | 2 |" in made
    assert "| clock jump | 2 |" in made
    assert "network cut" not in made

"""The time of day goes with the agenda, and jumps when somebody sets it."""

from __future__ import annotations

from datetime import timedelta

from simulation.environment.agenda import Agenda
from simulation.environment.clock import EPOCH, Clock

HOUR = timedelta(hours=1)


def test_it_jumps_in_the_second_in_which_it_is_set() -> None:
    agenda = Agenda()
    clock = Clock(agenda)
    agenda.run(60.0)
    assert clock.time_of_day() == EPOCH + timedelta(seconds=60)
    clock.jump(-HOUR)
    assert clock.time_of_day() == EPOCH + timedelta(seconds=60) - HOUR
    agenda.run(90.0)
    assert clock.time_of_day() == EPOCH + timedelta(seconds=90) - HOUR


def test_it_knows_whether_it_was_set_lately() -> None:
    agenda = Agenda()
    clock = Clock(agenda)
    assert not clock.jumped_since(1e9)
    agenda.run(60.0)
    clock.jump(HOUR)
    agenda.run(100.0)
    assert clock.jumped_since(40.1)
    assert not clock.jumped_since(40.0)

"""The post between actors keeps its promises."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from simulation.environment.agenda import Agenda
from simulation.environment.mail import LATE, Mail


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 99))
def test_late_and_double_letters_keep_their_order(ways: list[int], seed: int) -> None:
    agenda = Agenda()
    mail = Mail(agenda, random.Random(seed))
    mail.troubled = 1
    got: list[tuple[int, int]] = []
    for number, way in enumerate(ways):
        mail.send(str(way), got.append, (way, number))
    agenda.run(100 * LATE)
    for way in set(ways):
        heard = [number for where, number in got if where == way]
        assert heard == sorted(heard)
        assert sorted(set(heard)) == [number for number, where in enumerate(ways) if where == way]
        assert max(map(heard.count, heard)) <= 2

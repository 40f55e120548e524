"""The agenda keeps its order."""

from __future__ import annotations

from simulation.environment.agenda import Agenda


def test_what_is_due_at_once_happens_in_the_order_in_which_it_was_put_down() -> None:
    agenda = Agenda()
    happened: list[str] = []
    agenda.at(2.0, happened.append, "later")
    agenda.at(1.0, happened.append, "one")
    agenda.at(1.0, happened.append, "two")
    agenda.at(1.0, agenda.after, 0.0, happened.append, "three")
    agenda.run(1.5)
    assert (happened, agenda.now, agenda.next) == (["one", "two", "three"], 1.5, 2.0)
    agenda.run(3.0)
    assert (happened[-1], agenda.steps) == ("later", 5)

"""A failing farm becomes the shortest story of its failure."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core.builder.attempt.in_hand import AttemptInHand
from actors.core.builder.orders import Order, Send
from protocol.messages import Clean, Status
from simulation.run import draw, run
from simulation.shrink import shortest_story, shrink, told

PLAN = draw(seed=6, builders=3, jobs=10, hours=1.0, faults="heavy", times=20.0)


@pytest.fixture
def hasty_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have slaves cleaned as soon as a build ends, not when that is recorded, if the connection broke meanwhile."""
    ended: Any = AttemptInHand._slave_ended
    resumed: Any = AttemptInHand.session_opened
    again: set[str] = set()

    def session_opened(attempt: AttemptInHand, at: float, status: Status, out: list[Order]) -> None:
        again.add(attempt.name)
        resumed(attempt, at, status, out)

    def hasty(attempt: AttemptInHand, at: float, status: Status, out: list[Order]) -> None:
        ended(attempt, at, status, out)
        if attempt.name in again:
            out.append(Send(Clean(attempt.session.next_id(), attempt.name)))

    monkeypatch.setattr(AttemptInHand, "session_opened", session_opened)
    monkeypatch.setattr(AttemptInHand, "_slave_ended", hasty)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_cleaning")
def test_the_shortest_story_of_a_failure_has_little_in_it_and_names_whom_it_befell() -> None:
    failed = run(PLAN, validate=True)
    assert failed.failure is not None
    assert failed.failure.kind == "invariant 0"
    shortest = shrink(failed, seconds=300.0)
    plan = shortest.plan
    assert shortest.failure is not None
    assert shortest.failure.kind == "invariant 0"
    assert len(plan.jobs) <= 4
    assert len(plan.builders) <= 3
    assert len(plan.faults) + len(plan.deeds) <= 3 < len(PLAN.faults)
    story = shortest_story(shortest)
    whom = [one.partition(":")[2] for one in shortest.failure.about if one.startswith("builder:")]
    assert story[-1]["what"] == "failed"
    assert len(story) < 60
    assert {str(line["builder"]) for line in story if line["what"] == "dispatched"} == set(whom)
    assert "cleaned" in told(story[-1])


def test_a_farm_that_does_well_is_not_shrunk() -> None:
    well = run(draw(seed=1, builders=4, jobs=5, hours=0.5), validate=True)
    assert well.failure is None
    assert shrink(well) is well


@pytest.mark.slow
def test_what_a_core_raises_is_a_failure_with_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(AttemptInHand, "_accepted", breaks)
    failed = run(draw(seed=1, builders=4, jobs=5, hours=0.5), validate=True)
    assert failed.failure is not None
    assert failed.failure.kind == "ZeroDivisionError"
    assert "a bug" in failed.failure.text
    assert len(shrink(failed, seconds=3.0).plan.jobs) == 1

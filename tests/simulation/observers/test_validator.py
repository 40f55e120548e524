"""The validator sees what it is there to see: each invariant, broken by hand in a farm that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.core.dispatch.matcher import Dispatch
from simulation.observers.validator import Broken
from storage.records import Outcome
from tests.fix_simulation import Act, BuildState, Tale, Trouble


def open_attempt(tale: Tale) -> Any:
    rows = tale.world.ground.rows
    return next(row for row in rows.table("attempt").values() if row.outcome is None)


def second_attempt(tale: Tale) -> None:
    row = open_attempt(tale)
    other = tale.world.ground.rows.new_uuid()
    tale.world.ground.rows.put("attempt", other, row._replace(id=other))


def no_holder(tale: Tale) -> None:
    row = open_attempt(tale)
    job = tale.world.ground.rows.table("buildqueue")[row.job]
    tale.world.ground.rows.put("buildqueue", job.id, job._replace(builder=None))


def state_without_attempt(tale: Tale) -> None:
    row = open_attempt(tale)
    build = tale.world.ground.rows.table("build")[row.build]
    tale.world.ground.rows.put("build", build.id, build._replace(state=BuildState.NEEDSBUILD))


def other_side(tale: Tale) -> None:
    row = open_attempt(tale)
    tale.world.ground.rows.put("attempt", row.id, row._replace(trusted=not row.trusted))


def lowered_trust(tale: Tale) -> None:
    row = tale.world.ground.rows.table("builder")[open_attempt(tale).builder]
    tale.world.ground.rows.put("builder", row.name, replace(row, trusted=False))


def past_deadline(tale: Tale) -> None:
    row = open_attempt(tale)
    tale.world.ground.server.queue.overdue = lambda grace_seconds=0.0: ()  # type: ignore[method-assign]  # noqa: ARG005
    tale.world.ground.rows.put(
        "attempt", row.id, row._replace(deadline=tale.world.ground.rows.now() - timedelta(minutes=2))
    )


def no_files(tale: Tale) -> None:
    rows = tale.world.ground.rows
    for one in [key for key in rows.table("build_file") if key[0] == tale.build("done")]:
        rows.put("build_file", one, None)


def lost_content(tale: Tale) -> None:
    tale.world.ground.disk.held.clear()
    build = tale.world.ground.rows.table("build")[tale.build("done")]
    tale.world.ground.rows.put("build", build.id, build._replace(why="touched"))


def two_outcomes(tale: Tale) -> None:
    row = next(row for row in tale.world.ground.rows.table("attempt").values() if row.outcome is not None)
    tale.world.ground.rows.put("attempt", row.id, row._replace(outcome=Outcome.LOST))


def no_event(tale: Tale) -> None:
    row = tale.world.ground.rows.table("builder")["a"]
    tale.world.ground.rows._tables["builder"]["a"] = replace(row, builderok=False)


@pytest.mark.parametrize(
    ("number", "break_it"),
    [
        (1, second_attempt),
        (2, no_holder),
        (2, state_without_attempt),
        (3, other_side),
        (3, lowered_trust),
        (4, past_deadline),
        (6, no_files),
        (6, lost_content),
        (7, two_outcomes),
        (8, no_event),
    ],
)
def test_a_broken_invariant_is_seen(number: int, break_it: Callable[[Tale], None]) -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    tale.job("done", at=1.0, seconds=10.0)
    tale.job("runs", at=50.0, seconds=1000.0)
    tale.job("comes", at=120.0, seconds=10.0)
    tale.world.ground.agenda.at(100.0, break_it, tale)
    with pytest.raises(Broken) as broken:
        tale.world.run()
    assert broken.value.number == number
    assert broken.value.at >= 100.0


def test_a_job_that_the_matcher_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    tale.job("done", at=1.0, seconds=10.0)
    tale.job("comes", at=120.0, seconds=10.0)
    tale.world.ground.agenda.at(100.0, lambda: monkeypatch.setattr(Dispatch, "_list", lambda _self, _job: None))
    with pytest.raises(Broken) as broken:
        tale.world.run()
    assert broken.value.number == 5
    assert broken.value.at - 120.0 < 500.0


def test_a_job_that_waits_because_a_person_has_paused_dispatch_is_not_forgotten() -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    tale.deed(100.0, Act.PAUSE, seconds=1500.0)
    tale.fault(150.0, Trouble.QUEUE_CRASH)
    tale.job("comes", at=200.0, seconds=10.0)
    tale.run()
    assert tale.first("dispatched", build=tale.build("comes")) > 1600.0


def test_a_deadline_that_is_missed_while_dispatch_is_paused_is_seen() -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    tale.job("runs", at=50.0, seconds=1000.0)
    tale.deed(80.0, Act.PAUSE, seconds=1500.0)
    tale.world.ground.agenda.at(100.0, past_deadline, tale)
    with pytest.raises(Broken) as broken:
        tale.world.run()
    assert (broken.value.number, broken.value.at < 1500.0) == (4, True)


def test_a_slave_that_is_cleaned_of_an_open_attempt_is_seen() -> None:
    tale = Tale(hours=1.0)
    tale.builder("a")
    tale.job("runs", at=1.0, seconds=100.0)
    tale.world.ground.agenda.at(50.0, lambda: tale.world.witnesses.cleaned("a", str(open_attempt(tale).id)))
    with pytest.raises(Broken) as broken:
        tale.world.run()
    assert broken.value.number == 0


def test_nothing_is_seen_where_nothing_is_broken() -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    tale.job("done", "runs", "comes", seconds=100.0)
    tale.run()
    assert tale.world.witnesses.validator is not None
    assert tale.world.witnesses.validator.looks >= 3
    assert tale.world.witnesses.validator.steps >= 10

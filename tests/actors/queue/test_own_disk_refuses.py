"""The master's own disk refuses something: dispatch pauses for all to see, nobody is late, and it goes on by itself."""

from __future__ import annotations

import pytest

from actors.messages import Assign, DiskRefused, Recorded
from storage.records import BuildState, Outcome
from tests.fix_desk import Desk, finished, kinds, only

WHY = "the librarian can't store 65536 bytes: No space left on device"


def test_nothing_is_given_away_while_the_disk_refuses_and_everybody_sees_why(desk: Desk) -> None:
    attempt, waiting = desk.assigned(), desk.farm.job("next")
    desk.farm.builder("eve")
    desk.take(DiskRefused("bob", 1, attempt, WHY))
    assert desk.farm.farm_states.get().paused == f"the master's own disk: {WHY}"
    ((who, what),) = desk.farm.sql("SELECT who, after->>'paused' FROM event WHERE subject ~ '^farm:'")
    assert (who, what) == ("queue", f"the master's own disk: {WHY}")
    assert "Assign" not in kinds(desk.ready("eve"))
    assert only(Recorded, desk.take(finished(attempt))).next is None
    letters = desk.books.own_disk_serves(desk.at)
    assert only(Assign, letters).order.build == waiting.build
    assert desk.farm.farm_states.get().paused == ""


def test_what_waits_for_the_disk_is_not_late_and_nobody_is_blamed(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.sql("UPDATE attempt SET deadline = now() - interval '1 hour'")
    desk.take(DiskRefused("bob", 1, attempt, WHY))
    desk.books.miss_deadlines(0.0, desk.at)
    assert desk.farm.queue.attempt(attempt).outcome is None
    desk.take(finished(attempt))
    assert desk.state(build) is BuildState.FULLYBUILT
    assert desk.farm.builders.get("bob").failures_in_row == 0


def test_it_is_said_once_and_a_persons_pause_stays(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    attempt = desk.assigned()
    for _ in range(3):
        desk.take(DiskRefused("bob", 1, attempt, WHY))
    assert [record.message for record in caplog.records if "dispatch pauses" in record.message] == [
        f"dispatch pauses: {WHY}; running builds go on, what they leave waits"
    ]
    desk.farm.sql("UPDATE farm SET paused = 'moving'")
    desk.take(DiskRefused("bob", 1, attempt, WHY))
    desk.books.own_disk_serves(desk.at)
    assert desk.farm.farm_states.get().paused == "moving"


def test_a_refusal_for_an_attempt_that_is_closed_pauses_all_the_same(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(finished(attempt, Outcome.PACKAGEFAIL))
    desk.take(DiskRefused("bob", 1, attempt, WHY))
    assert desk.books.books.dispatch.farm.paused.endswith(WHY)

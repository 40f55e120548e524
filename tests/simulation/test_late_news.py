"""Whoever decides by what is no longer so: notifications are late, and what a claim rests on has changed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from simulation.plan import Act, Trouble
from storage.memory_queue import MemoryBuildQueue
from storage.records import Attempt, BuildState, Limits, Pick
from tests.fix_simulation import Tale


def test_what_was_changed_and_not_heard_of_yet_is_seen_by_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    claims: Counter[bool] = Counter()
    claim = MemoryBuildQueue.claim

    def counted(queue: MemoryBuildQueue, picks: Sequence[Pick], limits: Limits) -> tuple[Attempt, ...]:
        won = claim(queue, picks, limits)
        claims[len(won) == len(picks)] += 1
        return won

    monkeypatch.setattr(MemoryBuildQueue, "claim", counted)
    tale = Tale(hours=1.0)
    names = [f"b{number}" for number in range(6)]
    tale.builder(*names)
    for number in range(120):
        tale.job(f"s{number:03}", at=10.0 + number, seconds=20.0, owner="ann" if number % 2 else None)
    tale.fault(5.0, Trouble.MAIL, seconds=900.0)
    for number in range(80):
        tale.deed(12.0 + 7.0 * number, Act.TRUST, name=names[number % 6], seconds=30.0)
        tale.deed(15.0 + 7.0 * number, Act.SET_NOT_OK, name=names[number % 5], seconds=5.0)
    for number in range(30):
        tale.deed(20.0 + 20.0 * number, Act.CANCEL, target=number / 30)
    tale.run()
    assert tale.states == {BuildState.FULLYBUILT, BuildState.CANCELLED}
    assert claims[False] > 3, "else nothing was tried here"

"""Who decides by what is no longer so, and what is lost: notifications are late, and what a claim rests on has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from actors.core.attempts.outbox import Outbox
from simulation.observers.validator import Broken
from simulation.scenario.plan import Act, Trouble
from storage.memory import build_queue
from storage.memory.build_queue import MemoryBuildQueue
from storage.records import Attempt, BuildState, Limits, Pick
from tests.fix_simulation import Tale, when


def meddled_with() -> Tale:
    """Return a busy farm whose builders change sides and are taken out, while news of it is late."""
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
    return tale


def test_what_was_changed_and_not_heard_of_yet_is_seen_by_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    claims: Counter[bool] = Counter()
    claim = MemoryBuildQueue.claim

    def counted(queue: MemoryBuildQueue, picks: Sequence[Pick], limits: Limits) -> tuple[Attempt, ...]:
        won = claim(queue, picks, limits)
        claims[len(won) == len(picks)] += 1
        return won

    monkeypatch.setattr(MemoryBuildQueue, "claim", counted)
    tale = meddled_with().run()
    assert tale.states == {BuildState.FULLYBUILT, BuildState.CANCELLED}
    assert claims[False] > 3, "else nothing was tried here"


def test_a_claim_that_does_not_look_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_queue, "_takes", lambda *_: True)
    with pytest.raises(Broken) as broken:
        meddled_with().run()
    assert broken.value.number == 3


def slowest_start() -> float:
    """Return the seconds between a claim and the beginning of the build, at worst, where messages are lost and late."""
    tale = Tale(hours=1.0)
    tale.builder(*(f"b{number}" for number in range(6)))
    tale.job(*(f"s{number:03}" for number in range(100)), seconds=30.0)
    tale.fault(5.0, Trouble.MAIL, seconds=900.0)
    tale.run()
    began = {line["attempt"]: when(line) for line in tale.told("began")}
    took = [began[line["attempt"]] - when(line) for line in tale.told("dispatched")]
    assert tale.states == {BuildState.FULLYBUILT}
    assert len(took) == 100
    return max(took)


def test_what_is_lost_on_its_way_to_a_builder_is_said_again_within_seconds() -> None:
    assert 4.0 < slowest_start() < 20.0


def test_a_queue_actor_that_says_nothing_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "repeats", lambda *_: False)
    assert slowest_start() > 20.0, "only the builder's own word that it is idle helps"

"""What a farm must not lack is taken out of it, one thing at a time: seeds of the two hundred see it.

A validator that is never red proves nothing.  The seeds named here were the first ones that saw it; if a change of what is
drawn makes them blind, look for others among `tests.simulation.test_seeds.SEEDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from actors.core.attempts.outbox import Outbox
from actors.core.attempts.outbox_events import SendDisown
from actors.core.builder.attempt.in_hand import AttemptInHand
from actors.core.builder.orders import Order, Send
from protocol.messages import Clean
from storage.memory import build_queue
from storage.records import Outcome
from tests.simulation.test_seeds import failure_of

pytestmark = pytest.mark.slow


def fencing(take_out: pytest.MonkeyPatch) -> None:
    """The end of an attempt counts, though somebody has closed it already."""
    record = build_queue.MemoryBuildQueue.record

    def unfenced(queue: Any, attempt: Any, outcome: Outcome, text: str, **left: Any) -> Any:
        table = queue._farm._tables["attempt"]
        row = table.get(attempt)
        if row is not None and row.outcome == Outcome.FENCED and outcome != Outcome.FENCED:
            table[attempt] = row._replace(outcome=None)
        try:
            return record(queue, attempt, outcome, text, **left)
        except Exception:
            if row is not None:
                table[attempt] = row
            raise

    take_out.setattr(build_queue.MemoryBuildQueue, "record", unfenced)


def cleaning_after_the_commit(take_out: pytest.MonkeyPatch) -> None:
    """A slave is cleaned when the end of its attempt is reported, not when that is recorded."""
    tell: Callable[..., None] = AttemptInHand._tell_finished

    def hasty(attempt: AttemptInHand, at: float, out: list[Order]) -> None:
        tell(attempt, at, out)
        if attempt.session.open:
            out.append(Send(Clean(attempt.session.next_id(), attempt.name)))

    take_out.setattr(AttemptInHand, "_tell_finished", hasty)


def disowning(take_out: pytest.MonkeyPatch) -> None:
    """A builder is not told that somebody has closed its attempt."""
    handle: Callable[..., tuple[Any, ...]] = Outbox.handle

    def silent(outbox: Outbox, event: Any) -> tuple[Any, ...]:
        return tuple(order for order in handle(outbox, event) if not isinstance(order, SendDisown))

    take_out.setattr(Outbox, "handle", silent)


@pytest.mark.parametrize(
    ("safeguard", "seeds"),
    [(fencing, (14, 57)), (cleaning_after_the_commit, (1, 2)), (disowning, (4,))],
)
def test_some_seed_sees_that_it_is_gone(
    safeguard: Callable[[pytest.MonkeyPatch], None], seeds: Iterable[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    safeguard(monkeypatch)
    assert any(failure_of(seed) is not None for seed in seeds)

"""Up to where the event log is complete: never further than an open transaction may still write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.core.people.settling import Horizon, Settling

#: What happens to a log: a transaction begins, one of those that are open writes an event, or ends; somebody looks.
STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "write", "end", "look"]), st.integers(0, 3)), min_size=25, max_size=60
)


@given(STEPS)
def test_what_is_settled_is_complete_and_in_a_log_at_rest_everything_is(steps: list[tuple[str, int]]) -> None:
    settling, event, transaction = Settling(), 0, 1
    running: dict[int, list[int]] = {}
    written: list[int] = []

    def look() -> None:
        settling.see(Horizon(max(written, default=0), min(running, default=transaction), transaction))

    for what, which in steps:
        chosen = sorted(running)[which % len(running)] if running else None
        if what == "begin":
            running[transaction] = []
            transaction += 1
        elif what == "write" and chosen is not None:
            event += 1
            running[chosen].append(event)
        elif what == "end" and chosen is not None:
            late = running.pop(chosen)
            assert all(one > settling.upto for one in late)
            written += late
        elif what == "look":
            look()
    for late in running.values():
        assert all(one > settling.upto for one in late)
        written += late
    running.clear()
    look()
    assert settling.upto == event

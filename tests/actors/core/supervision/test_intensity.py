"""How often is too often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.core.supervision.intensity import Intensity


@given(
    st.lists(st.integers(min_value=0, max_value=50).map(lambda eighths: eighths / 8), max_size=30), st.integers(0, 4)
)
def test_too_often_is_more_than_the_limit_in_any_window_that_ends_now(pauses: list[float], limit: int) -> None:
    counted, at, times = Intensity(), 0.0, []
    for pause in pauses:
        at += pause
        times.append(at)
        recent = [time for time in times if time > at - 10.0]
        assert counted.too_often(at, limit=limit, window=10.0) is (len(recent) > limit)


def test_what_is_forgotten_does_not_count() -> None:
    counted = Intensity()
    assert counted.too_often(1.0, limit=0, window=10.0)
    counted.forget()
    assert not counted.too_often(2.0, limit=1, window=10.0)

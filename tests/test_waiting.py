"""Waiting for a fact."""

from __future__ import annotations

import pytest

from tests.waiting import wait_until


def test_a_fact_is_returned_as_soon_as_it_is_there() -> None:
    found: list[int] = []
    assert wait_until(lambda: found[2:], meanwhile=lambda: found.append(len(found))) == [2]
    assert found == [0, 1, 2]


def test_a_fact_that_does_not_come_fails_the_test_and_how_things_stand_is_told() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"after 0 s still not so: the sun is green, not 7"):
        wait_until(lambda: False, lambda: f"the sun is green, not {3 + 4}", seconds=0)

"""The monkey's plan: the same for the same seed, every kind of fault, at points of progress."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import LASTS, NEEDS_MOUNTS, OF_A_BUILDER, Kind, plan

BUILDERS = tuple(f"sim{number}" for number in range(1, 11))


@given(seed=st.integers(0, 10**6), faults=st.integers(0, 60))
def test_the_same_seed_plans_the_same_and_everything_is_in_bounds(seed: int, faults: int) -> None:
    planned = plan(seed, 300, BUILDERS, faults=faults, nurseries=3)
    assert planned == plan(seed, 300, BUILDERS, faults=faults, nurseries=3)
    assert len(planned) == faults
    assert [one.after for one in planned] == sorted(one.after for one in planned)
    for one in planned:
        assert 0 < one.after < 270, "at the end the farm shows that it recovers"
        least, most = LASTS.get(one.kind, (0.0, 0.0))
        assert least <= one.seconds <= most
        assert (one.target in BUILDERS) == (one.kind in OF_A_BUILDER)
        assert one.whose == (one.target if one.kind in OF_A_BUILDER else "")
        if one.kind in {Kind.KILL_NURSERY, Kind.STOP_NURSERY}:
            assert one.target in {"nursery-1", "nursery-2", "nursery-3"}


def test_other_seeds_plan_other_things() -> None:
    assert len({plan(seed, 300, BUILDERS, faults=30) for seed in range(20)}) == 20


def test_every_kind_comes_before_any_comes_again() -> None:
    assert {one.kind for one in plan(7, 300, BUILDERS, faults=len(Kind))} == set(Kind)


def test_where_no_disk_can_be_filled_none_is() -> None:
    kinds = {one.kind for one in plan(7, 300, BUILDERS, faults=60, mounts=False)}
    assert kinds == set(Kind) - NEEDS_MOUNTS

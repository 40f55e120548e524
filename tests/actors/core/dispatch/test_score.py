"""The order of jobs (dispatch-rules §2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.score import age, rank, score
from storage.records import ArchivePurpose, Pocket, Urgency
from tests.fix_queue import EPOCH, a_job


def test_the_parts_are_shown_with_their_sum() -> None:
    job = a_job(urgency=Urgency.HIGH, relative_score=50)
    assert str(score(job)) == "U+15 C+1000 P+1500 A+50 = 2565"


@pytest.mark.parametrize(
    ("fields", "base"),
    [
        ({"urgency": Urgency.EMERGENCY, "pocket": Pocket.SECURITY}, 20 + 1000 + 4500),
        ({"urgency": Urgency.MEDIUM, "component": "partner", "pocket": Pocket.UPDATES}, 10 + 1250 + 3000),
        ({"component": "multiverse", "pocket": Pocket.BACKPORTS}, 5),
        ({"component": "universe", "pocket": Pocket.PROPOSED}, 5 + 250 + 3000),
        ({"component": "restricted", "private": True, "relative_score": 7}, 5 + 750 + 1500 + 10_007),
        ({"purpose": ArchivePurpose.COPY}, 5 + 1000 + 1500 - 2600),
        ({"component": "of their own making"}, 5 + 1500),
    ],
)
def test_the_base_is_the_sum_of_urgency_component_pocket_and_archive(fields: dict[str, Any], base: int) -> None:
    assert score(a_job(**fields)).base == base


def test_a_manual_score_replaces_the_base_and_is_shown_as_such() -> None:
    job = a_job(manual_score=-3, private=True)
    assert str(score(job)) == "M-3 = -3"


def test_a_manual_score_of_nothing_is_a_score_too() -> None:
    assert score(a_job(manual_score=0)).base == 0


def test_a_job_gains_25_points_an_hour_without_end() -> None:
    job = a_job()
    assert [age(job, EPOCH + timedelta(hours=hours)) for hours in (0, 1, 2.02, 10_000)] == [0, 25, 50, 250_000]


def test_ties_go_to_the_lower_job_id() -> None:
    assert rank(a_job(1)) < rank(a_job(2))


def test_an_hour_of_waiting_outweighs_24_points_and_not_26() -> None:
    old = a_job(9, manual_score=100)
    assert rank(old) < rank(a_job(1, manual_score=124, hours=1))
    assert rank(old) > rank(a_job(1, manual_score=126, hours=1))


_jobs = st.builds(
    a_job,
    st.integers(1, 10**6),
    hours=st.floats(-5_000, 5_000),
    urgency=st.sampled_from(Urgency),
    component=st.sampled_from(["main", "universe", "multiverse", "none such"]),
    pocket=st.sampled_from(Pocket),
    private=st.booleans(),
    relative_score=st.integers(-1000, 1000),
    manual_score=st.none() | st.integers(-(10**5), 10**5),
)


@given(_jobs, _jobs, st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_order_of_two_jobs_never_changes_by_time_and_follows_the_score(
    one: Any, other: Any, soon: int, late: int
) -> None:
    for seconds in (soon, late):
        now = max(one.created, other.created) + timedelta(seconds=seconds)
        ahead = score(one).base + age(one, now) - score(other).base - age(other, now)
        if abs(ahead) > 1:  # `age` rounds down to whole points
            assert (rank(one) < rank(other)) == (ahead > 0)

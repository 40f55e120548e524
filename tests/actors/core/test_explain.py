"""Why is it not building?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch import BuilderReady, BuildersRead, Claim, Dispatch, JobsRead
from actors.core.explain import Explanation, explain, views
from actors.core.reasons import BuilderView, ReasonCode
from storage.records import BuilderRuntime, BuildState, Job, RuntimeState
from tests.fix_queue import EPOCH, a_builder, a_job


def idle(name: str = "bob", **fields: Any) -> BuilderView:
    return BuilderView(a_builder(name, **fields), RuntimeState.IDLE, connected=True)


def answer(job: Job, *builders: BuilderView, others: tuple[Job, ...] = (), paused: str = "") -> Explanation:
    found = explain((job, *others), builders, job.id, paused)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"has_chroot": False}, ReasonCode.NO_CHROOT, "ubuntu/hoary/i386 has no chroot for RELEASE (nor for RELEASE)"),
        ({"archive_enabled": False}, ReasonCode.ARCHIVE_DISABLED, "archive primary is disabled"),
        (
            {"files_missing": ("foo.dsc", "foo.tar.gz")},
            ReasonCode.FILES_MISSING,
            "the librarian has no content yet for foo.dsc, foo.tar.gz",
        ),
        ({"family": "s390x"}, ReasonCode.NO_CAPABLE_BUILDER, "no registered builder serves s390x for trusted builds"),
    ],
)
def test_a_job_that_no_builder_could_get_has_one_reason_of_its_own(
    fields: dict[str, Any], code: ReasonCode, words: str
) -> None:
    found = answer(a_job(**fields), idle())
    assert found.job_reason is not None
    assert (found.job_reason.code, found.job_reason.words) == (code, words)
    assert found.eligible_now is None


def test_a_pause_of_dispatch_is_the_reason_of_every_job_that_has_no_earlier_one() -> None:
    found = answer(a_job(), idle(), paused="disk full")
    assert found.job_reason is not None
    assert found.job_reason.words == "dispatch is paused: disk full"
    assert found.eligible_now is None


def test_while_dispatch_is_paused_no_builder_is_said_to_take_another_job() -> None:
    found = answer(a_job(2), idle(), others=(a_job(1),), paused="disk full")
    assert found.builders[0].reason is None


@pytest.mark.parametrize(
    ("view", "code", "words"),
    [
        (
            idle(builderok=False, failnotes="connection to 127.0.0.1 port 1 refused"),
            ReasonCode.BUILDER_NOT_OK,
            "not ok: connection to 127.0.0.1 port 1 refused",
        ),
        (idle(manual=True), ReasonCode.BUILDER_MANUAL, "in manual mode: gets only what an operator assigns to it"),
        (idle(families=("amd64", "arm64")), ReasonCode.FAMILY_MISMATCH, "serves amd64, arm64; the job is for x86"),
        (idle(trusted=False), ReasonCode.TRUST_MISMATCH, "builds only untrusted code; the job is trusted"),
        (BuilderView(a_builder()), ReasonCode.BUILDER_DISCONNECTED, "its slave is not connected"),
        (
            BuilderView(a_builder(), RuntimeState.BUILDING, connected=True, job=9),
            ReasonCode.BUILDER_BUSY,
            "has job 9",
        ),
        (
            BuilderView(a_builder(), RuntimeState.ABORTING, connected=True),
            ReasonCode.BUILDER_BUSY,
            "is aborting",
        ),
        (
            BuilderView(a_builder(), RuntimeState.CLEANING, connected=True),
            ReasonCode.BUILDER_CLEANING,
            "its slave is being cleaned",
        ),
    ],
)
def test_each_builder_answers_with_the_first_rule_that_fails(view: BuilderView, code: ReasonCode, words: str) -> None:
    why = answer(a_job(), view).builders[0].reason
    assert why is not None
    assert (why.code, why.words) == (code, words)


def test_the_first_rule_in_the_order_of_the_rules_is_the_reason() -> None:
    view = BuilderView(a_builder(builderok=False, manual=True, families=(), trusted=False))
    why = answer(a_job(), view).builders[0].reason
    assert why is not None
    assert why.code is ReasonCode.BUILDER_NOT_OK


def test_an_untrusted_job_is_told_that_bob_builds_only_trusted_code() -> None:
    found = answer(a_job(3, trusted=False), idle("bob"), idle("zoe", trusted=False, builderok=False))
    assert [(line.builder, line.reason and line.reason.code.value) for line in found.builders] == [
        ("bob", "trust_mismatch"),
        ("zoe", "builder_not_ok"),
    ]


def test_a_job_behind_a_better_one_learns_which_job_takes_the_builder() -> None:
    found = answer(a_job(2), idle(), others=(a_job(1),))
    assert found.position == 2
    assert found.queue_length == 2
    assert found.builders[0].reason is not None
    assert found.builders[0].reason.words == "has job 1"


def test_a_running_job_has_no_position_and_no_reason() -> None:
    found = answer(a_job(1, builder="bob", state=BuildState.BUILDING), idle())
    assert (found.position, found.job_reason, found.builders, found.eligible_now) == (None, None, (), None)


def test_a_job_that_does_not_exist_is_not_explained() -> None:
    assert explain((a_job(1),), (), 2) is None


def test_views_join_rows_with_what_actors_last_said_and_with_the_jobs_they_hold() -> None:
    runtime = BuilderRuntime("bob", RuntimeState.BUILDING, True, EPOCH, None, None, 0)
    seen = views([a_builder("zoe"), a_builder("bob")], [runtime], [a_job(1, builder="bob", state=BuildState.BUILDING)])
    assert [(view.builder.name, view.state, view.connected, view.job) for view in seen] == [
        ("bob", RuntimeState.BUILDING, True, 1),
        ("zoe", RuntimeState.DISCONNECTED, False, None),
    ]


_jobs = st.lists(
    st.builds(
        a_job,
        st.integers(1, 12),
        family=st.sampled_from(["x86", "amd64", "arm64"]),
        trusted=st.booleans(),
        manual_score=st.none() | st.integers(0, 50),
        has_chroot=st.sampled_from([True, True, False]),
        files_missing=st.sampled_from([(), (), ("foo.dsc",)]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda job: job.id,
)
_views = st.lists(
    st.builds(
        lambda name, state, connected, **fields: BuilderView(a_builder(name, **fields), state, connected),
        st.sampled_from("abcdef"),
        st.sampled_from([RuntimeState.IDLE, RuntimeState.IDLE, *RuntimeState]),
        st.sampled_from([True, True, False]),
        families=st.sampled_from([(), ("x86",), ("amd64", "x86")]),
        trusted=st.booleans(),
        builderok=st.sampled_from([True, True, False]),
        manual=st.sampled_from([False, False, True]),
    ),
    max_size=6,
    unique_by=lambda view: view.builder.name,
)


@given(_jobs, _views, st.sampled_from(["", "", "disk full"]))
def test_explain_says_eligible_now_exactly_if_dispatch_would_give_the_job_away(
    jobs: list[Job], seen: list[BuilderView], paused: str
) -> None:
    dispatch = Dispatch(paused=paused)
    dispatch.handle(BuildersRead(tuple(view.builder for view in seen)))
    for view in seen:
        if view.connected and view.state is RuntimeState.IDLE:
            dispatch.handle(BuilderReady(view.builder.name))
    given_away = {
        pair.job: pair.builder
        for order in dispatch.handle(JobsRead(tuple(jobs)))
        if isinstance(order, Claim)
        for pair in order.pairs
    }
    for job in jobs:
        found = explain(jobs, sorted(seen, key=lambda view: view.builder.name), job.id, paused)
        assert found is not None
        assert found.eligible_now == given_away.get(job.id)
        if found.eligible_now is None:  # every waiting job has a reason
            assert found.job_reason is not None or all(line.reason is not None for line in found.builders)

"""Why is it not building?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.events import BuilderReady, BuildersRead, Claim, FarmRead, JobsRead
from actors.core.dispatch.explain import Explanation, Snapshot, ready, views
from actors.core.dispatch.matcher import Dispatch
from actors.core.dispatch.pair_rules import BuilderView
from actors.core.dispatch.reasons import ReasonCode
from storage.records import (
    ArchivePurpose,
    BuilderRuntime,
    BuildState,
    Exclusion,
    FamilyScore,
    FarmState,
    Job,
    Pocket,
    RuntimeState,
    SeriesStatus,
)
from tests.fix_queue import EPOCH, a_builder, a_job


def idle(name: str = "bob", **fields: Any) -> BuilderView:
    return BuilderView(a_builder(name, **fields), RuntimeState.IDLE, connected=True)


def answer(job: Job, *builders: BuilderView, others: tuple[Job, ...] = (), paused: str = "") -> Explanation:
    found = Snapshot((job, *others), builders, FarmState(paused=paused)).explain(job.id)
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
        (
            {"series_status": SeriesStatus.SUPPORTED},
            ReasonCode.POCKET_CLOSED,
            "ubuntu/hoary is SUPPORTED: RELEASE is closed to uploads (open: SECURITY, UPDATES, PROPOSED, BACKPORTS)",
        ),
        (
            {"series_status": SeriesStatus.OBSOLETE, "pocket": Pocket.SECURITY},
            ReasonCode.POCKET_CLOSED,
            "ubuntu/hoary is OBSOLETE: SECURITY is closed to uploads (open: none)",
        ),
        (
            {"published": False},
            ReasonCode.SUPERSEDED,
            "foo 1.0-1 is no longer published in primary: the build is about to be SUPERSEDED",
        ),
        (
            {"cooling_until": EPOCH, "given_back": 2},
            ReasonCode.COOLING_DOWN,
            "was given back, or failed on the only builder for it; waits until 2026-03-01 12:00:00 UTC",
        ),
        (
            {"tags": ("big", "gpu")},
            ReasonCode.NO_CAPABLE_BUILDER,
            "no registered builder with big, gpu serves x86 for trusted builds",
        ),
        (
            {"assigned": "zoe"},
            ReasonCode.NO_CAPABLE_BUILDER,
            "no registered builder serves x86 for trusted builds; it is assigned to zoe",
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
        (
            idle(quarantined_until=EPOCH, quarantine_why="failed twice"),
            ReasonCode.BUILDER_QUARANTINED,
            "quarantined until 2026-03-01 12:00:00 UTC: failed twice",
        ),
        (
            idle(restricted_tags=("gpu", "slow")),
            ReasonCode.TAGS_MISSING,
            "takes only jobs that ask for gpu, slow",
        ),
        (
            idle(frozen_until=EPOCH),
            ReasonCode.BUILDER_FROZEN,
            "frozen at the debug console until 2026-03-01 12:00:00 UTC",
        ),
        (BuilderView(a_builder()), ReasonCode.BUILDER_DISCONNECTED, "its slave is not connected"),
        (
            BuilderView(a_builder(), RuntimeState.BUILDING, connected=True, job=9),
            ReasonCode.BUILDER_BUSY,
            "has job 9",
        ),
        (
            BuilderView(a_builder(), RuntimeState.BUILDING, connected=True, job=9, since=EPOCH, source="hello 2.10-3"),
            ReasonCode.BUILDER_BUSY,
            "has job 9 (hello 2.10-3) since 2026-03-01 12:00:00 UTC",
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
    assert found.builders[0].reason.words == "has job 1 (foo 1.0-1)"


def test_a_running_job_has_no_position_and_no_reason() -> None:
    found = answer(a_job(1, builder="bob", state=BuildState.BUILDING), idle())
    assert (found.position, found.job_reason, found.builders, found.eligible_now) == (None, None, (), None)


def test_jobs_that_nobody_gets_are_counted_by_their_reasons_but_for_those_that_run() -> None:
    jobs = (a_job(1, family="arm64"), a_job(2, family="arm64"), a_job(3, has_chroot=False), a_job(4))
    running = a_job(5, family="arm64", builder="gone", state=BuildState.BUILDING)
    seen = Snapshot((*jobs, running), (idle(),))
    assert seen.stuck == {ReasonCode.NO_CAPABLE_BUILDER: 2, ReasonCode.NO_CHROOT: 1}


def test_a_job_that_does_not_exist_is_not_explained() -> None:
    assert Snapshot((a_job(1),), ()).explain(2) is None


def test_views_join_rows_with_what_actors_last_said_and_with_the_jobs_they_hold() -> None:
    runtime = BuilderRuntime("bob", RuntimeState.BUILDING, True, EPOCH, None, None, 0)
    seen = views([a_builder("zoe"), a_builder("bob")], [runtime], [a_job(1, builder="bob", state=BuildState.BUILDING)])
    assert [(view.builder.name, view.state, view.connected, view.job) for view in seen] == [
        ("bob", RuntimeState.BUILDING, True, 1),
        ("zoe", RuntimeState.DISCONNECTED, False, None),
    ]


def test_a_builder_says_which_tags_it_lacks() -> None:
    found = answer(a_job(tags=("big", "gpu")), idle("ann", tags=("gpu",)), idle("bob", tags=("big", "gpu")))
    assert found.builders[0].reason is not None
    assert found.builders[0].reason.words == "lacks big, which the job asks for"
    assert found.eligible_now == "bob"


def test_a_job_that_failed_on_a_builder_says_until_when_it_does_not_go_there() -> None:
    found = answer(a_job(excluded=(Exclusion("ann", EPOCH),)), idle("ann"), BuilderView(a_builder("bob")))
    why = found.builders[0].reason
    assert why is not None
    assert (why.code, why.facts) == (ReasonCode.PAIR_EXCLUDED, (("until", EPOCH.isoformat()),))


def test_the_only_capable_builder_is_never_excluded() -> None:
    assert answer(a_job(excluded=(Exclusion("ann", EPOCH),)), idle("ann"), idle("bob", trusted=False)).eligible_now


def test_a_ppa_does_not_care_which_pockets_are_closed() -> None:
    job = a_job(series_status=SeriesStatus.OBSOLETE, purpose=ArchivePurpose.PPA)
    assert answer(job, idle()).eligible_now == "bob"


def test_a_job_that_is_assigned_tells_the_others_so() -> None:
    found = answer(a_job(assigned="zoe"), idle("ann"), idle("zoe", manual=True))
    assert [line.reason and line.reason.code.value for line in found.builders] == ["assigned_elsewhere", None]


@pytest.mark.parametrize(
    ("farm", "words"),
    [
        (FarmState(minimum_score=3000), "score 2505 without age; the least score of the farm is 3000"),
        (
            FarmState(minimum_score=100, family_scores=(FamilyScore("x86", 9000),)),
            "score 2505 without age; the least score of x86 is 9000",
        ),
    ],
)
def test_a_job_below_the_least_score_says_whose_fence_it_is(farm: FarmState, words: str) -> None:
    found = Snapshot((a_job(hours=-500),), (idle(),), farm).explain(1)
    assert found is not None
    assert found.job_reason is not None
    assert (found.job_reason.code, found.job_reason.words) == (ReasonCode.BELOW_MINIMUM_SCORE, words)


def test_a_builder_learns_why_it_is_idle_and_what_it_could_take() -> None:
    jobs = (
        a_job(1),
        a_job(2, manual_score=9000),
        a_job(3, trusted=False),
        a_job(4, trusted=False),
        a_job(5, has_chroot=False),
        a_job(6, family="arm64"),
        a_job(7, excluded=(Exclusion("bob", EPOCH),)),
    )
    busy = BuilderView(a_builder("bob"), RuntimeState.CLEANING, connected=True)
    found = Snapshot(jobs, (busy, idle("zoe"))).explain_builder("bob")
    assert found is not None
    assert found.reason is not None
    assert found.reason.code is ReasonCode.BUILDER_CLEANING
    assert found.gets is None
    assert [job.id for job in found.could_take] == [2, 1]
    assert found.refused == (
        (ReasonCode.TRUST_MISMATCH, 2),
        (ReasonCode.FAMILY_MISMATCH, 1),
        (ReasonCode.NO_CHROOT, 1),
        (ReasonCode.PAIR_EXCLUDED, 1),
    )


@pytest.mark.parametrize("fields", [{"builderok": False}, {"quarantined_until": EPOCH}])
def test_a_builder_that_gets_nothing_does_not_say_that_it_could_take_what_failed_there(fields: dict[str, Any]) -> None:
    jobs = (a_job(1), a_job(2, excluded=(Exclusion("bob", EPOCH),)))
    found = Snapshot(jobs, (idle("bob", **fields), idle("zoe"))).explain_builder("bob")
    assert found is not None
    assert [job.id for job in found.could_take] == [1]
    assert found.refused == ((ReasonCode.PAIR_EXCLUDED, 1),)


def test_a_builder_that_is_ready_learns_which_job_it_gets_now() -> None:
    found = Snapshot((a_job(1), a_job(2, manual_score=9000)), (idle(),)).explain_builder("bob")
    assert found is not None
    assert found.reason is None
    assert found.gets is not None
    assert found.gets.id == 2


def test_a_builder_in_manual_mode_is_idle_because_of_it_unless_something_is_assigned_to_it() -> None:
    idle_one = Snapshot((a_job(1),), (idle(manual=True),)).explain_builder("bob")
    called = Snapshot((a_job(1, assigned="bob"),), (idle(manual=True),)).explain_builder("bob")
    assert idle_one is not None
    assert idle_one.reason is not None
    assert idle_one.reason.code is ReasonCode.BUILDER_MANUAL
    assert called is not None
    assert called.reason is None


def test_every_builder_says_that_dispatch_is_paused() -> None:
    found = Snapshot((a_job(1),), (idle(),), FarmState(paused="moving")).explain_builder("bob")
    assert found is not None
    assert found.reason is not None
    assert found.reason.words == "dispatch is paused: moving"


def test_a_builder_that_does_not_exist_is_not_explained() -> None:
    assert Snapshot((), ()).explain_builder("bob") is None


_jobs = st.lists(
    st.builds(
        a_job,
        st.integers(1, 12),
        family=st.sampled_from(["x86", "amd64", "arm64"]),
        trusted=st.booleans(),
        manual_score=st.none() | st.integers(0, 50),
        has_chroot=st.sampled_from([True, True, False]),
        files_missing=st.sampled_from([(), (), ("foo.dsc",)]),
        tags=st.sampled_from([(), (), ("big",)]),
        assigned=st.sampled_from([None, None, "a"]),
        excluded=st.sampled_from([(), (), (Exclusion("a", EPOCH), Exclusion("b", EPOCH))]),
        cooling_until=st.sampled_from([None, None, EPOCH]),
        series_status=st.sampled_from([*SeriesStatus]),
        published=st.sampled_from([True, True, True, False]),
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
        tags=st.sampled_from([(), ("big",)]),
        restricted_tags=st.sampled_from([(), (), ("big",)]),
        quarantined_until=st.sampled_from([None, None, EPOCH]),
        frozen_until=st.sampled_from([None, None, EPOCH]),
    ),
    max_size=6,
    unique_by=lambda view: view.builder.name,
)


_farms = st.builds(
    FarmState,
    paused=st.sampled_from(["", "", "disk full"]),
    minimum_score=st.none() | st.integers(0, 50),
    family_scores=st.sampled_from([(), (FamilyScore("x86", 20),)]),
)


@given(_jobs, _views, _farms)
def test_explain_says_eligible_now_exactly_if_dispatch_would_give_the_job_away(
    jobs: list[Job], seen: list[BuilderView], farm: FarmState
) -> None:
    dispatch = Dispatch()
    dispatch.handle(FarmRead(farm), BuildersRead(tuple(view.builder for view in seen)))
    for view in filter(ready, seen):
        dispatch.handle(BuilderReady(view.builder.name))
    given_away = {
        pair.job: pair.builder
        for order in dispatch.handle(JobsRead(tuple(jobs)))
        if isinstance(order, Claim)
        for pair in order.pairs
    }
    snapshot = Snapshot(tuple(jobs), tuple(sorted(seen, key=lambda view: view.builder.name)), farm)
    reasons = [found.job_reason for job in jobs if (found := snapshot.explain(job.id)) is not None]
    assert snapshot.stuck == Counter(reason.code for reason in reasons if reason is not None)
    for job in jobs:
        found = snapshot.explain(job.id)
        assert found is not None
        assert found.eligible_now == given_away.get(job.id)
        if found.eligible_now is None:  # every waiting job has a reason
            assert found.job_reason is not None or all(line.reason is not None for line in found.builders)
    for view in seen:
        idle_one = snapshot.explain_builder(view.builder.name)
        assert idle_one is not None
        gets = next((job for job, name in given_away.items() if name == view.builder.name), None)
        assert (idle_one.gets.id if idle_one.gets else None) == gets
        # an idle builder has a reason, or there is nothing that it could take and others don't get first
        if gets is None and idle_one.reason is None:
            assert all(job.id in given_away for job in idle_one.could_take)

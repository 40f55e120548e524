"""What outcomes mean (dispatch-rules §5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.attempts.verdict import BuilderBlame, Verdict, verdict
from storage.records import BuildState, Evidence, Outcome

GONE, KEPT = False, True


@pytest.mark.parametrize(
    ("outcome", "build", "kept", "blame"),
    [
        (Outcome.OK, BuildState.FULLYBUILT, GONE, BuilderBlame.COMPLETED),
        (Outcome.UNVERIFIED, BuildState.FAILEDTOUPLOAD, GONE, BuilderBlame.NONE),
        (Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD, GONE, BuilderBlame.COMPLETED),
        (Outcome.DEPFAIL, BuildState.MANUALDEPWAIT, GONE, BuilderBlame.COMPLETED),
        (Outcome.CHROOTFAIL, BuildState.CHROOTWAIT, GONE, BuilderBlame.NONE),
        (Outcome.GIVENBACK, BuildState.NEEDSBUILD, KEPT, BuilderBlame.NONE),
        (Outcome.BUILDERFAIL, BuildState.NEEDSBUILD, KEPT, BuilderBlame.FAILURE),
        (Outcome.LOST, BuildState.NEEDSBUILD, KEPT, BuilderBlame.FAILURE),
        (Outcome.BREACH, BuildState.NEEDSBUILD, KEPT, BuilderBlame.BREACH),
        (Outcome.ABORTED, BuildState.NEEDSBUILD, KEPT, BuilderBlame.FAILURE),
        (Outcome.TIMEOUT, BuildState.FAILEDTOBUILD, GONE, BuilderBlame.NONE),
        (Outcome.FENCED, BuildState.NEEDSBUILD, KEPT, BuilderBlame.NONE),
    ],
)
def test_an_outcome_means_what_its_row_in_the_rules_says(
    outcome: Outcome, build: BuildState, kept: bool, blame: BuilderBlame
) -> None:
    means = verdict(outcome, BuildState.BUILDING)
    assert (means.build, means.keep_job, means.builder) == (build, kept, blame)


def test_a_build_that_failed_for_reasons_of_infrastructure_is_kept_from_that_builder_for_an_hour() -> None:
    excluding = {outcome for outcome in Outcome if verdict(outcome, BuildState.BUILDING).exclude == 3600.0}
    assert excluding == {Outcome.GIVENBACK, Outcome.BUILDERFAIL, Outcome.LOST}


def test_only_a_job_that_was_given_back_cools_down_four_times_as_long_each_time_up_to_a_day() -> None:
    assert {outcome for outcome in Outcome if verdict(outcome, BuildState.BUILDING).cool} == {Outcome.GIVENBACK}
    seconds = [verdict(Outcome.GIVENBACK, BuildState.BUILDING, given_back=times).cool for times in (0, 1, 2, 3, 1000)]
    assert seconds == [60.0, 240.0, 960.0, 3840.0, 86_400.0]


def test_a_build_that_succeeds_when_its_source_is_published_no_more_is_superseded() -> None:
    unpublished = {outcome: verdict(outcome, BuildState.BUILDING).unpublished for outcome in Outcome}
    assert {outcome: state for outcome, state in unpublished.items() if state} == {Outcome.OK: BuildState.SUPERSEDED}


def failed(outcome: Outcome = Outcome.BUILDERFAIL, capable: int = 2, **known: Any) -> Verdict:
    return verdict(outcome, BuildState.BUILDING, Evidence("bob", **known), capable=capable)


# --- who is charged -------------------------------------------------------------------------------


def test_the_job_is_charged_if_its_builder_had_completed_a_build_just_before() -> None:
    assert failed(after_completed=True).charged
    assert failed(after_completed=True).words == (
        "first failure of the builder: its slave is cleaned; charged to the build (1 of 3)"
    )


def test_different_jobs_that_fail_one_after_the_other_on_one_builder_are_not_charged() -> None:
    means = failed(failures_in_row=1, after_completed=False)
    assert not means.charged
    assert "not charged to the build: the builder has not completed another one just before" in means.words


def test_a_job_charged_three_times_on_two_builders_is_infrafailed_and_leaves_the_queue() -> None:
    means = failed(after_completed=True, charged_on=("ann", "ann"))
    assert (means.build, means.keep_job, means.exclude) == (BuildState.INFRAFAILED, False, None)
    assert means.words.endswith("it failed for reasons of infrastructure on ann, bob: INFRAFAILED")


def test_a_job_charged_three_times_on_one_builder_is_tried_on_another_where_there_is_one() -> None:
    means = failed(after_completed=True, charged_on=("bob", "bob"))
    assert (means.build, means.keep_job, means.charged) == (BuildState.NEEDSBUILD, True, True)


def test_a_job_is_charged_for_what_its_slave_gave_back_whatever_was_before() -> None:
    assert failed(Outcome.GIVENBACK).charged
    assert failed(Outcome.GIVENBACK, charged_on=("ann", "ann")).build is BuildState.INFRAFAILED


@pytest.mark.parametrize("outcome", [Outcome.BREACH, Outcome.FENCED, Outcome.OK, Outcome.PACKAGEFAIL, Outcome.TIMEOUT])
def test_nothing_else_is_charged(outcome: Outcome) -> None:
    assert not failed(outcome, after_completed=True, charged_on=("ann", "ann")).charged


# --- the builder's ladder -------------------------------------------------------------------------


def test_a_builder_climbs_the_ladder_clean_then_quarantine_of_1_4_and_16_minutes_then_not_ok() -> None:
    steps = [failed(failures_in_row=number) for number in range(5)]
    assert [step.failures for step in steps] == [1, 2, 3, 4, 5]
    assert [step.quarantine for step in steps] == [None, 60.0, 240.0, 960.0, None]
    assert [step.disable for step in steps] == [False, False, False, False, True]


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 20])
def test_the_only_capable_builder_is_quarantined_for_a_minute_and_never_disabled(failures: int) -> None:
    means = failed(capable=1, failures_in_row=failures)
    assert (means.quarantine, means.disable) == (60.0, False)


def test_a_job_is_not_charged_for_its_first_failure_on_the_only_capable_builder() -> None:
    assert not failed(capable=1, after_completed=True).charged


def test_a_job_that_fails_again_on_the_only_capable_builder_waits_while_others_are_tried() -> None:
    means = failed(capable=1, failed_here=True)
    assert (means.charged, means.cool) == (False, 60.0)


def test_a_job_that_fails_between_builds_that_pass_on_the_only_builder_is_infrafailed_in_the_end() -> None:
    known: dict[str, Any] = {"failed_here": True, "after_completed": True}
    assert failed(capable=1, **known, charged_on=("bob",)).build is BuildState.NEEDSBUILD
    assert failed(capable=1, **known, charged_on=("bob", "bob")).build is BuildState.INFRAFAILED


def test_an_isolation_breach_disables_the_only_capable_builder_too() -> None:
    assert failed(Outcome.BREACH, capable=1).builder is BuilderBlame.BREACH


# --- chroots --------------------------------------------------------------------------------------


def test_a_first_failure_of_a_chroot_blames_nobody() -> None:
    means = failed(Outcome.CHROOTFAIL)
    assert (means.build, means.builder, means.hold_chroot) == (BuildState.CHROOTWAIT, BuilderBlame.NONE, False)


def test_a_second_failure_of_the_same_chroot_on_another_builder_holds_it_back() -> None:
    means = failed(Outcome.CHROOTFAIL, chroot_fails_elsewhere=True)
    assert (means.build, means.builder, means.hold_chroot) == (BuildState.CHROOTWAIT, BuilderBlame.NONE, True)


def test_a_chroot_that_works_elsewhere_is_the_builders_failure_and_the_build_goes_on_elsewhere() -> None:
    means = failed(Outcome.CHROOTFAIL, chroot_works_elsewhere=True, chroot_fails_elsewhere=True)
    assert (means.build, means.keep_job, means.builder) == (BuildState.NEEDSBUILD, True, BuilderBlame.FAILURE)
    assert (means.exclude, means.hold_chroot, means.failures) == (3600.0, False, 1)


# --- cancelling -----------------------------------------------------------------------------------


def test_an_abort_that_was_asked_for_cancels_the_build_and_blames_nobody() -> None:
    assert verdict(Outcome.ABORTED, BuildState.CANCELLING) == Verdict(BuildState.CANCELLED, keep_job=False)


def test_a_builder_that_fails_while_its_build_is_being_cancelled_has_failed() -> None:
    means = verdict(Outcome.LOST, BuildState.CANCELLING, Evidence("bob", failures_in_row=1))
    assert (means.build, means.keep_job, means.quarantine, means.charged) == (BuildState.CANCELLED, GONE, 60.0, False)


def test_a_cancelled_build_that_ended_before_the_abort_came_is_cancelled_all_the_same() -> None:
    assert verdict(Outcome.OK, BuildState.CANCELLING).build is BuildState.CANCELLED


_EVIDENCE = st.builds(
    Evidence,
    st.just("bob"),
    failures_in_row=st.integers(0, 9),
    after_completed=st.booleans(),
    failed_here=st.booleans(),
    charged_on=st.lists(st.sampled_from(["ann", "bob"]), max_size=5).map(tuple),
    chroot_works_elsewhere=st.booleans(),
    chroot_fails_elsewhere=st.booleans(),
)


@given(
    st.sampled_from(Outcome),
    st.sampled_from([BuildState.BUILDING, BuildState.CANCELLING, BuildState.GATHERING]),
    _EVIDENCE,
    st.integers(0, 3),
)
def test_whatever_the_evidence_a_verdict_makes_sense(
    outcome: Outcome, state: BuildState, evidence: Evidence, capable: int
) -> None:
    means = verdict(outcome, state, evidence, capable=capable)
    assert means.keep_job == (means.build is BuildState.NEEDSBUILD)
    assert means.keep_job != means.build.final
    assert means.build is not BuildState.FAILEDTOBUILD or outcome in {Outcome.PACKAGEFAIL, Outcome.TIMEOUT}
    if means.builder is not BuilderBlame.FAILURE:  # only a failure is a step on the ladder
        assert (means.failures, means.quarantine, means.disable) == (0, None, False)
    if means.disable:
        assert capable > 1
        assert evidence.failures_in_row >= 4
    if outcome is Outcome.FENCED:
        assert means.builder is BuilderBlame.NONE
        assert not means.charged


def test_every_outcome_has_a_verdict() -> None:
    assert {verdict(outcome, BuildState.BUILDING).build for outcome in Outcome}

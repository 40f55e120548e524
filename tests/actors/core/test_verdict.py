"""What outcomes mean (dispatch-rules §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.verdict import BuilderBlame, Verdict, cooling_seconds, verdict
from storage.records import BuildState, Outcome

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


def test_a_build_that_failed_for_reasons_of_infrastructure_is_kept_from_that_builder_for_a_while() -> None:
    excluding = {outcome for outcome in Outcome if verdict(outcome, BuildState.BUILDING).exclude}
    assert excluding == {Outcome.GIVENBACK, Outcome.BUILDERFAIL, Outcome.LOST}


def test_only_a_job_that_was_given_back_cools_down_four_times_as_long_each_time_up_to_a_day() -> None:
    assert {outcome for outcome in Outcome if verdict(outcome, BuildState.BUILDING).cool} == {Outcome.GIVENBACK}
    assert [cooling_seconds(60.0, times) for times in range(4)] == [60.0, 240.0, 960.0, 3840.0]
    assert cooling_seconds(60.0, 1000) == 86_400.0


def test_a_build_that_succeeds_when_its_source_is_published_no_more_is_superseded() -> None:
    unpublished = {outcome: verdict(outcome, BuildState.BUILDING).unpublished for outcome in Outcome}
    assert {outcome: state for outcome, state in unpublished.items() if state} == {Outcome.OK: BuildState.SUPERSEDED}


def test_an_abort_that_was_asked_for_cancels_the_build_and_blames_nobody() -> None:
    assert verdict(Outcome.ABORTED, BuildState.CANCELLING) == Verdict(BuildState.CANCELLED, keep_job=False)


def test_a_cancelled_build_that_ended_before_the_abort_came_is_cancelled_all_the_same() -> None:
    assert verdict(Outcome.OK, BuildState.CANCELLING).build is BuildState.CANCELLED


@given(st.sampled_from(Outcome), st.sampled_from([BuildState.BUILDING, BuildState.CANCELLING, BuildState.GATHERING]))
def test_a_job_is_kept_exactly_if_its_build_needs_building_again(outcome: Outcome, state: BuildState) -> None:
    means = verdict(outcome, state)
    assert means.keep_job == (means.build is BuildState.NEEDSBUILD)
    assert means.keep_job != means.build.final


def test_every_outcome_has_a_verdict() -> None:
    assert {verdict(outcome, BuildState.BUILDING).build for outcome in Outcome}

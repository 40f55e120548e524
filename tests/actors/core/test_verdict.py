"""What outcomes mean (dispatch-rules §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.verdict import BuilderBlame, Verdict, verdict
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
    assert verdict(outcome, BuildState.BUILDING) == Verdict(build, kept, blame)


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

"""What an operator says of the whole farm, on both twins."""

from __future__ import annotations

import pytest

from storage.errors import BadValue, UnknownFamily
from storage.records import FamilyScore, FarmState
from tests.fix_storage import Stage


def test_a_farm_is_paused_with_a_reason_and_resumed(stage: Stage) -> None:
    with stage.acting("ann"):
        assert stage.farm_states.pause(" the mirror is being moved ") == FarmState(paused="the mirror is being moved")
        assert stage.farm_states.resume() == FarmState()


def test_a_pause_that_goes_by_itself_stands_back_behind_a_persons(stage: Stage) -> None:
    with stage.acting("queue"):
        assert stage.farm_states.pause_for_now("no room") == FarmState(paused="no room")
        assert stage.farm_states.pause_for_now("no room at all") == FarmState(paused="no room")
        assert stage.farm_states.resume_from("something else") == FarmState(paused="no room")
        assert stage.farm_states.resume_from("no room") == FarmState()
    with stage.acting("ann"):
        stage.farm_states.pause("moving")
    with stage.acting("queue"):
        assert stage.farm_states.pause_for_now("no room") == FarmState(paused="moving")
        assert stage.farm_states.resume_from("no room") == FarmState(paused="moving")


def test_a_pause_without_a_reason_is_refused(stage: Stage) -> None:
    with stage.acting("ann"), pytest.raises(BadValue, match="say why"):
        stage.farm_states.pause("  ")
    assert stage.farm_states.get() == FarmState()


def test_fences_are_the_farms_and_the_families(stage: Stage) -> None:
    with stage.acting("ann"):
        stage.farm_states.set_minimum_score(100)
        stage.farm_states.set_minimum_score(2000, "x86")
        assert stage.farm_states.set_minimum_score(3000, "arm64") == FarmState(
            minimum_score=100, family_scores=(FamilyScore("arm64", 3000), FamilyScore("x86", 2000))
        )
        stage.farm_states.set_minimum_score(None)
        assert stage.farm_states.set_minimum_score(None, "arm64") == FarmState(
            family_scores=(FamilyScore("x86", 2000),)
        )


def test_a_fence_for_an_unknown_family_or_out_of_range_is_refused(stage: Stage) -> None:
    with stage.acting("ann"), pytest.raises(UnknownFamily, match="z80"):
        stage.farm_states.set_minimum_score(1, "z80")
    with stage.acting("ann"), pytest.raises(BadValue):
        stage.farm_states.set_minimum_score(1_000_001)

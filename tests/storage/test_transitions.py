"""The table of moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.records import BuildState
from storage.transitions import HELD, MOVES, may_move, path_to

STATES = st.sampled_from(list(BuildState))

_TABLE = """
                NEEDS BUILD CANC-  GATH- FULLY FAILED  MANUAL CHROOT SUPER- FAILED   CANC-  INFRA
                BUILD  ING  ELLING ERING BUILT TOBUILD DEPWAIT WAIT  SEDED  TOUPLOAD ELLED  FAILED
NEEDSBUILD      .     yes   .      .     .     yes     yes    yes    yes    .        yes    yes
BUILDING        yes   .     yes    yes   .     yes     yes    yes    yes    .        yes    yes
CANCELLING      .     .     .      .     .     yes     yes    yes    yes    .        yes    yes
GATHERING       yes   .     yes    .     yes   yes     yes    yes    yes    yes      yes    yes
FULLYBUILT      .     .     .      .     .     .       .      .      .      .        .      .
FAILEDTOBUILD   yes   .     .      .     .     .       .      .      .      .        .      .
MANUALDEPWAIT   yes   .     .      .     .     .       .      .      .      .        .      .
CHROOTWAIT      yes   .     .      .     .     .       .      .      .      .        .      .
SUPERSEDED      yes   .     .      .     .     .       .      .      .      .        .      .
FAILEDTOUPLOAD  yes   .     .      .     .     .       .      .      .      .        .      .
CANCELLED       yes   .     .      .     .     .       .      .      .      .        .      .
INFRAFAILED     yes   .     .      .     .     .       .      .      .      .        .      .
"""

#: The moves once more, in another hand: from each row to each column.
MATRIX = {
    BuildState(name): {state for state, word in zip(BuildState, words, strict=True) if word == "yes"}
    for name, *words in (line.split() for line in _TABLE.splitlines()[3:])
}


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(BuildState)


def test_the_table_is_the_one_that_was_decided() -> None:
    assert {now: set(ends) for now, ends in MOVES.items()} == MATRIX


def test_retry_is_allowed_from_every_final_state_but_fullybuilt() -> None:
    final = {state for state in BuildState if state.final}
    assert {state for state in final if may_move(state, BuildState.NEEDSBUILD)} == final - {BuildState.FULLYBUILT}


def test_only_gathered_results_are_fullybuilt() -> None:
    assert {state for state, ends in MOVES.items() if BuildState.FULLYBUILT in ends} == {BuildState.GATHERING}


def test_what_is_being_cancelled_never_goes_back_to_the_queue() -> None:
    assert not may_move(BuildState.CANCELLING, BuildState.NEEDSBUILD)
    assert path_to(BuildState.CANCELLING, BuildState.NEEDSBUILD) == (BuildState.CANCELLED,)
    assert path_to(BuildState.CANCELLING, BuildState.FULLYBUILT) == (BuildState.CANCELLED,)
    assert path_to(BuildState.CANCELLING, BuildState.FAILEDTOBUILD) == (BuildState.FAILEDTOBUILD,)


@given(STATES, STATES)
def test_a_path_is_made_of_allowed_moves_and_leaves_nobody_holding(now: BuildState, wanted: BuildState) -> None:
    path = path_to(now, wanted)
    for before, after in zip((now, *path), path, strict=False):
        assert may_move(before, after)
    if path:
        assert path[-1] not in HELD
        assert path[-1] == wanted or now == BuildState.CANCELLING

"""The states of a build and the moves between them (dispatch-rules §4): the one file that owns them.

`storage/sql/migrations` holds the same table for those who change builds at the SQL prompt (`build_move`); a test
compares the two.  Who moves a build, and when, stands in `storage.build_queue` and `storage.builds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage.records import BuildState

_S = BuildState

#: What an operator may decide of a build that has not ended.
_VERDICTS: Final = frozenset(
    {_S.FAILEDTOBUILD, _S.MANUALDEPWAIT, _S.CHROOTWAIT, _S.SUPERSEDED, _S.CANCELLED, _S.INFRAFAILED}
)

#: Retry: every final state but FULLYBUILT.
_RETRY: Final = frozenset({_S.NEEDSBUILD})

MOVES: Final[Mapping[BuildState, frozenset[BuildState]]] = {
    _S.NEEDSBUILD: _VERDICTS | {_S.BUILDING},
    _S.BUILDING: _VERDICTS | {_S.NEEDSBUILD, _S.CANCELLING, _S.GATHERING},
    _S.GATHERING: _VERDICTS | {_S.NEEDSBUILD, _S.CANCELLING, _S.FULLYBUILT, _S.FAILEDTOUPLOAD},
    # What was to be cancelled never goes back to the queue, whatever the slave says meanwhile.
    _S.CANCELLING: _VERDICTS,
    _S.FULLYBUILT: frozenset(),
    _S.FAILEDTOBUILD: _RETRY,
    _S.MANUALDEPWAIT: _RETRY,
    _S.CHROOTWAIT: _RETRY,
    _S.SUPERSEDED: _RETRY,
    _S.FAILEDTOUPLOAD: _RETRY,
    _S.CANCELLED: _RETRY,
    _S.INFRAFAILED: _RETRY,
}

#: States in which a build has an open attempt, and exactly then (architecture §9, invariant 2).
HELD: Final = frozenset({_S.BUILDING, _S.GATHERING, _S.CANCELLING})


def may_move(now: BuildState, wanted: BuildState) -> bool:
    """Return whether a build may go from `now` to `wanted`; to stay is no move and always allowed."""
    return now == wanted or wanted in MOVES[now]


def path_to(now: BuildState, wanted: BuildState) -> tuple[BuildState, ...]:
    """Return the moves by which an attempt's end takes its build from `now` to `wanted`.

    Two facts of a running farm are settled here, where the row is locked, because whoever asked may not have seen
    them: a build that is being cancelled ends CANCELLED, and results whose gathering nobody announced were gathered.

    Returns:
        The states to go through, the last one being where the build ends up; empty if there is no way.
    """
    if wanted in HELD:
        return ()
    if now == _S.CANCELLING and wanted not in _VERDICTS:
        return (_S.CANCELLED,)
    if may_move(now, wanted):
        return (wanted,)
    if now == _S.BUILDING and wanted in MOVES[_S.GATHERING]:
        return (_S.GATHERING, wanted)
    return ()


def way_out(build: int, now: BuildState, wanted: BuildState) -> str:
    """Return what a person can do instead of a move that is impossible: one clause, as errors end with."""
    if wanted == _S.CANCELLING and not now.final:
        return f"`buildd-master build cancel {build}` asks for that"
    if wanted in HELD:
        return "the farm makes it so when a builder has it"
    if now == _S.CANCELLING:
        return f"it is being cancelled (70 s at most); `buildd-master build retry {build}` goes on from there"
    if not now.final:
        return "only results that a slave left make it so"
    if now == _S.FULLYBUILT:
        return "`buildd-master submit --again` builds it once more"
    return f"it has ended, and only `buildd-master build retry {build}` goes on from there"

"""Builders that fail everything quickly (dispatch-rules §6, black hole): a suspicion, and how it is settled.

A broken machine that fails packages in seconds looks like packages that don't build.  The suspicion rests on how
quickly, how many of its latest results, and that its neighbours are sane; the builds are then tried once elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from actors.core.attempts.verdict import VerdictRules
from storage.records import BuildResult, Outcome


def quick_failures(results: Iterable[BuildResult], rules: VerdictRules) -> tuple[BuildResult, ...]:
    """Return the package failures that came in under `quick_share` of the expected time."""
    return tuple(
        one
        for one in results
        if one.outcome is Outcome.PACKAGEFAIL and one.seconds < rules.quick_share * (one.expected or rules.expected)
    )


def suspicious(results: Sequence[BuildResult], rules: VerdictRules) -> bool:
    """Return whether a builder's latest results alone look like a black hole."""
    return len(quick_failures(results[: rules.results], rules)) >= rules.quick_failures


def is_black_hole(
    mine: Sequence[BuildResult], others: Mapping[str, Sequence[BuildResult]], rules: VerdictRules
) -> bool:
    """Return whether a builder is to be suspected.

    Args:
        mine: the builder's results, latest first.
        others: the same of the other builders of its families; without any builder there is nobody to compare with.
            Where none of them has built anything, as in a quiet farm, in which one builder gets everything, that the
            builds are tried elsewhere must settle it (docs/adr/0164).
        rules: the numbers.
    """
    compared = [results for results in others.values() if results]
    sane = sum(not suspicious(results, rules) for results in compared)
    return suspicious(mine, rules) and (2 * sane > len(compared) or bool(others and not compared))

"""Builders that fail everything quickly (dispatch-rules §6)."""

from __future__ import annotations

from actors.core.attempts.black_hole import is_black_hole, quick_failures
from actors.core.attempts.verdict import VerdictRules
from storage.records import BuildResult, Outcome

RULES = VerdictRules()


def results(quick: int, fine: int = 0, slow: int = 0, expected: float | None = 600.0) -> list[BuildResult]:
    """Return results, latest first: quick package failures, builds that passed, package failures that took their time."""
    made = [("PACKAGEFAIL", 10.0)] * quick + [("OK", 600.0)] * fine + [("PACKAGEFAIL", 500.0)] * slow
    return [BuildResult("bob", number, Outcome(word), took, expected) for number, (word, took) in enumerate(made)]


SANE = {"ann": results(0, fine=8)}


def test_five_quick_package_failures_of_the_last_eight_are_suspicious_while_the_others_are_sane() -> None:
    assert is_black_hole(results(5, fine=3), SANE, RULES)
    assert is_black_hole(results(5), SANE, RULES)


def test_four_are_not() -> None:
    assert not is_black_hole(results(4, fine=4), SANE, RULES)


def test_failures_that_took_their_time_are_the_packages_own() -> None:
    assert not is_black_hole(results(0, slow=8), SANE, RULES)


def test_older_results_than_the_last_eight_do_not_count() -> None:
    old = results(0, fine=4) + results(8)
    assert not is_black_hole(old, SANE, RULES)


def test_a_mass_of_broken_packages_that_fails_everywhere_is_nobodys_fault() -> None:
    assert not is_black_hole(
        results(8), {"ann": results(8), "eve": results(6, fine=2), "kim": results(0, fine=8)}, RULES
    )


def test_without_others_to_compare_with_nobody_is_suspected() -> None:
    assert not is_black_hole(results(8), {}, RULES)


def test_a_builder_that_gets_everything_is_suspected_although_the_others_have_nothing_to_show() -> None:
    assert is_black_hole(results(8), {"ann": [], "eve": []}, RULES)
    assert not is_black_hole(results(4, fine=4), {"ann": []}, RULES)
    assert not is_black_hole(results(8), {"ann": [], "eve": results(8)}, RULES)


def test_of_a_package_that_was_never_built_five_minutes_are_expected() -> None:
    assert len(quick_failures(results(8, expected=None), RULES)) == 8
    took_a_minute = [BuildResult("bob", 1, Outcome.PACKAGEFAIL, 61.0, None)]
    assert quick_failures(took_a_minute, RULES) == ()

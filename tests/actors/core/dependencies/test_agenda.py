"""Nobody who is to be looked at is forgotten, and no slice is larger than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.core.dependencies.agenda import (
    MOST_BUILDS,
    MOST_PACKAGES,
    Agenda,
    Asked,
    AskWhoAwaits,
    Look,
    Looked,
    Moved,
    Published,
    SweepDue,
)

BUILDS = st.frozensets(st.integers(1, 400), max_size=250)


def work_off(agenda: Agenda, waiting: set[int], awaited: dict[int, int], at_once: int) -> list[int]:
    """Do what the agenda says, in a farm where `waiting` builds wait; return whom it looked at, in order."""
    seen: list[int] = []
    for _ in range(10_000):
        match agenda.next():
            case None:
                return seen
            case AskWhoAwaits(packages):
                assert 0 < len(packages) <= MOST_PACKAGES
                agenda.handle(Asked(packages, frozenset(awaited[one] for one in packages if one in awaited)))
            case Look(builds, after) as look:
                assert builds is None or 0 < len(builds) <= MOST_BUILDS
                there = sorted(one for one in waiting if one > after and (builds is None or one in builds))
                found = there[: min(at_once, MOST_BUILDS)]
                seen += found
                agenda.handle(Looked(look, found[-1] if found else None))
    raise AssertionError("it never ends")


@given(
    BUILDS, st.lists(BUILDS.map(Moved) | st.just(SweepDue()) | st.just(Published(None)), max_size=4), st.integers(1, 60)
)
def test_everybody_who_is_to_be_looked_at_is_looked_at(
    waiting: frozenset[int], events: list[Moved | SweepDue | Published], at_once: int
) -> None:
    agenda = Agenda()
    wanted: set[int] = set()
    for event in events:
        agenda.handle(event)
        wanted |= waiting & event.builds if isinstance(event, Moved) else waiting
    seen = work_off(agenda, set(waiting), {}, at_once)
    assert set(seen) == wanted
    assert agenda == Agenda()


@given(st.frozensets(st.integers(1, 3000), max_size=2500), st.dictionaries(st.integers(1, 3000), st.integers(1, 400)))
def test_packages_lead_to_the_builds_that_await_them(packages: frozenset[int], awaited: dict[int, int]) -> None:
    agenda = Agenda()
    agenda.handle(Published(packages))
    seen = work_off(agenda, set(range(1, 401)), awaited, 50)
    assert set(seen) == {awaited[one] for one in packages if one in awaited}


def test_more_packages_than_are_asked_for_at_once_are_all_asked_for() -> None:
    agenda = Agenda()
    agenda.handle(Published(frozenset(range(1, 2 * MOST_PACKAGES + 2))))
    awaited = {1: 1, MOST_PACKAGES + 1: 2, 2 * MOST_PACKAGES + 1: 3}
    assert set(work_off(agenda, {1, 2, 3, 4}, awaited, 50)) == {1, 2, 3}


def test_builds_that_something_came_for_go_before_the_sweep() -> None:
    agenda = Agenda()
    agenda.handle(SweepDue())
    agenda.handle(Moved(frozenset({3})))
    assert agenda.next() == Look(frozenset({3}), 0)
    agenda.handle(Looked(Look(frozenset({3}), 0), 3))
    assert agenda.next() == Look(None, 0)


def test_a_sweep_goes_on_where_it_was_whatever_comes_between() -> None:
    agenda = Agenda()
    agenda.handle(SweepDue())
    agenda.handle(Looked(Look(None, 0), 17))
    agenda.handle(SweepDue())
    assert agenda.next() == Look(None, 17)


def test_what_is_published_during_a_sweep_has_everybody_looked_at_again() -> None:
    agenda = Agenda()
    agenda.handle(SweepDue())
    agenda.handle(Looked(Look(None, 0), 17))
    agenda.handle(Published(None))
    agenda.handle(Looked(Look(None, 17), None))
    assert agenda.next() == Look(None, 0)
    agenda.handle(Looked(Look(None, 0), None))
    assert agenda.next() is None


def test_builds_that_do_not_wait_any_more_are_dropped() -> None:
    agenda = Agenda()
    agenda.handle(Moved(frozenset({1, 2, 3})))
    agenda.handle(Looked(Look(frozenset({1, 2, 3}), 0), 2))
    assert agenda.builds == {3}
    agenda.handle(Looked(Look(frozenset({3}), 0), None))
    assert agenda.next() is None

"""Which earlier event led to one of the event log: what a person did at the console."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.core.people.causes import Sought, sought
from storage.records import Event, NotOkKind, Relatives

NOW = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
ALONE = Relatives(None, None, None, (), (), ())


def marked(failnotes: str) -> Event:
    return Event(9, NOW, "queue", "", "builder:bob", "failnotes", {}, {"failnotes": failnotes}, None)


@pytest.mark.parametrize(
    ("failnotes", "deed"),
    [("InjectedCrash: told so (farm_actor.py:1 in x)", "console: crash"), ("its process ended", "console: kill")],
)
def test_an_actor_may_have_crashed_because_of_what_a_console_did_to_it_just_now(failnotes: str, deed: str) -> None:
    crashed = replace(ALONE, notok_kind=NotOkKind.CRASH)
    assert sought(marked(failnotes), crashed) == Sought(("builder:bob",), False, deed, NOW - timedelta(minutes=1))


@pytest.mark.parametrize("kind", [NotOkKind.UNREACHABLE, NotOkKind.MISFIT, NotOkKind.BREACH, None])
def test_nothing_that_a_console_did_makes_a_slave_unreachable_or_a_misfit(kind: NotOkKind | None) -> None:
    assert sought(marked("InjectedCrash: said somebody"), replace(ALONE, notok_kind=kind)) is None

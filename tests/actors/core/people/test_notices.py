"""Which events people are told of, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from actors.core.people.notices import COLUMNS, What, notice
from storage.records import Event, NotOkKind

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FARM = "8f0e4f3e-0f6c-4d0c-9d5c-0d5f3f3b8a10"


def event(subject: str, before: dict[str, Any] | None, after: dict[str, Any] | None, number: int = 17) -> Event:
    return Event(number, AT, "queue", "", subject, ", ".join(sorted(after or {})), before, after, None)


def disabled(kind: NotOkKind, before: NotOkKind | None = None) -> Event:
    return event("builder:bob", {"notok_kind": before}, {"notok_kind": kind, "failnotes": "disk broken"})


@pytest.mark.parametrize("kind", NotOkKind)
def test_a_builder_that_only_a_person_brings_back_is_told_and_one_that_heals_is_not(kind: NotOkKind) -> None:
    heals = kind in {NotOkKind.UNREACHABLE, NotOkKind.CRASH, NotOkKind.MISFIT}
    told = notice(disabled(kind))
    assert (told is None) == heals
    if told is not None:
        assert told.what is What.BUILDER_DISABLED
        assert told.words == "bob gets no work until a person sets it ok again: disk broken"


def test_a_builder_that_was_out_for_a_reason_that_heals_is_told_when_it_heals_no_more() -> None:
    assert notice(disabled(NotOkKind.FAILURES, NotOkKind.CRASH))
    assert not notice(disabled(NotOkKind.FAILURES, NotOkKind.BREACH)), "it was told before"


@pytest.mark.parametrize(
    ("subject", "column", "what", "shown", "words"),
    [
        (
            "chroot:ubuntu/hoary/i386/RELEASE",
            "held_back",
            What.CHROOT_HELD_BACK,
            "chroot:ubuntu/hoary/i386/RELEASE",
            "nothing is built in the chroot ubuntu/hoary/i386/RELEASE: it is held back: why",
        ),
        (f"farm:{FARM}", "paused", What.DISPATCH_PAUSED, "farm", "dispatch is paused by queue: why"),
    ],
)
def test_a_chroot_that_is_held_back_and_a_pause_are_told_once_and_their_end_is_not(
    subject: str, column: str, what: What, shown: str, words: str
) -> None:
    told = notice(event(subject, {column: ""}, {column: "why"}))
    assert told is not None
    assert (told.what, told.subject, told.words) == (what, shown, words)
    assert notice(event(subject, {column: "why"}, {column: "another"})) is None
    assert notice(event(subject, {column: "why"}, {column: ""})) is None
    assert notice(event(subject, {column: "why"}, None)) is None


@pytest.mark.parametrize("subject", ["build:1", "job:1", "attempt:1", "archive:1", "builder:bob"])
def test_nothing_else_is_told(subject: str) -> None:
    assert notice(event(subject, {}, {"state": "FAILEDTOBUILD", "builderok": False, "paused": "why"})) is None


def test_every_event_that_is_told_changes_a_column_that_is_looked_for() -> None:
    told = (
        disabled(NotOkKind.BREACH),
        event("chroot:1", {"held_back": ""}, {"held_back": "x"}),
        event("farm:1", {"paused": ""}, {"paused": "x"}),
    )
    assert all(notice(one) and set(one.after or {}) & set(COLUMNS) for one in told)


def test_the_document_has_an_id_that_nothing_else_has() -> None:
    first = notice(disabled(NotOkKind.BREACH))
    assert first is not None
    document = first.document(FARM)
    assert document == {
        "id": str(UUID(document["id"])),
        "farm": FARM,
        "what": "builder_disabled",
        "subject": "builder:bob",
        "words": "bob gets no work until a person sets it ok again: disk broken",
        "when": "2026-03-01T12:00:00+00:00",
    }
    others = [
        notice(event("builder:bob", {}, {"notok_kind": "breach"}, 18)),
        notice(
            Event(17, datetime(2026, 3, 2, tzinfo=UTC), "", "", "builder:eve", "", {}, {"notok_kind": "breach"}, None)
        ),
    ]
    ids = {document["id"], *(one.document(FARM)["id"] for one in others if one is not None)}
    assert len(ids | {first.document(FARM.replace("8", "9"))["id"]}) == 4
    assert first.document(FARM) == document


def test_words_have_an_end() -> None:
    told = notice(event("farm:1", {}, {"paused": "x" * 10_000}))
    assert told is not None
    assert len(told.words) == 2000
    assert told.words.endswith("...")

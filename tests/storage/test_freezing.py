"""A builder that is held at the debug console, and notes in the event log; on both twins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import UnknownBuilder
from storage.records import RuntimeState
from tests.fix_storage import Stage


def test_a_frozen_builder_says_until_when_and_no_more_when_it_is_thawed(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("queue"):
        stage.builders.record_runtime("bob", RuntimeState.IDLE, connected=True)
    with stage.acting("anna", "a look"):
        bob = stage.builders.freeze("bob", 60)
    assert bob.frozen_until is not None
    assert timedelta(seconds=50) < bob.frozen_until - datetime.now(UTC) <= timedelta(seconds=60)
    with stage.acting("anna", "seen"):
        assert stage.builders.thaw("bob").frozen_until is None
        assert stage.builders.thaw("bob").frozen_until is None
    (runtime,) = stage.builders.runtimes()
    assert (runtime.state, runtime.connected) == (RuntimeState.IDLE, True)


def test_a_freeze_takes_the_place_of_the_one_before(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("anna"):
        stage.builders.freeze("bob", 600)
        until = stage.builders.freeze("bob", 10).frozen_until
    assert until is not None
    assert until - datetime.now(UTC) <= timedelta(seconds=10)


def test_a_builder_that_is_not_there_is_neither_frozen_nor_thawed(stage: Stage) -> None:
    with pytest.raises(UnknownBuilder, match="nobody"), stage.acting("anna"):
        stage.builders.freeze("nobody", 60)
    with pytest.raises(UnknownBuilder, match="nobody"), stage.acting("anna"):
        stage.builders.thaw("nobody")


def test_what_changes_no_row_is_noted_with_who_and_why_and_can_be_a_cause(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("anna", "it smells"):
        note = stage.events.note("builder:bob", "console: crash")
        stage.events.because_of(note)
        stage.builders.set_ok("bob", ok=False, notes="it smells")
    with stage.acting("queue"):
        stage.builders.set_ok("bob", ok=True)
    told, *after = stage.events.story("builder:bob")[-3:]
    assert (told.id, told.who, told.why, told.what) == (note, "anna", "it smells", "console: crash")
    assert (told.before, told.after, told.cause) == (None, None, None)
    assert [event.cause for event in after] == [note, None]

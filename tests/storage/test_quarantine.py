"""Quarantine by a person's word, on both twins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import UnknownBuilder
from storage.records import Limits, Pick, RuntimeState
from tests.fix_storage import Stage


def test_a_quarantined_builder_claims_nothing_until_it_is_released(stage: Stage) -> None:
    job = stage.job()
    stage.builder("bob")
    with stage.acting("anna"):
        bob = stage.builders.quarantine("bob", 600, "smells of smoke")
    assert bob.quarantined_until is not None
    assert timedelta(minutes=9) < bob.quarantined_until - datetime.now(UTC) <= timedelta(minutes=10)
    assert (bob.quarantine_why, bob.builderok) == ("smells of smoke", True)
    with stage.acting("queue"):
        assert stage.queue.claim((Pick(job.id, "bob", 1),), Limits(wall_seconds=60)) == ()
    with stage.acting("anna"):
        released = stage.builders.release("bob")
    assert (released.quarantined_until, released.quarantine_why) == (None, "")
    (runtime,) = stage.builders.runtimes()
    assert runtime.cleared is not None
    assert stage.claim(job, "bob").builder == "bob"


def test_quarantine_leaves_what_the_actor_said_and_what_runs_there(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    with stage.acting("queue"):
        stage.builders.record_runtime("bob", RuntimeState.BUILDING, connected=True)
    with stage.acting("anna"):
        stage.builders.quarantine("bob", 600, "")
    (runtime,) = stage.builders.runtimes()
    assert (runtime.state, runtime.connected) == (RuntimeState.BUILDING, True)
    assert stage.queue.open_attempts() == (attempt,)


def test_a_builder_no_actor_spoke_of_yet_can_be_quarantined(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("anna"):
        assert stage.builders.quarantine("bob", 60, "new").quarantine_why == "new"
        assert stage.builders.release("bob").quarantined_until is None
        assert stage.builders.release("bob").quarantined_until is None
    assert [one.connected for one in stage.builders.runtimes()] == [False]


def test_a_builder_that_is_not_there_is_neither_quarantined_nor_released(stage: Stage) -> None:
    with pytest.raises(UnknownBuilder, match="nobody"), stage.acting("anna"):
        stage.builders.quarantine("nobody", 60, "")
    with pytest.raises(UnknownBuilder, match="nobody"), stage.acting("anna"):
        stage.builders.release("nobody")

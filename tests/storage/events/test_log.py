"""Who did what and why, and who is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from storage.database.connection import acting, connect
from storage.records import BuildState, NotOkKind, Outcome, Pocket, RuntimeState
from tests.fix_storage import Farm, Stage, left, stored

Told = Callable[[], list[tuple[str, str, Any]]]


def test_a_change_is_told_with_who_why_before_and_after(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("anna", "needs a new disk"):
        stage.builders.set_ok("bob", ok=False, notes="no disk")
    made, changed = stage.events.list("builder:bob")
    assert (made.who, made.what, made.before) == ("stage", "insert", None)
    assert made.after is not None
    assert made.after["name"] == "bob"
    assert (changed.who, changed.why, changed.what) == ("anna", "needs a new disk", "builderok, failnotes, notok_by")
    assert changed.before == {"builderok": True, "failnotes": "", "notok_by": None}
    assert changed.after == {"builderok": False, "failnotes": "no disk", "notok_by": "person"}


def test_a_change_that_changes_nothing_is_no_event(stage: Stage) -> None:
    stage.builder("bob")
    last = stage.events.last_id()
    with stage.acting("anna"):
        stage.builders.set_ok("bob", ok=True)
        stage.builders.change("bob", manual=False)
    assert stage.events.last_id() == last


def test_the_life_of_a_build_is_its_story(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builds.set_state(job.build, BuildState.FAILEDTOBUILD)
    states = [event.after["state"] for event in stage.events.story(f"build:{job.build}") if event.after]
    assert states == ["NEEDSBUILD", "BUILDING", "FAILEDTOBUILD"]
    told = stage.events.story(f"job:{job.id}")
    assert [event.what for event in told] == ["insert", "builder, buildstart", "delete"]
    assert told[-1].after is None
    closed = stage.events.story(f"attempt:{attempt.id}")[-1]
    assert closed.after is not None
    assert (closed.who, closed.after["outcome"]) == ("anna", Outcome.FENCED)


def test_events_are_read_on_from_the_last_one_seen(stage: Stage) -> None:
    stage.builder("bob")
    seen = stage.events.last_id()
    stage.builder("eve")
    stage.builder("ann")
    assert [event.subject for event in stage.events.list(since_id=seen)] == ["builder:eve", "builder:ann"]
    assert [event.subject for event in stage.events.list(since_id=seen, limit=1)] == ["builder:eve"]
    assert stage.events.list("builder:bob", since_id=seen) == ()


def test_a_person_at_the_prompt_is_sql(farm: Farm) -> None:
    farm.builder("bob")
    farm.sql("UPDATE builder SET manual = true")
    assert farm.events.story("builder:bob")[-1].who == "sql"


def test_a_program_that_names_nobody_is_told_by_its_own_name(farm: Farm, shared_database: str) -> None:
    farm.builder("bob")
    with connect(shared_database, application="a program") as conn:
        conn.execute("UPDATE builder SET manual = true")
    assert farm.events.story("builder:bob")[-1].who == "a program"


def test_a_cause_is_kept(farm: Farm) -> None:
    farm.builder("bob")
    cause = farm.events.last_id()
    with acting(farm.conn, "queue", "follows", cause=cause):
        farm.builders.change("bob", manual=True)
    assert farm.events.list()[-1].cause == cause
    with acting(farm.conn, "queue"):
        farm.builders.change("bob", manual=False)
    assert farm.events.list()[-1].cause is None


def test_what_triggers_do_is_told_after_what_made_them_do_it(farm: Farm) -> None:
    job = farm.job()
    attempt = farm.claim(job, farm.builder("bob"))
    seen = farm.events.last_id()
    farm.sql("UPDATE builder SET trusted = false")
    assert [event.subject for event in farm.events.list(since_id=seen)] == [
        "builder:bob",
        f"attempt:{attempt.id}",
        f"build:{job.build}",
        f"job:{job.id}",
    ]


@pytest.fixture
def told(farm: Farm, shared_database: str) -> Iterator[Told]:
    """Return what was notified since the last call: table, operation and ids."""
    with connect(shared_database, application="listener") as listener:
        listener.execute("LISTEN farm")

        def read() -> list[tuple[str, str, Any]]:
            farm.conn.execute("SELECT pg_notify('farm', 'end')")
            payloads: list[str] = []
            for notify in listener.notifies(timeout=10):
                if notify.payload == "end":
                    break
                payloads.append(notify.payload)
            return [(one["table"], one["op"], one["ids"]) for one in map(json.loads, payloads)]

        yield read


def test_the_farm_is_told_of_every_change_that_dispatch_looks_at(farm: Farm, told: Told) -> None:
    bob = farm.builder("bob")
    job = farm.job("foo")
    hears = told()
    assert ("builder", "INSERT", ["bob"]) in hears
    assert ("build", "INSERT", [job.build]) in hears
    assert ("buildqueue", "INSERT", [job.id]) in hears
    assert ("library_content", "INSERT", [stored("foo_1.0-1.dsc").sha256]) in hears
    attempt = farm.claim(job, bob)
    assert told() == [("build", "UPDATE", [job.build]), ("buildqueue", "UPDATE", [job.id])]
    farm.sql("UPDATE builder SET trusted = false")
    assert told() == [
        ("attempt", "UPDATE", [str(attempt.id)]),
        ("buildqueue", "UPDATE", [job.id]),
        ("build", "UPDATE", [job.build]),
        ("builder", "UPDATE", ["bob"]),
    ]
    farm.queue.remove(job.id)
    assert told() == [("buildqueue", "DELETE", [job.id])]
    farm.builders.remove("bob")
    assert told() == [("builder", "DELETE", ["bob"])]
    where = farm.series.named("ubuntu/hoary/i386")
    farm.chroots.set(where.id, Pocket.RELEASE, farm.library.add(stored("newer"), "newer").id)
    assert told()[-1] == ("chroot", "UPDATE", [where.id])
    farm.sql("UPDATE archive SET enabled = false WHERE name = 'primary'")
    assert told() == [("archive", "UPDATE", [1])]


def test_only_rows_that_changed_are_told(farm: Farm, told: Told) -> None:
    for name in ("ann", "bob", "eve"):
        farm.builder(name)
    told()
    farm.sql("UPDATE builder SET manual = (name = 'bob')")
    assert told() == [("builder", "UPDATE", ["bob"])]
    farm.sql("UPDATE builder SET manual = (name = 'bob')")
    assert told() == []


def test_what_only_actors_know_tells_nobody(farm: Farm, told: Told) -> None:
    farm.builder("bob")
    told()
    farm.builders.record_runtime("bob", RuntimeState.IDLE, connected=True)
    assert told() == []


def test_a_transaction_that_is_undone_tells_nobody(farm: Farm, told: Told) -> None:
    farm.builder("bob")
    told()
    with farm.conn.transaction(force_rollback=True):
        farm.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
    assert told() == []


def test_too_many_rows_for_one_payload_are_told_without_ids(farm: Farm, told: Told) -> None:
    farm.sql(
        """INSERT INTO builder (name, url, families)
           SELECT 'builder-' || n, 'buildd://host:' || n, '{x86}' FROM generate_series(1, 1000) AS n"""
    )
    assert told() == [("builder", "INSERT", None)]


def test_a_recorded_result_tells_of_its_files(farm: Farm, told: Told) -> None:
    attempt = farm.claim(farm.job(), farm.builder("bob"))
    told()
    with farm.acting("queue"):
        farm.queue.record(
            attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False, results=(left("foo.deb"),)
        )
    assert {table for table, _, _ in told()} == {"attempt", "build", "buildqueue", "library_content"}


def test_notifications_name_their_sender(farm: Farm, shared_database: str) -> None:
    with psycopg.connect(shared_database, autocommit=True) as listener:
        listener.execute("LISTEN farm")
        farm.builder("bob")
        (first,) = listener.notifies(timeout=10, stop_after=1)
        assert first.pid == farm.conn.info.backend_pid

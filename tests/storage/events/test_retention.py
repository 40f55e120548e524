"""Old events go, and the log still tells how everything that is there became what it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.check import check
from storage.events.retention import Forgetting, Retention
from storage.files.librarian import Librarian
from storage.records import BuildState, NotOkKind, Outcome
from tests.fix_storage import Farm, left

AGE = timedelta(days=30)


def told(farm: Farm, subject: str) -> list[str]:
    return [one.what for one in farm.events.story(subject)]


def told_well(farm: Farm, tmp_path: Path) -> bool:
    """Return whether invariant 8 holds."""
    return 8 not in {one.number for one in check(farm.conn, Librarian(tmp_path))}


def age(farm: Farm, days: int) -> None:
    """Make everything that happened so far older."""
    with farm.conn.transaction():
        farm.conn.execute("SET LOCAL session_replication_role = replica")
        farm.conn.execute("UPDATE event SET at = at - make_interval(days => %s)", (days,))


def forget(farm: Farm, limit: int = 1000) -> None:
    """Look at all old events, some at a time."""
    after: int | None = 0
    while after is not None:
        with farm.conn.transaction():
            after = Retention(farm.conn).forget(AGE, after, limit)


def built(farm: Farm, name: str = "foo", builder: str = "bob") -> tuple[int, int, str]:
    """Build something; return its build, its job and its attempt."""
    job = farm.job(name)
    attempt = farm.claim(job, builder)
    with farm.acting("queue"):
        farm.queue.gathering(attempt.id)
        farm.queue.record(
            attempt.id,
            Outcome.OK,
            "",
            build_state=BuildState.FULLYBUILT,
            keep_job=False,
            results=(left(f"{name}.deb"),),
        )
    return job.build, job.id, str(attempt.id)


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_of_what_is_there_the_first_and_the_last_words_stay_of_what_is_gone_none(
    farm: Farm, tmp_path: Path, limit: int
) -> None:
    farm.builder("bob")
    build, job, attempt = built(farm)
    with farm.acting("anna"):
        farm.builders.set_ok("bob", ok=False, notes="fan")
        farm.builders.set_ok("bob", ok=True)
        farm.builders.add("eve", "buildd://eve.example:8221", ("x86",), trusted=True)
        farm.builders.remove("eve")
    age(farm, 31)
    forget(farm, limit)
    assert told_well(farm, tmp_path)
    forget(farm, limit)  # the last word about what is gone goes when there are no others
    states = [one.after and one.after.get("state") for one in farm.events.story(f"build:{build}")]
    assert states[0] is not None
    assert states[-1] == "FULLYBUILT"
    assert "BUILDING" not in states
    assert (told(farm, f"job:{job}"), told(farm, f"attempt:{attempt}")) == ([], [])
    assert told(farm, "builder:eve") == []
    assert told(farm, "builder:bob")[0] == "insert"
    assert len(told(farm, "builder:bob")) == 2
    assert told_well(farm, tmp_path)


def test_what_is_young_stays_and_so_does_what_is_gone_only_since(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    age(farm, 31)
    with farm.acting("anna"):
        farm.builders.remove("bob")
    farm.builder("eve")
    _, _, attempt = built(farm, "bar", "eve")
    before = told(farm, "builder:bob")
    forget(farm)
    assert len(told(farm, f"attempt:{attempt}")) > 1
    assert told(farm, "builder:bob") == before
    assert told_well(farm, tmp_path)


def test_the_word_that_something_is_gone_stays_while_there_are_others_about_it(farm: Farm, tmp_path: Path) -> None:
    farm.builder("bob")
    with farm.acting("anna"):
        farm.builders.remove("bob")
    age(farm, 31)
    first = farm.events.story("builder:bob")[0].id
    with farm.conn.transaction():
        Retention(farm.conn).forget(AGE, first)  # which was younger when it was looked at
    assert told(farm, "builder:bob")[-1] == "delete"
    assert told_well(farm, tmp_path)


def test_an_open_attempt_keeps_its_events(farm: Farm) -> None:
    farm.builder("bob")
    attempt = farm.claim(farm.job())
    age(farm, 31)
    forget(farm)
    assert told(farm, f"attempt:{attempt.id}") == ["insert"]


def test_a_mark_that_stands_keeps_the_event_that_says_who_made_it(farm: Farm) -> None:
    farm.builder("bob")
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
    with farm.acting("anna"):
        farm.builders.change("bob", manual=True)
    age(farm, 400)
    forget(farm)
    _, marked, _ = farm.events.story("builder:bob")
    assert (marked.who, (marked.after or {})["failnotes"]) == ("queue", "no answer")


def test_nobody_else_forgets(farm: Farm) -> None:
    farm.builder("bob")
    with pytest.raises(psycopg.Error, match="append-only"):
        farm.sql("DELETE FROM event")


def test_who_looks_now_and_again_forgets_what_is_old_a_little_at_a_time(farm: Farm, shared_database: str) -> None:
    farm.builder("bob")
    _, _, attempt = built(farm)
    age(farm, 31)
    forgetting = Forgetting()
    forgetting.look(shared_database, 0, 1000.0)  # off
    forgetting.look(shared_database, 40, 1000.0)
    assert told(farm, f"attempt:{attempt}")
    built(farm, "young")
    forgetting.look(shared_database, 30, 1001.0)  # it was looked at just now
    assert told(farm, f"attempt:{attempt}")
    forgetting.look(shared_database, 30, 1000.0 + 86_400.0)
    assert not told(farm, f"attempt:{attempt}")


def test_a_database_that_is_away_is_tried_again(farm: Farm, shared_database: str) -> None:
    farm.builder("bob")
    _, _, attempt = built(farm)
    age(farm, 31)
    forgetting = Forgetting()
    forgetting.look(make_conninfo(shared_database, dbname="nowhere"), 30, 1000.0)
    forgetting.look(shared_database, 30, 1060.0)
    assert not told(farm, f"attempt:{attempt}")

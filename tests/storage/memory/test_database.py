"""What the twin alone can do: watchers, and indexes that an error takes back with the rows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from storage.memory.database import MemoryFarm
from storage.records import BuildState, Outcome
from tests.fix_storage import on_memory


class Stopped(Exception):
    pass


def test_watchers_are_told_of_rows_once_they_are_committed() -> None:
    rows = MemoryFarm()
    stage = on_memory(rows)
    told: list[tuple[str, Any, Any]] = []
    who: set[str] = set()

    def watch(table: str, before: Any, after: Any) -> None:
        told.append((table, before, after))
        who.add(rows.who)

    rows.watchers.append(watch)
    stage.builder("bob")
    assert [table for table, _before, _after in told] == ["builder", "builder_runtime"]
    assert who == {"stage"}
    told.clear()
    with suppress(Stopped), stage.acting("test"):
        stage.builder("alice")
        assert not told
        raise Stopped
    assert not told
    stage.builders.set_ok("bob", ok=False, notes="broken")
    ((table, before, after),) = told
    assert (table, before.builderok, after.builderok) == ("builder", True, False)


def test_an_error_takes_back_rows_indexes_events_and_what_was_read_of_jobs() -> None:
    rows = MemoryFarm()
    stage = on_memory(rows)
    stage.builder("bob")
    job = stage.job("foo")
    before = (stage.queue.jobs(), len(rows.events), dict(rows.open_by_build), dict(rows.exclusions))
    with suppress(Stopped), stage.acting("queue"):
        attempt = stage.claim(job)
        stage.queue.record(
            attempt.id, Outcome.LOST, "", build_state=BuildState.NEEDSBUILD, keep_job=True, exclude_seconds=60
        )
        assert stage.queue.job(job.id).excluded
        stage.source("bar")
        stage.claim(job)
        raise Stopped
    assert (stage.queue.jobs(), len(rows.events), rows.open_by_build, rows.exclusions) == before
    assert not rows.sources_by_name.get(("bar", "1.0-1"))


def test_a_job_is_read_anew_after_anything_that_it_is_read_from_has_changed() -> None:
    rows = MemoryFarm()
    stage = on_memory(rows)
    job = stage.job("foo")
    assert stage.queue.job(job.id) is stage.queue.job(job.id)
    stage.archives.change("ubuntu", "primary", relative_score=7)
    assert stage.queue.job(job.id).relative_score == 7
    stage.builds.cancel(job.build)
    stage.builds.retry(job.build)
    (again,) = stage.queue.jobs()
    assert (again.id, again.relative_score) == (stage.builds.job(job.build).id, 7)


def test_events_are_read_as_a_sequence() -> None:
    rows = MemoryFarm()
    on_memory(rows).builder("bob")
    first, *_, last = rows.events
    assert (first.id, last.id, rows.events[-1], rows.events[:1]) == (1, len(rows.events), last, [first])
    assert (last.subject, last.what) == ("builder:bob", "insert")

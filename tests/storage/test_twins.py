"""Any history of the queue gives the same rows in memory and on PostgreSQL, and breaks no invariant there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.check import check
from storage.errors import StorageError
from storage.librarian import Librarian
from storage.records import BuildState, Limits, NotOkKind, Outcome, Pick
from tests.fix_storage import Farm, Stage, in_memory

BUILDERS = ("bob", "eve")
JOBS = 3

Step = tuple[str, int, object]

STATES = st.sampled_from(list(BuildState))
STEPS = st.one_of(
    st.tuples(st.just("claim"), st.integers(0, JOBS - 1), st.sampled_from(BUILDERS)),
    st.tuples(st.just("record"), st.integers(0, 5), st.tuples(st.sampled_from(list(Outcome)), STATES, st.booleans())),
    st.tuples(st.sampled_from(["fence", "started", "gathering"]), st.integers(0, 5), st.none()),
    st.tuples(st.sampled_from(["cancel", "queue", "remove"]), st.integers(0, JOBS - 1), st.none()),
    st.tuples(st.sampled_from(["retry", "give back"]), st.integers(0, JOBS - 1), st.none()),
    st.tuples(st.just("assign"), st.integers(0, JOBS - 1), st.none() | st.sampled_from((*BUILDERS, "nobody"))),
    st.tuples(st.just("rescore"), st.integers(0, JOBS - 1), st.sampled_from((None, 7, 10**7))),
    st.tuples(st.just("verdict"), st.integers(0, JOBS - 1), STATES),
    st.tuples(
        st.just("builder"), st.integers(0, 1), st.sampled_from(["trust", "untrust", "break", "heal", "hold", "free"])
    ),
)


@dataclass
class _Excluded:
    """Whom a build does not go to for a while."""

    build: int
    builders: tuple[str, ...]


@dataclass
class Actor:
    """Does the steps on one stage; ids are places in lists, as UUIDs differ."""

    stage: Stage
    builds: list[int]

    def do(self, step: Step) -> str:
        """Do one step and return what came of it."""
        try:
            with self.stage.acting("test"):
                return str(self._do(*step))
        except StorageError as error:
            return type(error).__name__

    def _do(self, kind: str, number: int, detail: object) -> object:
        match kind, detail:
            case "builder", str(change):
                return self._change(BUILDERS[number], change)
            case (("record" | "fence" | "started" | "gathering"), _):
                return self._end(kind, number, detail)
            case _:
                return self._move(kind, self.builds[number], detail)

    def _move(self, kind: str, build: int, detail: object) -> object:
        queue, builds = self.stage.queue, self.stage.builds
        job = next((one.id for one in queue.jobs() if one.build == build), 0)
        match kind, detail:
            case "claim", str(builder):
                return len(queue.claim((Pick(job, builder, 1),), Limits(wall_seconds=60)))
            case "cancel", _:
                return builds.cancel(build)
            case "queue", _:
                return builds.queue(build).build
            case "remove", _:
                return queue.remove(job)
            case "retry", _:
                return builds.retry(build).build
            case "give back", _:
                return builds.give_back(build, exclude_seconds=3600.0).build
            case "assign", str() | None as builder:
                return builds.assign(build, builder).assigned
            case "rescore", int() | None as score:
                return builds.rescore(build, score).manual_score
            case _, BuildState() as state:
                return builds.set_state(build, state).state
        raise AssertionError(kind)

    def _end(self, kind: str, number: int, detail: object) -> object:
        queue = self.stage.queue
        attempts = [one.id for build in self.builds for one in self.stage.builds.attempts(build)]
        if number >= len(attempts):
            return "no such attempt"
        attempt = attempts[number]
        match kind, detail:
            case "record", (Outcome() as outcome, BuildState() as state, bool(keep)):
                return queue.record(attempt, outcome, "", build_state=state, keep_job=keep)
            case "fence", _:
                return queue.fence(attempt, "test")
            case "started", _:
                return queue.started(attempt)
            case _:
                return queue.gathering(attempt)

    def _change(self, builder: str, change: str) -> object:
        builders = self.stage.builders
        match change:
            case "trust" | "untrust":
                return builders.change(builder, trusted=change == "trust").trusted
            case "break":
                return builders.mark_not_ok(builder, "test", NotOkKind.CRASH)
            case "heal":
                return builders.heal(builder)
            case _:
                return builders.set_ok(builder, ok=change == "free").builderok

    def rows(self) -> list[object]:
        """Return everything that does not hold a time or UUID."""
        stage = self.stage
        times = {"created", "started", "ended", "buildstart", "deadline", "id", "log", "cooling_until", "excluded"}
        everything: tuple[Any, ...] = (
            *stage.queue.jobs(),
            *(_Excluded(job.build, tuple(one.builder for one in job.excluded)) for job in stage.queue.jobs()),
            *(stage.builds.get(build) for build in self.builds),
            *(one for build in self.builds for one in stage.builds.attempts(build)),
            *stage.builders.all(),
        )
        return [
            (type(row).__name__, *((f.name, getattr(row, f.name)) for f in fields(row) if f.name not in times))
            for row in everything
        ]


def actor(stage: Stage) -> Actor:
    stage.builder("bob", trusted=True)
    stage.builder("eve", trusted=False)
    jobs = (stage.job("one"), stage.job("two"), stage.job("three", "cprov/ppa"))
    return Actor(stage, [job.build for job in jobs])


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_any_history_gives_the_same_rows_and_breaks_no_invariant(
    fresh_farm: Callable[[], Farm], librarian: Librarian, steps: list[Step]
) -> None:
    farm = fresh_farm()
    real, twin = actor(farm), actor(in_memory())
    for step in steps:
        assert (step, real.do(step)) == (step, twin.do(step))
        assert real.rows() == twin.rows(), step
    found = check(farm.conn, librarian)
    assert [violation for violation in found if violation.number != 6] == []  # nobody brings files here

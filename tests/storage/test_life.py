"""The life of a build, whole: every pair of states, every verb in every state, and any history of both twins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from actors.core.attempts.verdict import verdict
from storage.check import check
from storage.errors import ImpossibleMove, NotQueued, NotRunning, StillRunning, StorageError
from storage.files.librarian import Librarian
from storage.memory.database import MemoryFarm
from storage.records import BuildState, Job, Limits, Outcome, Pick, Recording
from storage.transitions import HELD, MOVES
from tests.fix_storage import Farm, Stage, in_memory, on_memory
from tests.storage.test_transitions import MATRIX

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

STATES = list(BuildState)
PAIRS = [(now, wanted) for now in STATES for wanted in STATES]


def bring(stage: Stage, state: BuildState) -> Job:
    """Return the job, as it was, of a build that has come to `state` the way builds do."""
    job = stage.job()
    ends = {BuildState.FULLYBUILT: Outcome.OK, BuildState.FAILEDTOUPLOAD: Outcome.UNVERIFIED}
    if state in HELD or state in ends:
        attempt = stage.claim(job, stage.builder("bob"))
        with stage.acting("queue"):
            if state is BuildState.GATHERING:
                stage.queue.gathering(attempt.id)
            if state is BuildState.CANCELLING:
                stage.builds.cancel(job.build)
            if state in ends:
                stage.queue.record(attempt.id, ends[state], "", build_state=state, keep_job=False)
    elif state is not BuildState.NEEDSBUILD:
        with stage.acting("anna"):
            stage.builds.set_state(job.build, state)
    assert stage.builds.get(job.build).state is state
    return job


# --- every pair -----------------------------------------------------------------------------------


@pytest.mark.parametrize("now", STATES)
def test_from_every_state_the_database_lets_a_build_go_where_the_table_says_and_nowhere_else(
    farm: Farm, now: BuildState
) -> None:
    job = bring(farm, now)
    for wanted in STATES:
        with farm.conn.transaction(force_rollback=True):
            moved = "UPDATE build SET state = %s WHERE id = %s"
            if wanted == now or (wanted in MATRIX[now] and (wanted not in HELD or now in HELD)):
                farm.conn.execute(moved, (wanted, job.build))
                assert farm.builds.get(job.build).state is wanted
                continue
            told = "no attempt at it is open" if wanted in MATRIX[now] else f"is {now} and can't become {wanted}"
            with pytest.raises(psycopg.errors.CheckViolation, match=told), farm.conn.transaction():
                farm.conn.execute(moved, (wanted, job.build))


@pytest.mark.parametrize(("now", "wanted"), PAIRS)
def test_from_every_state_the_twin_lets_a_build_go_where_the_table_says_and_nowhere_else(
    now: BuildState, wanted: BuildState
) -> None:
    rows = MemoryFarm()
    stage = on_memory(rows)
    job = bring(stage, now)
    if wanted == now or (wanted in MATRIX[now] and (wanted not in HELD or now in HELD)):
        rows.move_build(job.build, wanted)
        assert stage.builds.get(job.build).state is wanted
        return
    told = "no attempt at it is open" if wanted in MATRIX[now] else f"is {now} and can't become {wanted}"
    with pytest.raises(StorageError, match=told):
        rows.move_build(job.build, wanted)


@pytest.mark.parametrize("now", STATES)
def test_from_every_state_an_operator_sets_what_the_table_allows_and_no_state_that_a_builder_must_hold(
    stage: Stage, now: BuildState
) -> None:
    build = bring(stage, now).build
    for wanted in STATES:
        before = stage.events.last_id()
        if wanted not in HELD and (wanted == now or wanted in MATRIX[now]):
            with suppress(_UndoneError), stage.acting("anna"):
                assert stage.builds.set_state(build, wanted).state is wanted
                assert [job.build for job in stage.queue.jobs()] == ([] if wanted.final else [build])
                raise _UndoneError
        else:
            told = f"is {now} and can't become {wanted}; ."
            with pytest.raises(ImpossibleMove, match=told) as refused, stage.acting("anna"):
                stage.builds.set_state(build, wanted)
            states = [event.after["state"] for event in refused.value.story if event.after]
            assert (states[0], states[-1]) == (BuildState.NEEDSBUILD, now)
        assert stage.events.last_id() == before or stage.builds.get(build).state is now


class _UndoneError(Exception):
    """Takes back what was tried."""


# --- every verb in every state --------------------------------------------------------------------

_N, _B, _C, _G = BuildState.NEEDSBUILD, BuildState.BUILDING, BuildState.CANCELLING, BuildState.GATHERING
_FULL, _CANCELLED = BuildState.FULLYBUILT, BuildState.CANCELLED
_FAILED = [state for state in STATES if state.final and state is not _FULL]
Verb = Callable[[Stage, int], object]
Becomes = dict[BuildState, BuildState | type[StorageError]]
_RETRIED: Becomes = {_N: _N, _B: StillRunning, _G: StillRunning, _C: ImpossibleMove, _FULL: ImpossibleMove}
_GIVEN_BACK: Becomes = {_N: NotRunning, _B: _N, _G: _N, _C: ImpossibleMove}
VERBS: dict[str, tuple[Verb, Becomes]] = {
    "cancel": (
        lambda stage, build: stage.builds.cancel(build),
        {_N: _CANCELLED, _B: _C, _G: _C, _C: _C, _CANCELLED: _CANCELLED}
        | {state: ImpossibleMove for state in STATES if state.final and state is not _CANCELLED},
    ),
    "retry": (
        lambda stage, build: stage.builds.retry(build),
        _RETRIED | dict.fromkeys(_FAILED, _N),
    ),
    "give_back": (
        lambda stage, build: stage.builds.give_back(build),
        _GIVEN_BACK | {state: NotRunning for state in STATES if state.final},
    ),
    "rescore": (
        lambda stage, build: stage.builds.rescore(build, 7),
        {state: NotQueued if state.final else state for state in STATES},
    ),
    "assign": (
        lambda stage, build: stage.builds.assign(build, stage.builder("eve")),
        {state: NotQueued if state.final else state for state in STATES},
    ),
}


@pytest.mark.parametrize("now", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_every_state_does_what_it_says_or_changes_nothing(
    stage: Stage, verb: str, now: BuildState
) -> None:
    build = bring(stage, now).build
    act, expected = VERBS[verb]
    wanted = expected[now]
    if isinstance(wanted, BuildState):
        with stage.acting("anna"):
            act(stage, build)
        assert stage.builds.get(build).state is wanted
        assert any(job.build == build for job in stage.queue.jobs()) is not wanted.final
        return
    before = stage.builds.get(build), stage.queue.jobs(), stage.builds.attempts(build)
    with pytest.raises(wanted) as refused, stage.acting("anna"):
        act(stage, build)
    if isinstance(refused.value, ImpossibleMove):
        assert refused.value.story == stage.events.story(f"build:{build}")
    assert (stage.builds.get(build), stage.queue.jobs(), stage.builds.attempts(build)) == before


# --- any history ----------------------------------------------------------------------------------

BUILDERS = ("bob", "eve")
BUILDS = st.integers(0, 2)


class Life(RuleBasedStateMachine):
    """What operators and slaves do to three builds, one of them untrusted, in any order."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        for name in BUILDERS:
            stage.builder(name, trusted=name == "bob")
        jobs = (stage.job("one"), stage.job("two"), stage.job("three", "cprov/ppa"))
        self.builds = [job.build for job in jobs]
        self.removed: set[int] = set()  #: builds whose job somebody deleted
        self.outcomes: dict[UUID, Outcome] = {}  #: of attempts that were closed

    def do(self, act: Callable[[], object]) -> object:
        """Try something in a transaction of its own; what is refused must have changed nothing."""
        before = [self.stage.builds.get(build) for build in self.builds]
        refusal: StorageError
        try:
            with self.stage.acting("anna"):
                return act()
        except StorageError as error:
            refusal = error
        if isinstance(refusal, ImpossibleMove):
            assert refusal.story == self.stage.events.story(f"build:{refusal.build}")
        assert [self.stage.builds.get(build) for build in self.builds] == before
        return refusal

    def job(self, number: int) -> Job | None:
        return next((job for job in self.stage.queue.jobs() if job.build == self.builds[number]), None)

    @rule(number=BUILDS, builder=st.sampled_from(BUILDERS))
    def claim(self, number: int, builder: str) -> None:
        job = self.job(number)
        if job is not None:
            self.do(lambda: self.stage.queue.claim((Pick(job.id, builder, 1),), Limits(wall_seconds=60)))

    @rule(number=BUILDS)
    def cancel(self, number: int) -> None:
        self.do(lambda: self.stage.builds.cancel(self.builds[number]))

    @rule(number=BUILDS)
    def retry(self, number: int) -> None:
        if not isinstance(self.do(lambda: self.stage.builds.retry(self.builds[number])), StorageError):
            self.removed.discard(self.builds[number])

    @rule(number=BUILDS, seconds=st.none() | st.just(3600.0))
    def give_back(self, number: int, seconds: float | None) -> None:
        self.do(lambda: self.stage.builds.give_back(self.builds[number], exclude_seconds=seconds))

    @rule(number=BUILDS, score=st.none() | st.sampled_from([5, -5, 10**9]))
    def rescore(self, number: int, score: int | None) -> None:
        self.do(lambda: self.stage.builds.rescore(self.builds[number], score))

    @rule(number=BUILDS, builder=st.none() | st.sampled_from([*BUILDERS, "nobody"]))
    def assign(self, number: int, builder: str | None) -> None:
        self.do(lambda: self.stage.builds.assign(self.builds[number], builder))

    @rule(number=BUILDS, state=st.sampled_from(STATES))
    def set_state(self, number: int, state: BuildState) -> None:
        self.do(lambda: self.stage.builds.set_state(self.builds[number], state))

    @rule(number=BUILDS)
    def delete_job(self, number: int) -> None:
        job = self.job(number)
        if job is not None and self.do(lambda: self.stage.queue.remove(job.id)) is True:
            self.removed.add(job.build)

    @rule(builder=st.sampled_from(BUILDERS), trusted=st.booleans())
    def change_trust(self, builder: str, *, trusted: bool) -> None:
        self.do(lambda: self.stage.builders.change(builder, trusted=trusted))

    @rule(attempt=st.integers(0, 5), outcome=st.sampled_from(list(Outcome)), seconds=st.none() | st.just(60.0))
    def attempt_ends(self, attempt: int, outcome: Outcome, seconds: float | None) -> None:
        means = verdict(outcome, BuildState.BUILDING)  # whoever reports may not have seen that it is being cancelled

        def end(one: UUID) -> object:
            state, keep = means.build, means.keep_job
            return self.stage.queue.record(one, outcome, "", build_state=state, keep_job=keep, cool_seconds=seconds)

        assert self.of_attempt(attempt, end) in {*Recording, None}

    @rule(attempt=st.integers(0, 5))
    def attempt_gathers(self, attempt: int) -> None:
        assert self.of_attempt(attempt, self.stage.queue.gathering) in {True, False, None}

    @rule(attempt=st.integers(0, 5))
    def attempt_is_fenced(self, attempt: int) -> None:
        assert self.of_attempt(attempt, lambda one: self.stage.queue.fence(one, "test")) in {*Recording, None}

    def of_attempt(self, number: int, act: Callable[[UUID], object]) -> object:
        """Do something to one of the attempts, the first claimed being 0; None: there are not so many."""
        attempts = [one.id for build in self.builds for one in self.stage.builds.attempts(build)]
        return self.do(lambda: act(attempts[number])) if number < len(attempts) else None

    @invariant()
    def a_job_exists_if_and_only_if_the_build_has_not_ended(self) -> None:
        self.removed = {build for build in self.removed if not self.stage.builds.get(build).state.final}
        live = {build for build in self.builds if not self.stage.builds.get(build).state.final}
        assert {job.build for job in self.stage.queue.jobs()} == live - self.removed

    @invariant()
    def a_builder_holds_a_job_if_and_only_if_an_attempt_is_open(self) -> None:
        held = {job.build: job.builder for job in self.stage.queue.jobs() if job.builder is not None}
        attempts = self.stage.queue.open_attempts()
        assert held == {attempt.build: attempt.builder for attempt in attempts}
        assert len(held) == len(attempts) == len(set(held.values()))
        assert set(held) == {build for build in self.builds if self.stage.builds.get(build).state in HELD}

    @invariant()
    def every_move_in_a_builds_story_is_in_the_table(self) -> None:
        for build in self.builds:
            events = self.stage.events.story(f"build:{build}")
            states = [
                BuildState(str(event.after["state"])) for event in events if event.after and "state" in event.after
            ]
            assert states[0] is BuildState.NEEDSBUILD
            for now, wanted in pairwise(states):
                assert wanted in MOVES[now]
                assert now is not BuildState.CANCELLING or wanted.final

    @invariant()
    def the_outcome_of_a_closed_attempt_stands(self) -> None:
        for build in self.builds:
            for attempt in self.stage.builds.attempts(build):
                if attempt.outcome is not None:
                    assert self.outcomes.setdefault(attempt.id, attempt.outcome) is attempt.outcome

    @invariant()
    def nobody_is_blamed(self) -> None:
        assert all(builder.builderok for builder in self.stage.builders.all())


@pytest.mark.hypothesis
def test_any_history_keeps_job_attempt_and_state_together_in_memory() -> None:
    class InMemory(Life):
        def __init__(self) -> None:
            super().__init__(in_memory())

    run_state_machine_as_test(InMemory)


@pytest.mark.hypothesis
def test_any_history_keeps_job_attempt_and_state_together_on_postgresql(
    fresh_farm: Callable[[], Farm], librarian: Librarian
) -> None:
    class OnPostgresql(Life):
        def __init__(self) -> None:
            super().__init__(fresh_farm())

        def teardown(self) -> None:
            assert isinstance(self.stage, Farm)
            found = check(self.stage.conn, librarian)
            assert [violation for violation in found if violation.number != 6] == []  # nobody brings files here

    few = settings(
        max_examples=settings().max_examples // 4, stateful_step_count=20, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(OnPostgresql, settings=few)

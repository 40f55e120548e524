"""Any history of the queue gives the same rows in memory and on PostgreSQL, and breaks no invariant there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.check import check
from storage.errors import StorageError
from storage.files.librarian import Librarian
from storage.records import Attempt, BuildState, Job, Limits, NotOkKind, Outcome, Pick, Pocket, PublishingStatus
from tests.fix_storage import Farm, Stage, in_memory, stored

BUILDERS = ("bob", "eve")
JOBS = 3

Step = tuple[str, int, object]

#: ends of attempts as verdicts have them: state of the build, whether the job stays, and what is charged
ENDS: dict[str, tuple[Outcome, BuildState, bool, bool]] = {
    "well": (Outcome.OK, BuildState.FULLYBUILT, False, False),
    "badly": (Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD, False, False),
    "charged": (Outcome.BUILDERFAIL, BuildState.NEEDSBUILD, True, True),
    "charged thrice": (Outcome.LOST, BuildState.INFRAFAILED, False, True),
    "uncharged": (Outcome.LOST, BuildState.NEEDSBUILD, True, False),
    "given back": (Outcome.GIVENBACK, BuildState.NEEDSBUILD, True, True),
    "chroot": (Outcome.CHROOTFAIL, BuildState.CHROOTWAIT, False, False),
}

#: of a builder
CHANGES = (
    *("trust", "untrust", "break", "breach", "heal", "hold", "free", "manual", "quarantine", "release"),
    *("fail", "fail badly", "completed", "clear", "requeue charged", "results"),
)

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
        st.just("builder"),
        st.integers(0, 1),
        st.sampled_from(CHANGES),
    ),
    st.tuples(
        st.just("end"), st.integers(0, JOBS - 1), st.tuples(st.sampled_from(BUILDERS), st.sampled_from(list(ENDS)))
    ),
    st.tuples(st.sampled_from(["evidence", "hold back"]), st.integers(0, 5), st.none()),
    st.tuples(
        st.sampled_from(["try elsewhere", "tried elsewhere", "induced"]),
        st.integers(0, JOBS - 1),
        st.sampled_from(BUILDERS),
    ),
    st.tuples(
        st.sampled_from(["withdraw", "publish", "supersede", "use chroot", "other chroot", "pause", "resume"]),
        st.integers(0, JOBS - 1),
        st.none(),
    ),
)


@dataclass
class _Waits:
    """What is in force for a while: that it is, and not until when."""

    subject: int | str
    builders: tuple[str, ...]  #: to which a build does not go
    waits: bool  #: it cools down, or is quarantined


@dataclass
class Actor:
    """Does the steps on one stage; ids are places in lists, as UUIDs differ."""

    stage: Stage
    builds: list[int]
    jobs: dict[int, int] = field(default_factory=dict)  #: their ids, and as how manieth each was seen: ids have gaps

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
            case (("record" | "fence" | "started" | "gathering" | "evidence" | "hold back"), _):
                return self._end(kind, number, detail)
            case _:
                return self._move(kind, self.builds[number], detail)

    def _move(self, kind: str, build: int, detail: object) -> object:
        queue, builds = self.stage.queue, self.stage.builds
        job = next((one.id for one in queue.jobs() if one.build == build), 0)
        match kind, detail:
            case "end", (str(builder), str(how)):
                return self._claim_and_end(build, job, builder, how)
            case "try elsewhere" | "tried elsewhere" | "induced", str(builder):
                return self._cross_check(kind, build, builder)
            case "withdraw" | "publish" | "supersede" | "use chroot" | "other chroot" | "pause" | "resume", _:
                return self._around(kind, build, job)
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

    def _claim_and_end(self, build: int, job: int, builder: str, how: str) -> object:
        """Do what a whole attempt does; between the two, time passes."""
        queue = self.stage.queue
        attempts = queue.claim((Pick(job, builder, 1),), Limits(wall_seconds=60))
        outcome, state, keep, charged = ENDS[how]
        for one in attempts:
            if outcome is Outcome.OK:
                queue.gathering(one.id)
            queue.record(
                one.id,
                outcome,
                how,
                build_state=state,
                unpublished_state=BuildState.SUPERSEDED if outcome is Outcome.OK else None,
                keep_job=keep,
                exclude_seconds=3600.0 if keep else None,
                cool_seconds=60.0 if outcome is Outcome.GIVENBACK else None,
                charged=charged,
                verdict=how,
            )
        return len(attempts), self.stage.builds.get(build).state

    def _cross_check(self, kind: str, build: int, builder: str) -> object:
        verdicts = self.stage.verdicts
        match kind:
            case "try elsewhere":
                return verdicts.try_elsewhere(builder, self.builds, 3600.0, "a try")
            case "tried elsewhere":
                return verdicts.tried_elsewhere(builder, build)
            case _:
                return verdicts.mark_builder_induced(builder, build)

    def _around(self, kind: str, build: int, job: int) -> object:
        """Change what is around a build: its publication, its chroot, the farm."""
        stage, row = self.stage, self.stage.builds.get(build)
        arch = stage.series.named("ubuntu/hoary/i386")
        match kind:
            case "withdraw" | "publish":
                there = stage.archives.get("ubuntu", row.archive).id
                status = PublishingStatus.DELETED if kind == "withdraw" else PublishingStatus.PUBLISHED
                places = stage.publications.all(there, row.source)
                return stage.publications.set_status([place.id for place in places], status)
            case "supersede":
                return len(stage.queue.supersede([job]))
            case "use chroot":
                return stage.chroots.use(arch.id, Pocket.RELEASE).held_back
            case "other chroot":
                alias = stage.library.add(stored(f"chroot {build}"), "chroot.tar.zst").id
                return stage.chroots.set(arch.id, Pocket.RELEASE, alias).held_back
            case "pause":
                return stage.farm_states.pause_for_now(f"a try with {build}")
            case _:
                return stage.farm_states.resume_from(f"a try with {build}")

    def _end(self, kind: str, number: int, detail: object) -> object:
        queue = self.stage.queue
        attempts = [one.id for build in self.builds for one in self.stage.builds.attempts(build)]
        if number >= len(attempts):
            return "no such attempt"
        attempt = attempts[number]
        match kind, detail:
            case "record", (Outcome() as outcome, BuildState() as state, bool(keep)):
                return queue.record(attempt, outcome, "", build_state=state, keep_job=keep)
            case "evidence", _:
                return self.stage.verdicts.evidence(attempt)
            case "hold back", _:
                return self.stage.verdicts.hold_back_chroot(attempt, "rotten")
            case "fence", _:
                return queue.fence(attempt, "test")
            case "started", _:
                return queue.started(attempt)
            case _:
                return queue.gathering(attempt)

    def _change(self, builder: str, change: str) -> object:
        builders, verdicts = self.stage.builders, self.stage.verdicts
        match change:
            case "trust" | "untrust":
                return builders.change(builder, trusted=change == "trust").trusted
            case "break" | "breach":
                kind = NotOkKind.CRASH if change == "break" else NotOkKind.BREACH
                return builders.mark_not_ok(builder, "test", kind)
            case "manual":
                return builders.change(builder, manual=not builders.get(builder).manual).manual
            case "quarantine":
                return builders.quarantine(builder, 600.0, "a try").quarantine_why
            case "release":
                return builders.release(builder).quarantine_why
            case "fail" | "fail badly":
                failures = builders.get(builder).failures_in_row + 1
                return verdicts.count_failure(builder, failures, None if change == "fail" else 60.0, "a try")
            case "completed":
                return verdicts.completed(builder)
            case "clear":
                return verdicts.release(builder)
            case "requeue charged":
                return verdicts.requeue_charged(builder, "a try")
            case "results":
                return [
                    (name, [(one.build, one.outcome, one.expected is None) for one in results])
                    for name, results in verdicts.results(BUILDERS, 3).items()
                ]
            case "heal":
                return builders.heal(builder)
            case _:
                return builders.set_ok(builder, ok=change == "free").builderok

    def rows(self) -> list[object]:
        """Return everything that does not hold a time or UUID."""
        stage = self.stage
        times = {"created", "started", "ended", "buildstart", "deadline", "id", "log", "cooling_until", "excluded"}
        times |= {"quarantined_until"}
        everything: tuple[Any, ...] = (
            *stage.queue.jobs(),
            *(
                _Waits(job.build, tuple(one.builder for one in job.excluded), job.cooling_until is not None)
                for job in stage.queue.jobs()
            ),
            *(_Waits(one.name, (), one.quarantined_until is not None) for one in stage.builders.all()),
            stage.farm_states.get(),
            *(stage.builds.get(build) for build in self.builds),
            *(one for build in self.builds for one in stage.builds.attempts(build)),
            *stage.builders.all(),
        )
        for row in everything:
            if isinstance(row, Job | Attempt):
                number = row.id if isinstance(row, Job) else row.job
                self.jobs.setdefault(int(number), len(self.jobs))
        return [
            (type(row).__name__, *((f.name, self._value(row, f.name)) for f in fields(row) if f.name not in times))
            for row in everything
        ]

    def _value(self, row: object, name: str) -> object:
        value = getattr(row, name)
        return self.jobs[value] if name == "job" else value


def actor(stage: Stage) -> Actor:
    stage.builder("bob", trusted=True)
    stage.builder("eve", trusted=False)
    jobs = (stage.job("one"), stage.job("two"), stage.job("three", "cprov/ppa"))
    return Actor(stage, [job.build for job in jobs])


@settings(max_examples=settings().max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[("builder", 0, "fail"), ("builder", 0, "completed")])
@example(steps=[("retry", 0, None), ("end", 1, ("bob", "badly")), ("retry", 1, None), ("claim", 1, "bob")])
@example(
    steps=[("end", 0, ("bob", "badly")), ("try elsewhere", 0, "bob"), ("evidence", 0, None), ("builder", 0, "results")]
)
@example(steps=[("end", 0, ("bob", "charged thrice")), ("builder", 0, "requeue charged"), ("claim", 0, "bob")])
@example(steps=[("claim", 0, "bob"), ("hold back", 0, None), ("end", 1, ("bob", "well")), ("use chroot", 0, None)])
@example(steps=[("claim", 0, "bob"), ("hold back", 0, None), ("hold back", 0, None)])
@example(steps=[("end", 0, ("bob", "uncharged")), ("try elsewhere", 0, "bob")])
@example(steps=[("withdraw", 0, None), ("supersede", 0, None), ("supersede", 1, None)])
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

"""The promises of the matcher, over days of virtual time: arrivals, ends, losses, operators, and time that passes.

* Trusted and untrusted are never mixed up, and no build is given away twice at a time.
* Whatever goes to a builder has, by the scores of that very moment, the highest score of all that it might have got.
* The order of two jobs never changes by time alone: only what runs changes it (fair share), or an operator.
* Nobody starves; `FarmOverDays` says within how many decisions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.dispatch.events import (
    BuilderNotReady,
    BuilderReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    Event,
    JobsRead,
    Order,
    ReadAgain,
    TimePassed,
)
from actors.core.dispatch.matcher import Dispatch
from storage.records import Builder, BuildState, Exclusion, Job
from tests.fix_queue import EPOCH, a_builder, a_job

MOST_POINTS: Final = 200  #: base scores in this farm are 0 to this
EXCLUDED: Final = timedelta(hours=1)
PER_HOUR, PER_RUNNING_JOB = 25, 15  # dispatch-rules §2

_SCORES = st.integers(0, MOST_POINTS)
_BUILDERS: Final = {
    "ann": a_builder("ann", families=("x86",), trusted=True),
    "bob": a_builder("bob", families=("x86", "amd64"), trusted=True),
    "cid": a_builder("cid", families=("x86",), trusted=False),
    "dot": a_builder("dot", families=("x86", "amd64"), trusted=False),
    "eva": a_builder("eva", families=("amd64",), trusted=False),
}
_NAMES = st.sampled_from(sorted(_BUILDERS))


class FarmOverDays(RuleBasedStateMachine):
    """How long may a job J wait?

    Let `static(K)` be the score of K less what it gained by waiting since the epoch: base - 25 points for each hour
    between the epoch and its creation.  At any moment K goes before J only if

        static(K) - 15 · running(owner of K)  >=  static(J) - 15 · running(owner of J)

    and an owner never has more than N builds running, N being the number of builders.  So K can only go before J if
    it is in

        before(J) = { K : static(K) >= static(J) - 15 · N }

    A job that comes h hours after J has 25·h points less for it: however many come, none that comes more than
    (most points - base(J) + 15·N) / 25 hours after J is in before(J), which is finite for that reason.  A job that
    is given away is gone; it passes J again only if it comes back (its builder was lost), or is rescored.

    Hence the bound: of all decisions of builders that may take J, at most
    `len(before(J)) + comings back and rescorings of jobs in before(J)` go to others, and the next one is J's.

    `passes` charges every decision that goes to another job to that job, in its present life; that it is in before(J)
    and was not charged yet in this life keeps within the bound.  At the end nothing comes any more and what runs
    ends: every job that somebody may take is given away, within the bound that its queue had then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = Dispatch()
        self.now = EPOCH
        self.jobs: dict[int, Job] = {}
        self.builders: dict[str, Builder] = dict(_BUILDERS)
        self.has: dict[str, int] = {}  #: builder → job
        self.ready: set[str] = set()
        self.life: Counter[int] = Counter()  #: job → how often it came, came back, or was rescored
        self.passes: dict[int, set[tuple[int, int]]] = defaultdict(set)  #: job → what went before it: job, life
        self.seen: tuple[list[int], dict[int, tuple[int, int]]] = ([], {})  #: order, and what may change it
        self.number = 0

    @initialize()
    def registered(self) -> None:
        self.feed(BuildersRead(tuple(self.builders.values())))

    # --- by the text of the rules -----------------------------------------------------------------

    def running(self, job: Job) -> int:
        """Return how many builds of the job's owner run, as far as that matters to it."""
        if job.trusted:
            return 0
        return sum(not one.trusted and one.owner == job.owner for one in map(self.jobs.get, self.has.values()) if one)

    def score(self, job: Job) -> Fraction:
        """Return the score of this moment, age and fair share included."""
        assert job.manual_score is not None
        age = Fraction((self.now - job.created) // timedelta(seconds=1), 3600)
        return job.manual_score + PER_HOUR * age - PER_RUNNING_JOB * self.running(job)

    def static(self, job: Job) -> Fraction:
        assert job.manual_score is not None
        return job.manual_score - PER_HOUR * Fraction((job.created - EPOCH) // timedelta(seconds=1), 3600)

    def may_go_before(self, job: Job, other: Job) -> bool:
        """Return whether `job` is in before(`other`)."""
        return self.static(job) >= self.static(other) - PER_RUNNING_JOB * len(self.builders)

    def horizon(self, job: Job) -> timedelta:
        """Return how much later than `job` one may come that goes before it."""
        assert job.manual_score is not None
        points = MOST_POINTS - job.manual_score + PER_RUNNING_JOB * len(self.builders)
        return timedelta(seconds=points * 3600 // PER_HOUR)

    def place(self, job: Job) -> tuple[Fraction, int]:
        return -self.score(job), job.id

    def may_take(self, name: str, job: Job) -> bool:
        builder = self.builders[name]
        capable = [
            one.name for one in self.builders.values() if one.trusted == job.trusted and job.family in one.families
        ]
        excluded = any(one.builder == name and one.until > self.now for one in job.excluded) and capable != [name]
        return job.builder is None and name in capable and builder.builderok and not excluded

    def wanting(self, name: str) -> list[Job]:
        """Return the jobs that a builder might get, the best first."""
        return sorted((job for job in self.jobs.values() if self.may_take(name, job)), key=self.place)

    # --- the world around the matcher -------------------------------------------------------------

    def feed(self, *events: Event) -> None:
        orders: tuple[Order, ...] = self.dispatch.handle(*events)
        while orders:
            (order,) = orders
            match order:
                case Claim(pairs):
                    for pair in pairs:
                        self.given_away(pair.job, pair.builder)
                    orders = self.dispatch.handle(ClaimSettled(pairs))
                case ReadAgain(numbers, frozenset()):
                    for number in numbers:
                        left = tuple(one for one in self.jobs[number].excluded if one.until > self.now)
                        self.jobs[number] = replace(self.jobs[number], excluded=left)
                    orders = self.dispatch.handle(JobsRead(tuple(self.jobs[one] for one in numbers), numbers))
                case _:
                    raise AssertionError(order)

    def given_away(self, number: int, name: str) -> None:
        """Check one decision, which the farm obeys."""
        assert number not in self.has.values(), "a build is given away twice"
        assert name in self.ready
        assert name not in self.has, "a builder gets two builds"
        job, builder = self.jobs[number], self.builders[name]
        assert job.trusted == builder.trusted, "trusted and untrusted are mixed up"
        best, *others = self.wanting(name)
        assert number == best.id, "this is not the job with the highest score"
        for other in others:
            assert self.may_go_before(job, other)
            assert job.created - other.created <= self.horizon(other), "it is too young to go before the other"
            assert (number, self.life[number]) not in self.passes[other.id], "it was passed by the same job before"
            self.passes[other.id].add((number, self.life[number]))
        self.ready.remove(name)
        self.has[name] = number
        self.jobs[number] = replace(job, builder=name, state=BuildState.BUILDING)

    def end(self, name: str) -> int:
        """Let the build of a builder end; return its job."""
        number = self.has.pop(name)
        self.jobs[number] = replace(self.jobs[number], builder=None, state=BuildState.NEEDSBUILD)
        return number

    # --- what happens -----------------------------------------------------------------------------

    @rule(
        family=st.sampled_from(["x86", "amd64"]),
        trusted=st.booleans(),
        owner=st.sampled_from(["may", "ned", "ole"]),
        points=_SCORES,
        number=st.integers(1, 6),
    )
    def jobs_come(self, family: str, owner: str, points: int, number: int, *, trusted: bool) -> None:
        """One uploads, or one uploads a lot."""
        come = [
            a_job(self.number + n, family=family, trusted=trusted, owner=owner, manual_score=points)
            for n in range(1, number + 1)
        ]
        self.number += number
        for job in come:
            self.jobs[job.id] = replace(job, created=self.now)
            self.life[job.id] += 1
        self.feed(JobsRead(tuple(self.jobs[job.id] for job in come), frozenset(job.id for job in come)))

    @rule(name=_NAMES)
    def a_builder_is_ready(self, name: str) -> None:
        """It ends what it has, too."""
        if name in self.has:
            number = self.end(name)
            del self.jobs[number]
            self.feed(JobsRead((), frozenset({number})))
        self.ready.add(name)
        self.feed(BuilderReady(name))

    @rule(name=_NAMES)
    def a_builder_is_lost(self, name: str) -> None:
        """Its job comes back, keeps its place, and does not go there again for an hour."""
        self.ready.discard(name)
        self.feed(BuilderNotReady(name))
        if name in self.has:
            number = self.end(name)
            job = self.jobs[number]
            self.jobs[number] = replace(job, excluded=(*job.excluded, Exclusion(name, self.now + EXCLUDED)))
            self.life[number] += 1
            self.feed(JobsRead((self.jobs[number],), frozenset({number})))

    @rule(name=_NAMES)
    def a_builder_changes_sides(self, name: str) -> None:
        """What it builds on the wrong side goes back to where it stood; the slave is cleaned first."""
        builder = self.builders[name] = replace(self.builders[name], trusted=not self.builders[name].trusted)
        news: list[Event] = [BuildersRead((builder,), frozenset({name}))]
        if name in self.has and not builder.trusted:
            number = self.end(name)
            self.life[number] += 1
            news.append(JobsRead((self.jobs[number],), frozenset({number})))
        self.feed(*news)

    @rule(name=_NAMES)
    def somebody_sets_a_builder_ok_or_not_ok(self, name: str) -> None:
        builder = self.builders[name] = replace(self.builders[name], builderok=not self.builders[name].builderok)
        self.feed(BuildersRead((builder,), frozenset({name})))

    @rule(number=st.integers(1, 50), points=_SCORES)
    def an_operator_rescores(self, number: int, points: int) -> None:
        if number not in self.jobs:
            return
        job = self.jobs[number] = replace(self.jobs[number], manual_score=points)
        self.life[number] += 1
        self.passes[number].clear()  # it begins anew, for better or worse
        self.feed(JobsRead((job,), frozenset({number})))

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.feed(TimePassed(self.now))

    @rule()
    def everything_is_read_again(self) -> None:
        self.feed(JobsRead(tuple(self.jobs.values())), BuildersRead(tuple(self.builders.values())))

    # --- what holds always ------------------------------------------------------------------------

    @invariant()
    def nobody_waits_beside_a_builder_that_waits_for_him(self) -> None:
        assert not any(self.wanting(name) for name in self.ready)

    @invariant()
    def jobs_stand_in_the_order_of_their_scores(self) -> None:
        for queue in self.dispatch.candidates().values():
            assert list(queue) == sorted(queue, key=self.place)

    @invariant()
    def two_jobs_change_places_only_by_what_runs_or_by_an_operator(self) -> None:
        """Not by time, and not by what comes and goes around them."""
        waiting = {job.id: job for queue in self.dispatch.candidates().values() for job in queue}
        order = sorted(waiting, key=lambda number: self.place(waiting[number]))
        causes = {number: (self.life[number], self.running(job)) for number, job in waiting.items()}
        before, their_causes = self.seen
        same = {number for number in before if causes.get(number) == their_causes[number]}
        assert [one for one in before if one in same] == [one for one in order if one in same]
        self.seen = (order, causes)

    def teardown(self) -> None:
        """Nothing comes any more: everything that somebody may take is given away."""
        for builder in self.builders.values():
            if not builder.builderok:
                self.somebody_sets_a_builder_ok_or_not_ok(builder.name)
        self.time_passes(2 * 60)  # nothing is excluded any more
        bounds = {
            job.id: len(self.passes[job.id]) + sum(self.may_go_before(one, job) for one in self.jobs.values())
            for job in self.jobs.values()
        }
        for _ in range(len(self.jobs) + 1):
            for name in sorted(self.builders):
                self.a_builder_is_ready(name)
        for job in self.jobs.values():
            assert not any(self.may_take(name, job) for name in self.builders), f"job {job.id} starves"
        for number, bound in bounds.items():
            assert len(self.passes[number]) < bound, f"more went before job {number} than may"


TestFarmOverDays = pytest.mark.slow(FarmOverDays.TestCase)

"""The matcher (architecture §5, dispatch-rules §1-2), alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.core.dispatch.candidates import candidates, waits
from actors.core.dispatch.events import (
    BuilderNotReady,
    BuilderReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    Event,
    FarmRead,
    JobsRead,
    Order,
    Pair,
    ReadAgain,
    SetAside,
    SkipSeries,
    Supersede,
    TimePassed,
    TriedAgain,
)
from actors.core.dispatch.job_rules import held
from actors.core.dispatch.matcher import Dispatch
from actors.core.dispatch.pair_rules import BuilderView, capable, reason
from actors.core.dispatch.score import rank
from storage.records import Builder, BuildState, Exclusion, FamilyScore, FarmState, Job, RuntimeState, SeriesStatus
from tests.fix_queue import EPOCH, a_builder, a_job


def a_farm(*builders: Builder, jobs: tuple[Job, ...] = (), ready: tuple[str, ...] = ()) -> Dispatch:
    dispatch = Dispatch()
    dispatch.handle(BuildersRead(builders))
    dispatch.handle(JobsRead(jobs))
    for name in ready:
        assert dispatch.handle(BuilderReady(name)) == ()
    return dispatch


def claims(orders: tuple[Order, ...]) -> list[Pair]:
    return [pair for order in orders if isinstance(order, Claim) for pair in order.pairs]


def test_a_new_job_goes_to_the_first_available_builder_by_name() -> None:
    farm = a_farm(a_builder("frog", builderok=False), a_builder("zoe"), a_builder("bob"), ready=("zoe", "frog", "bob"))
    assert farm.handle(JobsRead((a_job(7),), frozenset({7}))) == (Claim((Pair(7, "bob"),)),)


def test_a_builder_that_becomes_ready_gets_the_best_job_it_may_run() -> None:
    jobs = (a_job(1), a_job(2, manual_score=9_000), a_job(3, manual_score=10_000, trusted=False))
    farm = a_farm(a_builder("bob"), jobs=jobs)
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]


@pytest.mark.parametrize(("x86", "amd64", "best"), [(1, 9, 2), (9, 1, 1)])
def test_the_better_job_of_two_families_gets_the_builder_that_serves_both(x86: int, amd64: int, best: int) -> None:
    jobs = (a_job(1, manual_score=x86), a_job(2, family="amd64", manual_score=amd64))
    farm = a_farm(a_builder("bob", families=("x86", "amd64")), jobs=jobs)
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(best, "bob")]


def test_a_job_that_was_given_away_is_not_offered_to_the_next_builder() -> None:
    farm = a_farm(a_builder("bob"), a_builder("zoe"), jobs=(a_job(1),))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(1, "bob")]
    assert farm.handle(ClaimSettled((Pair(1, "bob"),))) == ()
    assert farm.handle(BuilderReady("zoe")) == ()


def test_a_builder_that_says_it_is_ready_while_it_is_claimed_gets_no_second_job() -> None:
    farm = a_farm(a_builder("bob"), jobs=(a_job(1), a_job(2)))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(1, "bob")]
    assert farm.handle(BuilderReady("bob")) == ()


def test_many_jobs_and_builders_are_claimed_in_one_order_best_first() -> None:
    farm = a_farm(a_builder("a"), a_builder("b"), a_builder("c"), ready=("c", "a", "b"))
    jobs = (a_job(1), a_job(2, hours=-1), a_job(3, hours=1), a_job(4, hours=2))
    assert farm.handle(JobsRead(jobs)) == (Claim((Pair(2, "a"), Pair(1, "b"), Pair(3, "c"))),)


def test_an_untrusted_job_waits_until_the_builder_is_untrusted_and_goes_to_it_at_once() -> None:
    farm = a_farm(a_builder("bob"), jobs=(a_job(3, trusted=False),), ready=("bob",))
    changed = BuildersRead((a_builder("bob", trusted=False),), frozenset({"bob"}))
    assert claims(farm.handle(changed)) == [Pair(3, "bob")]


@pytest.mark.parametrize(
    "change",
    [
        {"has_chroot": False},
        {"archive_enabled": False},
        {"files_missing": ("foo.dsc",)},
        {"series_status": SeriesStatus.OBSOLETE},
        {"cooling_until": EPOCH},
        {"published": False},
    ],
)
def test_a_job_that_is_held_back_goes_out_as_soon_as_it_is_not(change: dict[str, Any]) -> None:
    job = a_job(1)
    farm = a_farm(a_builder("bob"), ready=("bob",))
    assert claims(farm.handle(JobsRead((replace(job, **change),)))) == []
    assert claims(farm.handle(JobsRead((job,), frozenset({1})))) == [Pair(1, "bob")]


def test_a_series_without_a_chroot_is_named_once_until_it_had_one() -> None:
    farm = a_farm()
    bare, other = a_job(1, has_chroot=False), a_job(2, has_chroot=False)
    said = [SkipSeries("ubuntu/hoary/i386")]
    assert list(farm.handle(JobsRead((bare, other)))) == said
    assert farm.handle(JobsRead((bare, other))) == ()
    assert farm.handle(JobsRead((a_job(1), a_job(2)))) == ()
    assert list(farm.handle(JobsRead((bare,), frozenset({1})))) == said


def test_nothing_is_given_away_while_dispatch_is_paused() -> None:
    farm = a_farm(a_builder("bob"), ready=("bob",))
    farm.handle(FarmRead(FarmState(paused="the mirror is being moved")))
    assert farm.handle(JobsRead((a_job(1),))) == ()
    assert claims(farm.handle(FarmRead(FarmState()))) == [Pair(1, "bob")]


@pytest.mark.parametrize("fence", [FarmState(minimum_score=3000), FarmState(family_scores=(FamilyScore("x86", 3000),))])
def test_a_fence_lets_jobs_below_it_wait_until_it_is_lowered_or_they_are_rescored(fence: FarmState) -> None:
    farm = a_farm(a_builder("bob"), a_builder("zoe"), jobs=(a_job(1), a_job(2)))
    farm.handle(FarmRead(fence))
    assert farm.handle(BuilderReady("bob")) == ()
    rescored = farm.handle(JobsRead((a_job(1, manual_score=3000),), frozenset({1})))
    assert claims(rescored) == [Pair(1, "bob")]
    assert farm.handle(BuilderReady("zoe")) == ()
    assert claims(farm.handle(FarmRead(FarmState(minimum_score=2000)))) == [Pair(2, "zoe")]


def test_a_fence_of_one_family_leaves_the_others_alone() -> None:
    farm = a_farm(a_builder("bob", families=("amd64", "x86")), jobs=(a_job(1), a_job(2, family="amd64")))
    farm.handle(FarmRead(FarmState(family_scores=(FamilyScore("x86", 3000),))))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]


def test_a_fence_tests_the_score_without_age() -> None:
    farm = a_farm(a_builder("bob"), jobs=(a_job(1, hours=-1000),))
    farm.handle(FarmRead(FarmState(minimum_score=3000)))
    assert farm.handle(BuilderReady("bob")) == ()


def test_a_job_that_asks_for_tags_goes_to_a_builder_that_has_them_all() -> None:
    builders = (a_builder("ann", tags=("big",)), a_builder("bob", tags=("big", "gpu")))
    farm = a_farm(*builders, ready=("ann", "bob"))
    assert claims(farm.handle(JobsRead((a_job(1, tags=("big", "gpu")),)))) == [Pair(1, "bob")]


def test_a_builder_with_restricted_tags_takes_only_jobs_that_ask_for_all_of_them() -> None:
    gpu = a_builder("ann", tags=("big",), restricted_tags=("gpu", "slow"))
    jobs = (a_job(1), a_job(2, tags=("big",)), a_job(3, tags=("gpu",)), a_job(4, tags=("gpu", "slow")))
    farm = a_farm(gpu, ready=("ann",))
    assert claims(farm.handle(JobsRead(jobs))) == [Pair(4, "ann")]


def test_a_job_is_not_given_to_a_builder_it_is_excluded_from_until_that_is_over() -> None:
    end = EPOCH + timedelta(hours=1)
    job = a_job(1, excluded=(Exclusion("bob", end),))
    farm = a_farm(a_builder("bob"), a_builder("zoe"), jobs=(job,))
    assert farm.handle(BuilderReady("bob")) == ()
    assert farm.handle(TimePassed(end - timedelta(seconds=1))) == ()
    assert farm.handle(TimePassed(end)) == (ReadAgain(frozenset({1})),)
    assert claims(farm.handle(JobsRead((a_job(1),), frozenset({1})))) == [Pair(1, "bob")]


def test_a_job_is_given_to_the_only_capable_builder_though_it_failed_there() -> None:
    job = a_job(1, excluded=(Exclusion("bob", EPOCH),))
    farm = a_farm(a_builder("bob"), a_builder("zoe", trusted=False), jobs=(job,))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(1, "bob")]


def test_a_job_behind_an_excluded_one_is_given_away() -> None:
    excluded = a_job(1, excluded=(Exclusion("bob", EPOCH),))
    farm = a_farm(a_builder("bob"), a_builder("zoe"), jobs=(excluded, a_job(2)))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]
    assert claims(farm.handle(BuilderReady("zoe"))) == [Pair(1, "zoe")]


def test_a_builder_in_manual_mode_gets_only_what_is_assigned_to_it() -> None:
    farm = a_farm(a_builder("bob", manual=True), jobs=(a_job(1), a_job(2)), ready=())
    assert farm.handle(BuilderReady("bob")) == ()
    assert claims(farm.handle(JobsRead((a_job(2, assigned="bob"),), frozenset({2})))) == [Pair(2, "bob")]


def test_a_job_that_is_assigned_waits_for_its_builder_whoever_is_idle() -> None:
    farm = a_farm(a_builder("ann"), a_builder("bob"), ready=("ann",))
    assert farm.handle(JobsRead((a_job(1, assigned="bob"),))) == ()
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(1, "bob")]


def test_a_quarantined_builder_gets_nothing_until_its_time_is_over() -> None:
    end = EPOCH + timedelta(minutes=4)
    farm = a_farm(a_builder("bob", quarantined_until=end, quarantine_why="failed"), jobs=(a_job(1),))
    assert farm.handle(BuilderReady("bob")) == ()
    assert farm.handle(TimePassed(end)) == (ReadAgain(builders=frozenset({"bob"})),)
    assert claims(farm.handle(BuildersRead((a_builder("bob"),), frozenset({"bob"})))) == [Pair(1, "bob")]


def test_a_frozen_builder_gets_nothing() -> None:
    farm = a_farm(a_builder("bob", frozen_until=EPOCH), jobs=(a_job(1),))
    assert farm.handle(BuilderReady("bob")) == ()
    assert claims(farm.handle(BuildersRead((a_builder("bob"),), frozenset({"bob"})))) == [Pair(1, "bob")]


def test_a_waiting_job_whose_source_is_no_longer_published_is_superseded_and_never_given_away() -> None:
    farm = a_farm(a_builder("bob"), ready=("bob",))
    assert farm.handle(JobsRead((a_job(1, published=False),))) == (Supersede(frozenset({1})),)
    assert farm.handle(JobsRead((), frozenset({1}))) == ()


def test_a_running_job_whose_source_is_no_longer_published_goes_on() -> None:
    farm = a_farm(a_builder("bob"))
    running = a_job(1, published=False, builder="bob", state=BuildState.BUILDING)
    assert farm.handle(JobsRead((running,))) == ()


def test_a_lost_claim_leaves_the_builder_to_the_next_job_if_the_job_was_to_blame() -> None:
    farm = a_farm(a_builder("bob"), jobs=(a_job(1), a_job(2)))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(1, "bob")]
    cancelled = replace(a_job(1), state=BuildState.CANCELLED)
    settled = ClaimSettled((), (Pair(1, "bob"),), (cancelled,), (a_builder("bob"),))
    assert claims(farm.handle(settled)) == [Pair(2, "bob")]


def test_a_lost_claim_leaves_the_job_to_the_next_builder_if_the_builder_was_to_blame() -> None:
    farm = a_farm(a_builder("bob"), a_builder("zoe"), ready=("bob", "zoe"))
    assert claims(farm.handle(JobsRead((a_job(1),)))) == [Pair(1, "bob")]
    settled = ClaimSettled((), (Pair(1, "bob"),), (a_job(1),), (a_builder("bob", manual=True),))
    assert claims(farm.handle(settled)) == [Pair(1, "zoe")]


def test_a_claim_lost_for_no_reason_to_be_seen_sets_the_builder_aside_for_a_moment() -> None:
    farm = a_farm(a_builder("bob"), jobs=(a_job(1),))
    farm.handle(BuilderReady("bob"))
    settled = ClaimSettled((), (Pair(1, "bob"),), (a_job(1),), (a_builder("bob"),))
    assert farm.handle(settled) == (SetAside(Pair(1, "bob")),)
    assert farm.handle(JobsRead((a_job(1),))) == ()
    assert farm.set_aside == frozenset({"bob"})
    assert claims(farm.handle(TriedAgain())) == [Pair(1, "bob")]


def test_a_builder_that_is_no_longer_registered_gets_nothing() -> None:
    farm = a_farm(a_builder("bob"), ready=("bob",))
    farm.handle(BuildersRead((), frozenset({"bob"})))
    assert farm.handle(JobsRead((a_job(1),))) == ()
    assert farm.ready == frozenset()


def test_candidates_are_the_waiting_jobs_by_family_in_order() -> None:
    jobs = (a_job(1, hours=1), a_job(2), a_job(3, builder="bob", state=BuildState.BUILDING), a_job(4, family="arm64"))
    assert {family: [job.id for job in queue] for family, queue in candidates(jobs).items()} == {
        "arm64": [4],
        "x86": [2, 1],
    }


def weighed(job: Job, running: int) -> tuple[int, int]:
    key, number = rank(job)
    return key + 15 * 3_600_000_000 * running, number


def test_an_owners_mass_upload_takes_an_idle_farm_and_yields_as_soon_as_others_come() -> None:
    names = [f"builder{number}" for number in range(4)]
    farm = a_farm(*(a_builder(name, trusted=False) for name in names), ready=tuple(names[:3]))
    pairs = claims(farm.handle(JobsRead(tuple(a_job(number, trusted=False, owner="mass") for number in range(1, 9)))))
    assert [pair.job for pair in pairs] == [1, 2, 3]
    farm.handle(ClaimSettled(tuple(pairs)))
    late = a_job(20, trusted=False, owner="ann", hours=1.5)  # 37 points less for its age, 45 more than the others
    farm.handle(JobsRead((late,), frozenset({20})))
    assert claims(farm.handle(BuilderReady(names[3]))) == [Pair(20, names[3])]


def test_an_owner_whose_jobs_have_ended_is_handicapped_no_more() -> None:
    running = a_job(1, trusted=False, owner="mass", builder="frog", state=BuildState.BUILDING)
    waiting = (a_job(2, trusted=False, owner="mass"), a_job(3, trusted=False, owner="ann", hours=0.5))
    farm = a_farm(a_builder("bob", trusted=False), jobs=(running, *waiting))
    assert [job.id for job in farm.candidates()["x86"]] == [3, 2]
    farm.handle(JobsRead((), frozenset({1})))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]


def test_what_runs_counts_for_who_owns_its_archive_now() -> None:
    running = a_job(1, trusted=False, owner="ann", builder="frog", state=BuildState.BUILDING)
    waiting = (a_job(2, trusted=False, owner="ann"), a_job(3, trusted=False, owner="ben", hours=0.5))
    farm = a_farm(a_builder("bob", trusted=False), jobs=(running, *waiting))
    farm.handle(JobsRead((replace(running, owner="ben"),), frozenset({1})))  # the archive has changed hands
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]


def test_trusted_archives_are_exempt_from_fair_share() -> None:
    running = a_job(1, owner="team", builder="frog", state=BuildState.BUILDING)
    farm = a_farm(a_builder("bob"), jobs=(running, a_job(2, owner="team"), a_job(3, owner="other", hours=0.1)))
    assert claims(farm.handle(BuilderReady("bob"))) == [Pair(2, "bob")]


def test_candidates_stand_in_the_order_of_the_next_decision() -> None:
    jobs = (
        a_job(1, trusted=False, owner="mass", builder="bob", state=BuildState.BUILDING),
        a_job(2, trusted=False, owner="mass"),
        a_job(3, trusted=False, owner="ann", hours=0.5),
    )
    assert [job.id for job in candidates(jobs)["x86"]] == [3, 2]


_ANY_JOB = st.builds(
    a_job,
    st.integers(1, 9),
    hours=st.integers(-3, 3),
    family=st.sampled_from(["x86", "amd64"]),
    trusted=st.sampled_from([True, True, False]),
    owner=st.sampled_from(["ann", "cprov"]),
    has_chroot=st.sampled_from([True, True, True, False]),
    manual_score=st.none() | st.integers(0, 60),
    tags=st.sampled_from([(), (), (), ("big",), ("big", "gpu")]),
    assigned=st.sampled_from([None, None, None, "a", "d"]),
    excluded=st.sampled_from([(), (), (Exclusion("a", EPOCH),), (Exclusion("b", EPOCH), Exclusion("c", EPOCH))]),
    cooling_until=st.sampled_from([None, None, None, EPOCH]),
    series_status=st.sampled_from([*SeriesStatus]),
)
_ANY_BUILDER = st.builds(
    a_builder,
    st.sampled_from("abcd"),
    families=st.sampled_from([("x86", "amd64"), ("x86",), ("amd64",), ()]),
    trusted=st.sampled_from([True, True, True, False]),
    builderok=st.sampled_from([True, True, True, False]),
    manual=st.sampled_from([False, False, False, True]),
    tags=st.sampled_from([(), (), ("big",), ("big", "gpu")]),
    restricted_tags=st.sampled_from([(), (), (), ("gpu",)]),
    quarantined_until=st.sampled_from([None, None, None, EPOCH]),
    frozen_until=st.sampled_from([None, None, None, EPOCH]),
)
_ANY_FENCE = st.builds(
    FarmState,
    paused=st.sampled_from(["", "", "", "the mirror is being moved"]),
    minimum_score=st.none() | st.integers(0, 60),
    family_scores=st.sampled_from([(), (FamilyScore("x86", 30),)]),
)


class AnyFarm(RuleBasedStateMachine):
    """Whatever happens: never a pair the rules reject, no job twice, no builder twice, the best first, nobody idle."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = Dispatch()
        self.farm = FarmState()
        self.jobs: dict[int, Job] = {}
        self.builders: dict[str, Builder] = {}
        self.ready: set[str] = set()
        self.has: dict[str, int] = {}  #: builder → job, by claims that won
        self.unheard: set[int] = set()  #: gone, but dispatch has not heard of it

    def feed(self, event: Event) -> None:
        pairs = claims(self.dispatch.handle(event))
        while pairs:
            assert len({pair.job for pair in pairs}) == len({pair.builder for pair in pairs}) == len(pairs)
            lost = tuple(pair for pair in pairs if pair.job in self.unheard)
            won = tuple(pair for pair in pairs if pair.job not in self.unheard)
            for pair in won:
                self.check(pair)
            if not lost and not self.unheard and not self.dispatch.set_aside:
                assert list(pairs) == self.naive(len(pairs))
            self.unheard -= {pair.job for pair in lost}
            for pair in won:
                self.jobs[pair.job] = replace(self.jobs[pair.job], builder=pair.builder, state=BuildState.BUILDING)
                self.ready.remove(pair.builder)
                self.has[pair.builder] = pair.job
            pairs = claims(
                self.dispatch.handle(ClaimSettled(won, lost, (), tuple(self.builders[pair.builder] for pair in lost)))
            )

    def check(self, pair: Pair) -> None:
        """Check the pair against the farm as it was before this claim."""
        job = self.jobs[pair.job]
        assert waits(job)
        assert held(job, self.farm) is None
        assert pair.builder in self.ready
        assert pair.builder not in self.has
        assert self.may_run(job, pair.builder)

    def naive(self, number: int) -> list[Pair]:
        """Give away `number` jobs, looking at every job and every builder for each of them."""
        jobs, ready, pairs = dict(self.jobs), sorted(self.ready & self.builders.keys()), []
        for _ in range(number):
            running = Counter(job.owner for job in jobs.values() if job.builder is not None and not job.trusted)
            fitting = [
                (weighed(job, 0 if job.trusted else running[job.owner]), name)
                for job in jobs.values()
                for name in ready
                if waits(job) and held(job, self.farm) is None and self.may_run(job, name)
            ]
            (_, best), name = min(fitting)
            ready.remove(name)
            jobs[best] = replace(jobs[best], builder=name)
            pairs.append(Pair(best, name))
        return pairs

    def may_run(self, job: Job, name: str) -> bool:
        alone = [capable(job, builder) for builder in self.builders.values()].count(True) == 1
        return reason(job, BuilderView(self.builders[name], RuntimeState.IDLE, connected=True), alone=alone) is None

    @rule(job=_ANY_JOB)
    def job_changed(self, job: Job) -> None:
        if job.id in self.has.values():
            return
        self.jobs[job.id] = job
        self.unheard.discard(job.id)
        self.feed(JobsRead((job,), frozenset({job.id})))

    @rule(number=st.integers(1, 9))
    def job_gone_unheard(self, number: int) -> None:
        if number in self.jobs and number not in self.has.values():
            del self.jobs[number]
            self.unheard.add(number)

    @rule(number=st.integers(1, 9))
    def job_gone(self, number: int) -> None:
        self.jobs.pop(number, None)
        self.unheard.discard(number)
        self.has = {name: job for name, job in self.has.items() if job != number}
        self.feed(JobsRead((), frozenset({number})))

    @rule(builder=_ANY_BUILDER)
    def builder_changed(self, builder: Builder) -> None:
        self.builders[builder.name] = builder
        self.feed(BuildersRead((builder,), frozenset({builder.name})))

    @rule(farm=_ANY_FENCE)
    def farm_changed(self, farm: FarmState) -> None:
        self.farm = farm
        self.feed(FarmRead(farm))

    @rule(name=st.sampled_from("abcd"))
    def builder_gone(self, name: str) -> None:
        self.builders.pop(name, None)
        self.ready.discard(name)
        self.feed(BuildersRead((), frozenset({name})))

    @rule(name=st.sampled_from("abcd"))
    def builder_ready(self, name: str) -> None:
        if name not in self.builders:
            return
        job = self.has.pop(name, None)
        if job is not None:
            self.jobs.pop(job, None)
            self.feed(JobsRead((), frozenset({job})))
        self.ready.add(name)
        self.feed(BuilderReady(name))

    @rule(name=st.sampled_from("abcd"))
    def builder_not_ready(self, name: str) -> None:
        self.ready.discard(name)
        self.feed(BuilderNotReady(name))

    @rule()
    def everything_read_again(self) -> None:
        self.unheard.clear()
        self.feed(BuildersRead(tuple(self.builders.values())))
        self.feed(JobsRead(tuple(self.jobs.values())))

    @invariant()
    def nothing_that_could_be_given_away_waits(self) -> None:
        for job in self.jobs.values():
            if waits(job) and held(job, self.farm) is None and not self.farm.paused:
                assert not any(self.may_run(job, name) for name in self.ready if name in self.builders)


TestAnyFarm = AnyFarm.TestCase

"""The best head of many owners' queues, whatever waits, runs and is passed over."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.core.dispatch.lanes import NOBODY, Lane
from actors.core.dispatch.score import handicap

OWNERS = st.sampled_from(["ann", "bob", NOBODY])


class AnyLane(RuleBasedStateMachine):
    """What is best is what a look at every job would find."""

    def __init__(self) -> None:
        super().__init__()
        self.running: Counter[str] = Counter()
        self.lane = Lane(self.running)
        self.jobs: dict[int, tuple[str, int]] = {}  # id → owner, key
        self.passed: set[int] = set()

    def naive(self) -> tuple[int, int] | None:
        return min(
            (
                (key + (handicap(self.running[owner]) if owner else 0), job)
                for job, (owner, key) in self.jobs.items()
                if job not in self.passed
            ),
            default=None,
        )

    def rewind(self) -> None:
        self.lane.rewind()
        self.passed.clear()

    @rule(owner=OWNERS, job=st.integers(1, 30), key=st.integers(-3, 3))
    def job_comes(self, owner: str, job: int, key: int) -> None:
        self.rewind()
        if job not in self.jobs:
            self.jobs[job] = (owner, key * handicap(1))
            self.lane.add(owner, (key * handicap(1), job))

    @rule(job=st.integers(1, 30), owner=OWNERS)
    def job_goes(self, job: int, owner: str) -> None:
        self.rewind()
        owner, key = self.jobs.pop(job, (owner, 0))
        self.lane.remove(owner, (key, job))

    @rule(owner=OWNERS, running=st.integers(0, 4))
    def owners_jobs_run(self, owner: str, running: int) -> None:
        self.running[owner] = running
        self.lane.weigh(owner)

    @rule()
    def best_is_taken(self) -> None:
        best = self.lane.best()
        if best is not None:
            self.lane.take()
            del self.jobs[best[1]]

    @rule()
    def best_is_passed_over(self) -> None:
        best = self.lane.best()
        if best is not None:
            self.lane.pass_over()
            self.passed.add(best[1])

    @rule()
    def a_match_ends(self) -> None:
        self.rewind()

    @invariant()
    def the_best_is_best(self) -> None:
        assert self.lane.best() == self.naive()


TestAnyLane = AnyLane.TestCase


def test_what_is_outdated_does_not_pile_up() -> None:
    running: Counter[str] = Counter()
    lane = Lane(running)
    for number, owner in enumerate(("ann", "bob"), 1):
        lane.add(owner, (number, number))
    for times in range(10_000):
        running["bob"] = times % 7
        lane.weigh("bob")
    assert len(lane._heads) < 1000
    assert lane.best() == (1, 1)

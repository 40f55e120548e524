"""Who is started again, when, and who is blamed."""

from __future__ import annotations

from collections import defaultdict, deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.core.supervision.events import (
    AnnounceQueue,
    Begun,
    BuildersSeen,
    ChangeBuilder,
    Ended,
    Event,
    GoneRecorded,
    Order,
    QueueUp,
    ReportGone,
    RetireBuilder,
    StartBuilder,
    StartNursery,
    StartQueue,
    TimePassed,
    WakeUp,
)
from actors.core.supervision.lives import MOST_UNRECORDED, QUEUE, Standing, Supervision
from storage.records import Builder


def builder(name: str, *, trusted: bool = True) -> Builder:
    return Builder(
        id=1,
        name=name,
        url="buildd://127.0.0.1:9",
        families=("x86",),
        trusted=trusted,
        builderok=True,
        failnotes="",
        notok_by=None,
        notok_kind=None,
        manual=False,
        tags=(),
        architectures=("i386",),
    )


BOB, FROG, TOAD = builder("bob"), builder("frog"), builder("toad")


@pytest.fixture
def farm() -> Supervision:
    """A farm with bob and frog in one nursery."""
    core = Supervision(builders_per_nursery=2)
    assert core.handle(Begun(0.0)) == (StartQueue(1),)
    core.handle(BuildersSeen((BOB, FROG), 0.1))
    core.handle(QueueUp(1, 0.2))
    return core


def test_builders_are_started_in_nurseries_of_limited_size() -> None:
    core = Supervision(builders_per_nursery=2)
    core.handle(Begun(0.0))
    assert core.handle(BuildersSeen((BOB, FROG, TOAD), 0.1)) == (
        StartNursery("nursery-1", 1),
        StartBuilder("nursery-1", BOB, 1),
        StartBuilder("nursery-1", FROG, 1),
        StartNursery("nursery-2", 1),
        StartBuilder("nursery-2", TOAD, 1),
    )


def test_a_crash_is_reported_and_the_builder_started_again_at_once(farm: Supervision) -> None:
    assert farm.handle(Ended("bob", 1, "ValueError: 3", 5.0)) == (
        ReportGone("bob", 1, "actor of the builder crashed: ValueError: 3"),
        StartBuilder("nursery-1", BOB, 2),
    )


def test_an_end_told_twice_counts_once(farm: Supervision) -> None:
    farm.handle(Ended("bob", 1, "x", 5.0))
    assert farm.handle(Ended("bob", 1, "x", 5.1)) == ()


def test_after_more_than_three_crashes_in_a_minute_a_builder_waits_until_the_window_has_passed(
    farm: Supervision,
) -> None:
    for generation in (1, 2, 3):
        orders = farm.handle(Ended("bob", generation, "x", 5.0 + generation))
        assert StartBuilder("nursery-1", BOB, generation + 1) in orders
    report, wake = farm.handle(Ended("bob", 4, "x", 9.0))
    assert isinstance(report, ReportGone)
    assert "4 crashes in 60 s" in report.failnotes
    assert wake == WakeUp(60.0)
    assert farm.handle(TimePassed(40.0)) == (WakeUp(29.0),)
    assert farm.handle(TimePassed(69.0)) == (StartBuilder("nursery-1", BOB, 5),)


def test_three_crashes_a_minute_apart_are_forgiven(farm: Supervision) -> None:
    for generation in range(1, 8):
        orders = farm.handle(Ended("bob", generation, "x", 20.0 * generation))
        assert StartBuilder("nursery-1", BOB, generation + 1) in orders


def test_while_one_builder_is_held_the_others_go_on(farm: Supervision) -> None:
    for generation in (1, 2, 3, 4):
        farm.handle(Ended("bob", generation, "x", 5.0))
    assert farm.handle(Ended("frog", 1, "y", 6.0))[-1] == StartBuilder("nursery-1", FROG, 2)


def test_a_nursery_that_dies_is_started_again_with_its_builders_and_nobody_is_blamed(farm: Supervision) -> None:
    assert farm.handle(Ended("nursery-1", 1, "killed", 5.0)) == (
        StartNursery("nursery-1", 2),
        StartBuilder("nursery-1", BOB, 2),
        StartBuilder("nursery-1", FROG, 2),
    )
    assert farm.handle(Ended("bob", 1, "late news of the old nursery", 5.1)) == ()


def test_a_nursery_that_keeps_dying_is_held_with_its_builders(farm: Supervision) -> None:
    for generation in (1, 2, 3):
        farm.handle(Ended("nursery-1", generation, "x", 5.0))
    assert farm.handle(Ended("nursery-1", 4, "x", 5.0)) == (WakeUp(60.0),)
    assert farm.handle(TimePassed(65.0)) == (
        StartNursery("nursery-1", 5),
        StartBuilder("nursery-1", BOB, 5),
        StartBuilder("nursery-1", FROG, 5),
    )


def test_a_crash_while_the_queue_actor_is_away_is_reported_when_it_is_back(farm: Supervision) -> None:
    assert farm.handle(Ended(QUEUE, 1, "x", 5.0)) == (StartQueue(2),)
    assert farm.handle(Ended("bob", 1, "y", 5.1)) == (StartBuilder("nursery-1", BOB, 2),)
    assert farm.handle(QueueUp(1, 5.2)) == ()
    assert farm.handle(QueueUp(2, 5.3)) == (
        ReportGone("bob", 1, "actor of the builder crashed: y"),
        AnnounceQueue(),
    )


def test_what_a_queue_actor_was_told_and_did_not_acknowledge_its_next_life_is_told_again(farm: Supervision) -> None:
    report, _ = farm.handle(Ended("bob", 1, "x", 5.0))
    second, _ = farm.handle(Ended("frog", 1, "y", 5.0))
    farm.handle(GoneRecorded("frog", 1, 5.1))
    farm.handle(Ended(QUEUE, 1, "hung", 20.0))  # perhaps it hung already when it was told of bob
    assert farm.handle(QueueUp(2, 20.1)) == (report, AnnounceQueue())
    farm.handle(GoneRecorded("bob", 1, 20.2))
    farm.handle(Ended(QUEUE, 2, "z", 21.0))
    assert farm.handle(QueueUp(3, 21.1)) == (AnnounceQueue(),)
    assert second == ReportGone("frog", 1, "actor of the builder crashed: y")


def test_builders_are_told_of_a_queue_actor_that_is_not_the_one_they_were_started_with(farm: Supervision) -> None:
    first = Supervision()
    first.handle(Begun(0.0))
    first.handle(BuildersSeen((BOB,), 0.1))
    assert first.handle(QueueUp(1, 0.2)) == ()
    farm.handle(Ended(QUEUE, 1, "x", 5.0))
    assert farm.handle(QueueUp(2, 5.1)) == (AnnounceQueue(),)


def test_however_long_the_database_is_away_a_builder_has_few_reports_waiting_and_the_last_says_how_many_are_missing(
    farm: Supervision,
) -> None:
    farm.handle(Ended("frog", 1, "z", 1.0))
    for generation in range(1, MOST_UNRECORDED + 3):
        farm.handle(Ended("bob", generation, "x", 20.0 * generation))
    report = farm.unrecorded[-1]
    kept = [one.generation for one in farm.unrecorded if one.builder == "bob"]
    assert kept == list(range(3, MOST_UNRECORDED + 3))
    assert "2 crashes before that are not written down" in report.failnotes
    assert [one.builder for one in farm.unrecorded if one.builder != "bob"] == ["frog"]
    for generation in kept:
        farm.handle(GoneRecorded("bob", generation, 1000.0))
    farm.handle(Ended("bob", MOST_UNRECORDED + 3, "x", 1001.0))
    assert "not written down" not in farm.unrecorded[-1].failnotes


def test_a_changed_row_reaches_its_builder_and_no_other(farm: Supervision) -> None:
    changed = builder("bob", trusted=False)
    assert farm.handle(BuildersSeen((changed, FROG), 5.0)) == (ChangeBuilder("nursery-1", changed),)
    assert farm.handle(BuildersSeen((changed, FROG), 5.0)) == ()


def test_a_builder_started_again_gets_its_row_as_it_is_now(farm: Supervision) -> None:
    changed = builder("bob", trusted=False)
    farm.handle(BuildersSeen((changed, FROG), 5.0))
    assert farm.handle(Ended("bob", 1, "x", 6.0))[-1] == StartBuilder("nursery-1", changed, 2)


def test_a_builder_that_is_removed_retires_without_blame_and_leaves_its_place(farm: Supervision) -> None:
    assert farm.handle(BuildersSeen((FROG,), 5.0)) == (RetireBuilder("nursery-1", "bob"),)
    assert farm.handle(Ended("bob", 1, "exited", 5.1)) == ()
    assert farm.handle(BuildersSeen((FROG, TOAD), 6.0)) == (StartBuilder("nursery-1", TOAD, 1),)


def test_a_builder_registered_again_while_it_retires_starts_when_its_old_actor_has_ended(farm: Supervision) -> None:
    farm.handle(BuildersSeen((FROG,), 5.0))
    assert farm.handle(BuildersSeen((BOB, FROG), 5.1)) == ()
    assert farm.handle(Ended("bob", 1, "exited", 5.2)) == (StartBuilder("nursery-1", BOB, 2),)


class Farm(RuleBasedStateMachine):
    """Obeys the orders as the shells do, with any ends, repeated and late, in between."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Supervision(crashes=2, window=10.0, builders_per_nursery=2)
        self.now = 0.0
        self.alive: dict[str, int] = {}  # name → generation
        self.home: dict[str, str] = {}
        self.last_generation: defaultdict[str, int] = defaultdict(int)
        self.told: list[Ended] = []
        self.registered: dict[str, Builder] = {}
        self.retiring: set[str] = set()
        self.wakes: list[float] = []
        self.crashes: defaultdict[str, deque[float]] = defaultdict(deque)
        self.owed: list[tuple[str, int]] = []  # crashes of builders that must be reported until they are recorded
        self.told_queue: set[tuple[str, int]] = set()  # those that the queue actor that lives was told of
        self.feed(Begun(0.0))

    def feed(self, event: Event) -> None:
        for order in self.core.handle(event):
            self.obey(order)

    def obey(self, order: Order) -> None:
        match order:
            case StartQueue(generation):
                self.birth(QUEUE, generation)
            case StartNursery(nursery, generation):
                self.birth(nursery, generation)
            case StartBuilder(nursery, one, generation):
                assert nursery in self.alive, "a builder was ordered from a nursery that does not run"
                assert one == self.registered[one.name]
                self.birth(one.name, generation)
                self.home[one.name] = nursery
            case ChangeBuilder(nursery, one):
                assert self.home[one.name] == nursery
                assert one == self.registered[one.name]
            case RetireBuilder(nursery, name):
                assert self.home[name] == nursery
                assert name not in self.registered
                self.retiring.add(name)
            case ReportGone(name, generation):
                assert QUEUE in self.alive
                assert (name, generation) in self.owed, "reported again after it was recorded, or nobody crashed"
                self.told_queue.add((name, generation))
            case WakeUp(after):
                self.wakes.append(self.now + after)
            case AnnounceQueue():
                pass

    def birth(self, name: str, generation: int) -> None:
        assert name not in self.alive, f"two lives of {name} at once"
        assert generation > self.last_generation[name], "generations must rise"
        self.alive[name] = self.last_generation[name] = generation

    def death(self, name: str) -> Ended:
        self.home.pop(name, None)
        if name == QUEUE:
            self.told_queue.clear()
        end = Ended(name, self.alive.pop(name), "x", self.now)
        self.told.append(end)
        return end

    @rule(seconds=st.sampled_from([0.0, 0.125, 1.0, 4.0]))  # sums of these are exact: a window has sharp ends
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds
        due = [at for at in self.wakes if at <= self.now]
        self.wakes = [at for at in self.wakes if at > self.now]
        for _ in due:
            self.feed(TimePassed(self.now))

    @rule(names=st.sets(st.sampled_from("abcde")), trusted=st.sets(st.sampled_from("abcde")))
    def builders_are_seen(self, names: set[str], trusted: set[str]) -> None:
        self.registered = {name: builder(name, trusted=name in trusted) for name in sorted(names)}
        self.feed(BuildersSeen(tuple(self.registered.values()), self.now))

    @rule(pick=st.integers(min_value=0))
    def somebody_dies(self, pick: int) -> None:
        name = sorted(self.alive)[pick % len(self.alive)] if self.alive else None
        if name is None:
            return
        with_it = [one for one, nursery in self.home.items() if nursery == name]
        if name in self.retiring:
            self.retiring.remove(name)
        elif name in self.home:
            self.owed.append((name, self.alive[name]))
            kept = [one for one in self.owed if one[0] == name]
            self.owed = [one for one in self.owed if one not in kept[:-MOST_UNRECORDED]]
        end = self.death(name)
        late = []
        for one in with_it:
            self.retiring.discard(one)
            late.append(self.death(one))
        self.crashes[name].append(self.now)
        self.feed(end)
        for late_end in late:
            self.feed(late_end)

    @precondition(lambda self: self.told)
    @rule(pick=st.integers(min_value=0))
    def an_end_is_told_again(self, pick: int) -> None:
        self.feed(self.told[pick % len(self.told)])

    @rule()
    def the_queue_is_up(self) -> None:
        if QUEUE in self.alive:
            self.feed(QueueUp(self.alive[QUEUE], self.now))
            assert self.told_queue >= set(self.owed), "the queue actor does not know of a crash"

    @precondition(lambda self: self.told_queue)
    @rule(pick=st.integers(min_value=0))
    def the_queue_actor_has_recorded_a_crash(self, pick: int) -> None:
        name, generation = sorted(self.told_queue)[pick % len(self.told_queue)]
        self.feed(GoneRecorded(name, generation, self.now))
        self.told_queue.remove((name, generation))
        if (name, generation) in self.owed:
            self.owed.remove((name, generation))

    @invariant()
    def whoever_does_not_run_is_held_and_will_be_woken(self) -> None:
        for name in {QUEUE, *self.core.nurseries, *self.registered} - self.alive.keys():
            assert self.core.lives[name].standing is Standing.HELD
            assert min(self.wakes) <= max(self.core.lives[name].held_until, self.now) + 0.001

    @invariant()
    def only_registered_builders_run_or_they_are_leaving(self) -> None:
        assert self.home.keys() <= self.registered.keys() | self.retiring

    @invariant()
    def no_nursery_is_overfull(self) -> None:
        homes = list(self.home.values())
        assert all(homes.count(nursery) <= 2 for nursery in homes)

    @invariant()
    def nobody_is_started_more_often_than_allowed(self) -> None:
        for name, times in self.crashes.items():
            recent = [at for at in times if at > self.now - 10.0]
            if name == QUEUE or name.startswith("nursery"):
                assert len(recent) <= 3, f"{name} was started again after crash {len(recent)} in one window"


TestFarm = Farm.TestCase

"""Each notice is told at least once, in order, whatever happens to transactions, receiver and ourselves in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from actors.core.people.notices import Notice, What
from actors.core.people.settling import Horizon
from actors.core.people.telling import Delivered, GiveUp, Keep, Looked, Order, Post, Refused, Telling

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Log:
    """The event log, as transactions write it: numbered at once, seen when they commit."""

    events: int = 0
    transactions: int = 0
    open: dict[int, list[int]] = field(default_factory=dict)  #: transaction → its events
    seen: dict[int, bool] = field(default_factory=dict)  #: event that is committed → whether it is worth telling
    worth: set[int] = field(default_factory=set)

    def begin(self) -> None:
        self.transactions += 1
        self.open[self.transactions] = []

    def write(self, worth: bool) -> None:
        """Have the open transaction that was begun last write an event, or the first."""
        if self.open:
            self.events += 1
            self.open[sorted(self.open)[self.events % len(self.open)]].append(self.events)
            if worth:
                self.worth.add(self.events)

    def commit(self, which: int) -> None:
        if self.open:
            for event in self.open.pop(sorted(self.open)[which % len(self.open)]):
                self.seen[event] = event in self.worth

    def looked(self, at: float, cursor: int) -> Looked:
        following = self.transactions + 1
        horizon = Horizon(max(self.seen, default=0), min(self.open, default=following), following)
        pending = [event for event, worth in sorted(self.seen.items()) if worth and event > cursor]
        return Looked(horizon, tuple(notice(event) for event in pending), START + timedelta(seconds=at), at)


def notice(event: int, at: datetime = START) -> Notice:
    return Notice(event, What.DISPATCH_PAUSED, "farm", str(event), at)


@dataclass
class People:
    """The receiver, and the process that tells it."""

    log: Log
    telling: Telling = field(default_factory=lambda: Telling(0))
    kept: Keep = field(default_factory=lambda: Keep(0, ()))
    heard: list[int] = field(default_factory=list)
    at: float = 0.0

    def look(self, takes: bool = True) -> None:
        self.at += 1000.0  # every back-off is over
        orders: list[Order] = list(self.telling.handle(self.log.looked(self.at, self.telling.cursor)))
        while orders:
            match orders.pop(0):
                case Post(one):
                    if takes:
                        self.heard.append(one.event)
                    orders += self.telling.handle(Delivered(one) if takes else Refused(one, self.at))
                case Keep() as kept:
                    self.kept = kept
                case GiveUp(one):
                    raise AssertionError(one)

    def crash(self) -> None:
        self.telling = Telling(self.kept.cursor, set(self.kept.told))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.booleans()),
        st.tuples(st.just("commit"), st.integers(0, 5)),
        st.tuples(st.just("look"), st.booleans()),
        st.tuples(st.sampled_from(["begin", "crash"]), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_each_is_told_exactly_once_unless_a_crash_comes_between_telling_and_keeping(
    steps: list[tuple[str, bool | int | None]],
) -> None:
    log = Log()
    people = People(log)
    for step, detail in steps:
        match step, detail:
            case "write", bool(worth):
                log.write(worth)
            case "commit", int(which):
                log.commit(which)
            case "look", bool(takes):
                before = people.telling.cursor
                people.look(takes)
                assert people.telling.cursor >= before
            case "begin", _:
                log.begin()
            case _:
                people.crash()
    while log.open:
        log.commit(0)
    people.look()
    assert sorted(people.heard) == sorted(event for event, worth in log.seen.items() if worth)


def test_what_was_committed_before_is_told_in_order() -> None:
    log = Log()
    log.begin()
    for _ in range(5):
        log.write(worth=True)
    log.commit(0)
    people = People(log)
    people.look()
    assert people.heard == [1, 2, 3, 4, 5]
    assert people.telling.cursor == 5


def test_an_event_that_turns_up_behind_one_that_was_told_is_told_as_well() -> None:
    log = Log()
    log.begin()
    log.begin()
    log.open = {1: [1], 2: [2]}
    log.events, log.worth = 2, {1, 2}
    log.commit(1)
    people = People(log)
    people.look()
    assert people.heard == [2]
    people.look()
    assert people.telling.cursor == 0
    log.commit(0)
    people.look()
    assert people.heard == [2, 1]
    assert people.telling.cursor == 2


def test_a_receiver_that_does_not_take_it_is_told_again_after_5_s_doubling_to_10_min() -> None:
    telling, at, waits = Telling(0), 0.0, []
    for _ in range(9):
        (order,) = telling.handle(looked(at))
        assert isinstance(order, Post)
        assert telling.handle(Refused(order.notice, at)) == ()
        waits.append(telling.wait_seconds(at, 9999.0))
        assert telling.handle(looked(at + waits[-1] - 0.1)) == ()
        at += waits[-1]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    (order,) = telling.handle(looked(at))
    assert isinstance(order, Post)
    telling.handle(Delivered(order.notice))
    assert telling.wait_seconds(at, 30.0) == 30.0


def test_the_next_is_told_only_when_the_first_was_taken_and_that_was_written_down() -> None:
    telling = Telling(0)
    assert telling.handle(looked(0.0, (3, 5))) == (Post(notice(3)),)
    assert telling.handle(Delivered(notice(3))) == (Keep(4, ()), Post(notice(5)))
    assert telling.handle(Delivered(notice(5))) == (Keep(5, ()),)


def test_what_nobody_takes_for_a_day_is_given_up_and_the_rest_goes_on() -> None:
    telling = Telling(0)
    old, new = notice(3), notice(5, START + timedelta(hours=2))
    later = START + timedelta(hours=24, seconds=1)
    orders = telling.handle(Looked(Horizon(5, 1, 1), (old, new), later, 0.0))
    assert orders == (GiveUp(old), Keep(4, ()), Post(new))


def test_a_cursor_that_moves_without_a_word_is_written_now_and_then() -> None:
    telling = Telling(0)
    assert telling.handle(Looked(Horizon(999, 1, 1), (), START, 0.0)) == ()
    assert telling.handle(Looked(Horizon(1001, 1, 1), (), START, 0.0)) == (Keep(1001, ()),)
    assert telling.handle(Looked(Horizon(1002, 1, 1), (), START, 0.0)) == ()


def looked(at: float, events: tuple[int, ...] = (1,)) -> Looked:
    return Looked(Horizon(max(events), 1, 1), tuple(map(notice, events)), START, at)

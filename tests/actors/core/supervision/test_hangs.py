"""Who hangs, and who must not be taken for it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.core.supervision.hangs import EndHung, Excuse, HangWatch, LimitChanged, Looked, Sign

LIMIT = 15.0
REASON = "hung: no sign of life for 15 s"


def watched(until: float, last_sign: float = 0.0, **fields: object) -> tuple[EndHung, ...]:
    """Look at bob as often as is due until then; return what the last look brought."""
    watch, at = HangWatch(LIMIT), 0.0
    orders: tuple[EndHung, ...] = ()
    while at <= until:
        orders = watch.handle(Looked(at, (Sign("bob", 3, min(at, last_sign), **fields),)))  # type: ignore[arg-type]
        at += watch.every
    return orders


def test_an_actor_without_a_sign_of_life_for_15_seconds_hangs_and_not_before() -> None:
    assert watched(12.0) == ()
    assert watched(15.0) == (EndHung("bob", 3, REASON),)


def test_one_sign_of_life_gives_it_the_whole_time_again() -> None:
    assert watched(24.0, last_sign=10.0) == ()
    assert watched(27.0, last_sign=10.0) == (EndHung("bob", 3, REASON),)


def test_an_actor_that_waits_for_a_disk_is_not_killed_however_long_that_takes() -> None:
    assert watched(3600.0, excuse=Excuse.DISK) == ()


def test_who_is_stopped_by_a_signal_waits_for_nothing_whatever_it_said() -> None:
    assert watched(15.0, excuse=Excuse.DISK, stopped=True) == (
        EndHung("bob", 3, f"{REASON} (it was stopped: SIGSTOP?)"),
    )


def test_a_watcher_that_did_not_run_itself_gives_everybody_the_whole_time_again() -> None:
    watch, old = HangWatch(LIMIT), (Sign("bob", 1, 0.0),)
    watch.handle(Looked(0.0, old))
    assert watch.handle(Looked(100.0, old)) == ()  # it was stopped, or the machine was, and so may bob have been
    for at in (103.0, 106.0, 109.0, 112.0):
        assert watch.handle(Looked(at, old)) == ()
    assert watch.handle(Looked(115.0, old)) == (EndHung("bob", 1, REASON),)


def test_an_order_is_repeated_until_its_actor_is_gone() -> None:
    watch = HangWatch(LIMIT)
    for at in (0.0, 3.0, 6.0, 9.0, 12.0):
        assert watch.handle(Looked(at, (Sign("bob", 1, 0.0),))) == ()
    for at in (15.0, 18.0):
        assert len(watch.handle(Looked(at, (Sign("bob", 1, 0.0),)))) == 1


def test_after_a_change_of_the_limit_nobody_is_judged_by_signs_that_the_old_one_asked_for() -> None:
    watch, idle = HangWatch(60.0), (Sign("bob", 1, 0.0),)  # it gives a sign every 20 seconds, and sleeps now
    watch.handle(Looked(0.0, idle))
    watch.handle(LimitChanged(1.0, 5.0))
    at = 1.0
    while at < 61.0:
        assert watch.handle(Looked(at, idle)) == ()
        at += watch.every
    orders: tuple[EndHung, ...] = ()
    while at < 67.0:
        orders = watch.handle(Looked(at, idle))
        at += watch.every
    assert [order.reason for order in orders] == ["hung: no sign of life for 5 s"]


class Watching(RuleBasedStateMachine):
    """Actors that live, hang and wait, below a watcher that may be stopped itself; steps of an eighth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = HangWatch(LIMIT)
        self.now = 0.0
        self.signs = dict.fromkeys("abc", 0.0)
        self.excused: set[str] = set()
        self.stopped: set[str] = set()
        self.watched_since = 0.0  # without a pause
        self.last_look = 0.0
        self.killed: set[str] = set()
        self.look()

    def look(self) -> None:
        if self.now - self.last_look > 3 * self.watch.every:
            self.watched_since = self.now
        self.last_look = self.now
        seen = tuple(
            Sign(name, 1, at, Excuse.DISK if name in self.excused else Excuse.NONE, stopped=name in self.stopped)
            for name, at in self.signs.items()
        )
        self.killed = {order.name for order in self.watch.handle(Looked(self.now, seen))}
        for name in self.killed:
            assert self.now - self.signs[name] >= LIMIT, "killed, and it had given a sign"
            assert self.now - self.watched_since >= LIMIT, "killed after a pause of the watcher"
            assert name not in self.excused or name in self.stopped, "killed while it waited for a disk"
        for name, at in self.signs.items():
            waits = name in self.excused and name not in self.stopped
            if not waits and self.now - max(at, self.watched_since) >= LIMIT:
                assert name in self.killed, "hangs, and nobody does anything about it"

    @rule(names=st.sets(st.sampled_from("abc")), looks=st.integers(min_value=1, max_value=8))
    def time_goes_on_while_some_give_signs(self, names: set[str], looks: int) -> None:
        for _ in range(looks):
            self.now += self.watch.every
            for name in names - self.stopped:
                self.signs[name] = self.now
            self.look()

    @rule(looks=st.integers(min_value=4, max_value=40))
    def the_watcher_is_stopped_for_a_while(self, looks: int) -> None:
        self.now += looks * self.watch.every
        self.look()

    @rule(name=st.sampled_from("abc"))
    def one_waits_for_a_disk_or_no_longer(self, name: str) -> None:
        self.excused ^= {name}

    @rule(name=st.sampled_from("abc"))
    def one_is_stopped_or_goes_on(self, name: str) -> None:
        self.stopped ^= {name}

    @invariant()
    def whoever_was_killed_is_started_again(self) -> None:
        for name in self.killed:
            self.signs[name] = self.now
            self.stopped.discard(name)
            self.excused.discard(name)
        self.killed = set()


TestWatching = Watching.TestCase
TestWatching.settings = settings(stateful_step_count=30)

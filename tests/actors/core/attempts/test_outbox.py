"""What builders are told about their attempts (architecture §5.5), alone."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.core.attempts.outbox import Outbox
from actors.core.attempts.outbox_events import (
    AttemptClosed,
    AttemptReported,
    AttemptsRead,
    BuilderIdle,
    BuilderMoved,
    BuilderSilent,
    CancelAsked,
    Claimed,
    CloseAttempt,
    DeadlineMissed,
    Event,
    Held,
    Order,
    ResultsAwaited,
    SendAdopt,
    SendAssign,
    SendCancel,
    SendDisown,
    SlaveUnusable,
    Stage,
    TimePassed,
)
from storage.records import Outcome, RuntimeState

ONE, OTHER = UUID(int=1), UUID(int=2)


def an_outbox(*held: Held) -> Outbox:
    outbox = Outbox()
    assert outbox.handle(AttemptsRead(held, 0.0)) == ()
    return outbox


def of_bob(stage: Stage = Stage.OPEN) -> Held:
    return Held(ONE, "bob", 7, stage)


def test_a_claim_is_assigned_unless_an_answer_carries_it() -> None:
    assert Outbox().handle(Claimed(of_bob(), carried=False, at=0.0)) == (SendAssign("bob", ONE),)
    assert Outbox().handle(Claimed(of_bob(), carried=True, at=0.0)) == ()


def test_an_idle_builder_is_assigned_what_it_holds() -> None:
    assert an_outbox(of_bob()).handle(BuilderIdle("bob", 1.0)) == (SendAssign("bob", ONE),)
    assert an_outbox(of_bob()).handle(BuilderIdle("zoe", 1.0)) == ()


@pytest.mark.parametrize(("stage", "outcome"), [(Stage.CANCELLING, Outcome.ABORTED), (Stage.GATHERING, Outcome.LOST)])
def test_an_idle_builder_ends_an_attempt_that_can_not_begin_again(stage: Stage, outcome: Outcome) -> None:
    (order,) = an_outbox(of_bob(stage)).handle(BuilderIdle("bob", 1.0))
    assert isinstance(order, CloseAttempt)
    assert (order.attempt, order.outcome) == (ONE, outcome)


def test_a_reported_attempt_is_adopted_if_it_is_open_and_of_this_builder_else_disowned() -> None:
    outbox = an_outbox(of_bob())
    assert outbox.handle(AttemptReported("bob", ONE, 1.0)) == (SendAdopt("bob", ONE),)
    assert outbox.handle(AttemptReported("zoe", ONE, 1.0)) == (SendDisown("zoe", ONE, "the attempt is not open"),)
    assert outbox.handle(AttemptReported("bob", OTHER, 1.0)) == (SendDisown("bob", OTHER, "the attempt is not open"),)


def test_an_attempt_that_somebody_else_closed_is_disowned_and_nobody_else_is_told() -> None:
    outbox = an_outbox(of_bob(), Held(OTHER, "zoe", 8))
    (order,) = outbox.handle(AttemptsRead((Held(OTHER, "zoe", 8),), 1.0))
    assert isinstance(order, SendDisown)
    assert (order.builder, order.attempt) == ("bob", ONE)
    assert outbox.of_builder("bob") is None


def test_a_cancelled_attempt_is_aborted_once_and_again_if_its_builder_finds_it_later() -> None:
    outbox = an_outbox(of_bob())
    assert outbox.handle(CancelAsked(7, 1.0)) == (SendCancel("bob", ONE),)
    assert outbox.handle(CancelAsked(7, 1.1)) == ()
    assert outbox.handle(AttemptReported("bob", ONE, 2.0)) == (SendAdopt("bob", ONE), SendCancel("bob", ONE))


def test_what_is_not_acknowledged_is_sent_again_every_two_seconds() -> None:
    outbox = an_outbox()
    outbox.handle(Claimed(of_bob(), carried=False, at=0.0))
    assert outbox.handle(TimePassed(1.9)) == ()
    assert outbox.handle(TimePassed(2.0)) == (SendAssign("bob", ONE),)
    assert outbox.handle(TimePassed(3.9)) == ()
    assert outbox.handle(TimePassed(4.0)) == (SendAssign("bob", ONE),)


@pytest.mark.parametrize(
    ("heard", "acknowledged"),
    [(RuntimeState.IDLE, False), (RuntimeState.PREPARING, True), (RuntimeState.BUILDING, True)],
)
def test_a_builder_that_works_has_heard_its_order_and_one_that_is_idle_has_not(
    heard: RuntimeState, acknowledged: bool
) -> None:
    outbox = an_outbox()
    outbox.handle(Claimed(of_bob(), carried=False, at=0.0))
    outbox.handle(BuilderMoved("bob", heard))
    assert (outbox.handle(TimePassed(9.0)) == ()) == acknowledged


def test_a_build_that_goes_on_does_not_acknowledge_its_cancellation() -> None:
    outbox = an_outbox(of_bob())
    outbox.handle(CancelAsked(7, 0.0))
    outbox.handle(BuilderMoved("bob", RuntimeState.BUILDING))
    assert outbox.handle(TimePassed(2.0)) == (SendCancel("bob", ONE),)
    outbox.handle(BuilderMoved("bob", RuntimeState.ABORTING))
    assert outbox.handle(TimePassed(9.0)) == ()


def test_a_missed_deadline_loses_the_attempt_and_disowns_it_until_that_is_heard() -> None:
    outbox = an_outbox(of_bob())
    close, disown = outbox.handle(DeadlineMissed(ONE, 0.0))
    assert close == CloseAttempt(ONE, Outcome.LOST, "bob did not report the end before the deadline")
    assert isinstance(disown, SendDisown)
    outbox.handle(AttemptClosed(ONE))
    assert outbox.handle(TimePassed(2.0)) == (disown,)
    assert outbox.handle(BuilderIdle("bob", 3.0)) == ()
    assert outbox.handle(TimePassed(9.0)) == ()


def test_a_builder_whose_actor_is_gone_is_sent_nothing_until_it_reports() -> None:
    outbox = an_outbox()
    outbox.handle(Claimed(of_bob(), carried=False, at=0.0))
    outbox.handle(BuilderSilent("bob"))
    assert outbox.handle(TimePassed(9.0)) == ()
    assert outbox.handle(BuilderIdle("bob", 10.0)) == (SendAssign("bob", ONE),)


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [(Stage.OPEN, Outcome.LOST), (Stage.GATHERING, Outcome.LOST), (Stage.CANCELLING, Outcome.ABORTED)],
)
def test_what_an_earlier_life_began_at_a_slave_that_is_gone_is_lost(stage: Stage, outcome: Outcome) -> None:
    for in_hand in (None, OTHER):
        outbox = an_outbox(of_bob(stage))
        close, disown = outbox.handle(SlaveUnusable("bob", in_hand, "connection refused"))
        assert isinstance(close, CloseAttempt)
        assert (close.attempt, close.outcome) == (ONE, outcome)
        assert "connection refused" in close.text
        assert disown == SendDisown("bob", ONE, close.text)
        outbox.handle(AttemptClosed(ONE))
        assert outbox.handle(TimePassed(60.0)) == (), "who is not there is not told for ever"


def test_what_is_in_hand_or_on_its_way_is_not_lost_with_the_slave_for_its_end_is_reported() -> None:
    assert an_outbox(of_bob()).handle(SlaveUnusable("bob", ONE, "connection refused")) == ()
    assert an_outbox(of_bob()).handle(SlaveUnusable("zoe", None, "connection refused")) == ()
    on_its_way = an_outbox()
    on_its_way.handle(Claimed(of_bob(), carried=False, at=0.0))
    assert on_its_way.handle(SlaveUnusable("bob", None, "connection refused")) == ()
    cancelled = an_outbox(of_bob())
    cancelled.handle(CancelAsked(7, 1.0))  # a cancellation is not heard by who does not know of the attempt
    assert cancelled.handle(SlaveUnusable("bob", None, "connection refused"))


class AnyOutbox(RuleBasedStateMachine):
    """Whatever happens: builders are told to build only what is open and theirs, and to drop only what is not."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.open: dict[UUID, Held] = {}
        self.at = 0.0
        self.attempts = iter(range(1, 10**6))
        self.past = [UUID(int=0)]  # what a slave may still name: what was never claimed here, and what was

    def feed(self, event: Event) -> tuple[Order, ...]:
        orders = self.outbox.handle(event)
        for order in orders:
            held = self.open.get(order.attempt)
            match order:
                case SendAssign(builder) | SendAdopt(builder):
                    assert held is not None
                    assert held.builder == builder
                    assert held.stage is not Stage.CANCELLING or isinstance(order, SendAdopt)
                case SendCancel(builder):
                    assert held is not None
                    assert (held.builder, held.stage) == (builder, Stage.CANCELLING)
                case SendDisown(builder):
                    assert held is None or held.builder != builder or isinstance(event, DeadlineMissed)
                case CloseAttempt(attempt):
                    assert held is not None
                    del self.open[attempt]
                    self.outbox.handle(AttemptClosed(attempt))
        return orders

    @rule(builder=st.sampled_from("abc"), carried=st.booleans())
    def claimed(self, builder: str, carried: bool) -> None:
        if any(held.builder == builder for held in self.open.values()):
            return
        number = next(self.attempts)
        held = Held(UUID(int=number), builder, number)
        self.open[held.attempt] = held
        self.past.append(held.attempt)
        self.feed(Claimed(held, carried, self.at))

    @rule(builder=st.sampled_from("abc"))
    def idle(self, builder: str) -> None:
        self.feed(BuilderIdle(builder, self.at))

    @rule(builder=st.sampled_from("abc"), back=st.integers(0, 3))
    def reported(self, builder: str, back: int) -> None:
        known = [*self.past[:1], *self.past[-2:], *self.open]
        self.feed(AttemptReported(builder, known[-back % len(known)], self.at))

    @rule(builder=st.sampled_from("abc"), in_hand=st.booleans())
    def unusable(self, builder: str, in_hand: bool) -> None:
        held = self.outbox.of_builder(builder)
        orders = self.feed(SlaveUnusable(builder, held.attempt if held and in_hand else None, "gone"))
        assert [type(order) for order in orders] in ([], [CloseAttempt, SendDisown])
        assert not (in_hand and orders)

    @rule(builder=st.sampled_from("abc"), state=st.sampled_from(RuntimeState))
    def moved(self, builder: str, state: RuntimeState) -> None:
        self.feed(BuilderMoved(builder, state))

    @rule(builder=st.sampled_from("abc"))
    def silent(self, builder: str) -> None:
        self.feed(BuilderSilent(builder))

    def one(self, back: int) -> Held | None:
        return list(self.open.values())[-back % len(self.open)] if self.open else None

    @rule(back=st.integers(0, 3))
    def cancelled(self, back: int) -> None:
        held = self.one(back)
        if held:
            self.open[held.attempt] = Held(held.attempt, held.builder, held.job, Stage.CANCELLING)
            self.feed(CancelAsked(held.job, self.at))

    @rule(back=st.integers(0, 3))
    def gathering(self, back: int) -> None:
        held = self.one(back)
        if held and held.stage is Stage.OPEN:
            self.open[held.attempt] = Held(held.attempt, held.builder, held.job, Stage.GATHERING)
            self.feed(ResultsAwaited(held.attempt))

    @rule(back=st.integers(0, 3))
    def finished(self, back: int) -> None:
        held = self.one(back)
        if held:
            del self.open[held.attempt]
            self.feed(AttemptClosed(held.attempt))
            assert self.outbox.of_job(held.job) is None
            assert self.outbox.of_attempt(held.attempt) is None

    @rule(back=st.integers(0, 3))
    def fenced_by_somebody(self, back: int) -> None:
        held = self.one(back)
        if held:
            del self.open[held.attempt]
        orders = self.feed(AttemptsRead(tuple(self.open.values()), self.at))
        assert [order.builder for order in orders if isinstance(order, SendDisown)] == ([held.builder] if held else [])

    @rule(back=st.integers(0, 3))
    def deadline_missed(self, back: int) -> None:
        held = self.one(back)
        if held:
            self.feed(DeadlineMissed(held.attempt, self.at))

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passed(self, seconds: float) -> None:
        self.at += seconds
        self.feed(TimePassed(self.at))

    @invariant()
    def the_books_are_the_open_attempts(self) -> None:
        assert {held.attempt: held for held in self.outbox.held} == self.open
        for held in self.open.values():
            assert self.outbox.of_builder(held.builder) == held
            assert self.outbox.of_job(held.job) == held
        names = [order.builder for order in self.outbox.unanswered if not isinstance(order, CloseAttempt)]
        assert len(names) == len(set(names))


TestAnyOutbox = AnyOutbox.TestCase

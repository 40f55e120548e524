"""What builders must still be told about their attempts (architecture §5.5: the open attempt is the outbox).

Knows every open attempt, answers builders that report one, tells them of attempts that somebody else closed or
cancelled, and repeats what nobody acknowledged.  It decides no verdict (`actors.core.attempts.verdict`) and gives no
job away (`actors.core.dispatch.matcher`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, assert_never
from uuid import UUID

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
from storage.records import Builder, Outcome, RuntimeState

#: what a builder does shows that it has heard the order
_ACKNOWLEDGES: Final[Mapping[type, frozenset[RuntimeState]]] = {
    SendAssign: frozenset(
        {
            RuntimeState.PREPARING,
            RuntimeState.BUILDING,
            RuntimeState.GATHERING,
            RuntimeState.ABORTING,
            RuntimeState.CLEANING,
        }
    ),
    SendCancel: frozenset({RuntimeState.ABORTING, RuntimeState.GATHERING, RuntimeState.CLEANING, RuntimeState.IDLE}),
    SendDisown: frozenset({RuntimeState.ABORTING, RuntimeState.CLEANING, RuntimeState.IDLE}),
}


@dataclass(slots=True)
class Outbox:
    """Open attempts, and the last order to each builder that it has not acknowledged."""

    resend_after: float = 2.0  #: seconds
    _held: dict[UUID, Held] = field(default_factory=dict)
    _by_builder: dict[str, UUID] = field(default_factory=dict)
    _by_job: dict[int, UUID] = field(default_factory=dict)
    _unanswered: dict[str, tuple[Order, float]] = field(default_factory=dict)  #: builder → order, when to repeat

    def handle(self, event: Event) -> tuple[Order, ...]:
        """Return the orders that `event` calls for, in the order to obey them."""
        match event:
            case AttemptsRead(held, at):
                return self._read(held, at)
            case Claimed(held, carried, at):
                self._hold(held)
                return () if carried else self._send(SendAssign(held.builder, held.attempt), at)
            case BuilderIdle(builder, at):
                return self._idle(builder, at)
            case AttemptReported(builder, attempt, at):
                return self._reported(builder, attempt, at)
            case CancelAsked(job, at):
                return self._cancel(job, at)
            case SlaveUnusable(builder, in_hand, why):
                return self._unusable(builder, in_hand, why)
            case DeadlineMissed(attempt, at):
                return self._missed(attempt, at)
            case TimePassed(at):
                due = [order for order, when in self._unanswered.values() if when <= at]
                return tuple(again for order in due for again in self._send(order, at))
            case _:
                self._note(event)
                return ()

    def _note(self, event: BuilderMoved | ResultsAwaited | AttemptClosed | BuilderSilent) -> None:
        """Take in what calls for no order."""
        match event:
            case BuilderMoved(builder, state):
                order, _when = self._unanswered.get(builder, (None, 0.0))
                if order is not None and state in _ACKNOWLEDGES[type(order)]:
                    del self._unanswered[builder]
            case ResultsAwaited(attempt):
                held = self._held.get(attempt)
                if held is not None and held.stage is Stage.OPEN:
                    self._held[attempt] = replace(held, stage=Stage.GATHERING)
            case AttemptClosed(attempt):
                self._forget(attempt)
            case BuilderSilent(builder):
                self._unanswered.pop(builder, None)
            case _:
                assert_never(event)

    def of_attempt(self, attempt: UUID) -> Held | None:
        """Return the attempt, if it is open."""
        return self._held.get(attempt)

    def of_builder(self, builder: str) -> Held | None:
        """Return the open attempt of `builder`."""
        attempt = self._by_builder.get(builder)
        return self._held[attempt] if attempt else None

    def free_first(self, builders: Iterable[Builder]) -> tuple[Builder, ...]:
        """Return `builders`, those without an attempt first: they are waited for, while a slave that builds does so alone."""
        return tuple(sorted(builders, key=lambda builder: builder.name in self._by_builder))

    def of_job(self, job: int) -> Held | None:
        """Return the open attempt of `job`."""
        attempt = self._by_job.get(job)
        return self._held[attempt] if attempt else None

    def repeats(self, at: float) -> bool:
        """Return whether `TimePassed` would say something again."""
        return bool(self._unanswered) and any(when <= at for _order, when in self._unanswered.values())

    @property
    def concerned(self) -> frozenset[str]:
        """Return the builders that have an open attempt, or have not acknowledged something yet."""
        return frozenset(self._by_builder) | frozenset(self._unanswered)

    @property
    def held(self) -> tuple[Held, ...]:
        """Return all open attempts."""
        return tuple(self._held.values())

    @property
    def unanswered(self) -> tuple[Order, ...]:
        """Return what builders have not acknowledged yet."""
        return tuple(order for order, _when in self._unanswered.values())

    def _read(self, read: Iterable[Held], at: float) -> tuple[Order, ...]:
        now = {held.attempt: held for held in read}
        orders: list[Order] = []
        for gone in [held for held in self._held.values() if held.attempt not in now]:
            self._forget(gone.attempt)
            orders += self._send(SendDisown(gone.builder, gone.attempt, "the attempt was closed by somebody else"), at)
        for held in now.values():
            if held.attempt not in self._held:  # how far the others have come is known from what was said of them
                self._hold(held)
        return tuple(orders)

    def _idle(self, builder: str, at: float) -> tuple[Order, ...]:
        self._unanswered.pop(builder, None)
        held = self.of_builder(builder)
        if held is None:
            return ()
        match held.stage:
            case Stage.OPEN:
                return self._send(SendAssign(builder, held.attempt), at)
            case Stage.CANCELLING:
                return (CloseAttempt(held.attempt, Outcome.ABORTED, "cancelled; the slave is idle"),)
            case Stage.GATHERING:
                text = "the slave is idle and no longer has the results of this attempt"
                return (CloseAttempt(held.attempt, Outcome.LOST, text),)

    def _reported(self, builder: str, attempt: UUID, at: float) -> tuple[Order, ...]:
        held = self._held.get(attempt)
        if held is None or held.builder != builder:
            return self._send(SendDisown(builder, attempt, "the attempt is not open"), at)
        self._unanswered.pop(builder, None)
        adopt: tuple[Order, ...] = (SendAdopt(builder, attempt),)  # the builder asks again until it is answered
        if held.stage is Stage.CANCELLING:
            return adopt + self._send(SendCancel(builder, attempt), at)
        return adopt

    def _cancel(self, job: int, at: float) -> tuple[Order, ...]:
        held = self.of_job(job)
        if held is None or held.stage is Stage.CANCELLING:
            return ()
        self._held[held.attempt] = replace(held, stage=Stage.CANCELLING)
        return self._send(SendCancel(held.builder, held.attempt), at)

    def _unusable(self, builder: str, in_hand: UUID | None, why: str) -> tuple[Order, ...]:
        """Lose what an earlier life of the builder's actor had begun, and this one will not hear of again."""
        held = self.of_builder(builder)
        order, _when = self._unanswered.get(builder, (None, 0.0))
        if held is None or held.attempt == in_hand or isinstance(order, SendAssign):  # it reports the end, or refuses
            return ()
        if held.stage is Stage.CANCELLING:
            close = CloseAttempt(held.attempt, Outcome.ABORTED, f"cancelled; {why}")
        else:
            words = f"{why}; an earlier life of {builder}'s actor began the attempt, and nobody follows it"
            close = CloseAttempt(held.attempt, Outcome.LOST, words)
        return close, SendDisown(builder, held.attempt, close.text)  # said once: only an actor that errs has it

    def _missed(self, attempt: UUID, at: float) -> tuple[Order, ...]:
        held = self._held.get(attempt)
        if held is None:
            return ()
        if held.stage is Stage.CANCELLING:
            close = CloseAttempt(attempt, Outcome.ABORTED, "cancelled; the slave did not abort in time")
        else:
            close = CloseAttempt(attempt, Outcome.LOST, f"{held.builder} did not report the end before the deadline")
        return (close, *self._send(SendDisown(held.builder, attempt, close.text), at))

    def _send(self, order: Order, at: float) -> tuple[Order, ...]:
        if not isinstance(order, CloseAttempt):
            self._unanswered[order.builder] = (order, at + self.resend_after)
        return (order,)

    def _hold(self, held: Held) -> None:
        self._held[held.attempt] = held
        self._by_builder[held.builder] = held.attempt
        self._by_job[held.job] = held.attempt

    def _forget(self, attempt: UUID) -> None:
        held = self._held.pop(attempt, None)
        if held is None:
            return
        if self._by_builder.get(held.builder) == attempt:
            del self._by_builder[held.builder]
        if self._by_job.get(held.job) == attempt:
            del self._by_job[held.job]
        order, _when = self._unanswered.get(held.builder, (None, 0.0))
        if isinstance(order, SendAssign | SendAdopt | SendCancel) and order.attempt == attempt:
            del self._unanswered[held.builder]

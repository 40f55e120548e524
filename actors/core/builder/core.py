"""One builder's actor without its actor: what happened in, orders out.

    core = BuilderCore(row, generation, timers)
    for order in core.handle(Begun(at)): …obey…            # and feed what comes of it back as events
    …call handle(TimeCame(now)) when core.deadline() has come…

Stages and steps stand in `actors.core.builder.stages`.  The parts: `session` is the connection and its ladder,
`slave_in_hand` what the slave is about, `attempt.in_hand` the attempt that is worked on, with its `preparation`,
`log_following` and `gathering`; `assigned` and `reports` are what is between builder and queue actor.  This module hears
both sides: who is asked, what is held, when the slave may be cleaned.

The sentence everything here serves: *a slave is never cleaned before its attempt is recorded or closed.*
Rules: dispatch-rules §5, §6 (Unreachable), §8.  The shell is `actors.builder.actor`.
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from actors.core.builder.attempt.in_hand import AttemptInHand
from actors.core.builder.events import (
    Begun,
    ChangesRead,
    Connected,
    ConnectionEnded,
    ControlRead,
    Event,
    FromQueueMessage,
    LibrarianRefused,
    LogKept,
    LogOpened,
    QueueReplaced,
    QueueSaid,
    ResultKept,
    ResultSpoilt,
    Retired,
    RowChanged,
    SlaveSaid,
    TimeCame,
    TimersChanged,
)
from actors.core.builder.orders import Disconnect, Leave, LetGo, Order, Send, SendChunk, Tell
from actors.core.builder.session import Session
from actors.core.builder.slave_in_hand import SlaveInHand
from actors.core.builder.stages import AttemptStage, Stage
from actors.core.builder.story import Story
from actors.core.timers import Timers
from actors.messages import (
    Adopt,
    Assign,
    Cancel,
    Disown,
    FencedOff,
    Recorded,
    SessionOpened,
)
from protocol.messages import Abort, Rejected, SlaveMessage, Status
from storage.records import Builder, BuildOrder, NotOkBy, NotOkKind

STORY_LENGTH = 400  #: 200 events, and their orders: for the console, and whoever must understand an `ImpossibleStep`


class BuilderCore:
    """Everything one builder's actor decides."""

    def __init__(self, row: Builder, generation: int, timers: Timers) -> None:
        self.session = Session(row, generation, timers)
        self.generation = generation
        self.story = Story(STORY_LENGTH)
        self._slave = SlaveInHand(self.session, timers, self.story)
        self._assigned = self._slave.assigned
        self.reports = self._slave.reports
        self._left = False
        self._at = 0.0
        self._out: list[Order] = []

    @property
    def row(self) -> Builder:
        """The builder's row, as last heard of."""
        return self.session.row

    @property
    def timers(self) -> Timers:
        """How long is waited for what."""
        return self._slave.timers

    @property
    def stage(self) -> Stage:
        """What the actor is about."""
        return self._slave.stage

    @property
    def work(self) -> AttemptInHand | None:
        """The attempt that is worked on."""
        return self._slave.work

    def handle(self, event: Event) -> tuple[Order, ...]:
        """Return the orders that `event` calls for, in the order to obey them.

        Raises:
            ImpossibleStep: a bug of the core; it carries the story.
        """
        if self._left:
            return ()
        self._at, self._out = event.at, []
        self.story.heard(event.at, event)
        self.session.attempt = self._slave.in_hand
        self._handle(event)
        self._look_after_work()
        if not self._left:
            self.reports.note(self._at, self.stage, None if self.work is None else self.work.stage, self._out)
        if self._out:
            for order in self._out:
                if isinstance(order, (Send, SendChunk)):
                    self.session.spoke(self._at)
                    break
            self.story.answered(self._slave.stages, self._out)
        return tuple(self._out)

    def _handle(self, event: Event) -> None:
        match event:  # what comes most often goes first
            case SlaveSaid():
                self._slave_said(event.message)
            case (
                LogOpened()
                | LogKept()
                | ResultKept()
                | ResultSpoilt()
                | ChangesRead()
                | ControlRead()
                | LibrarianRefused()
            ):
                if self.work is not None:
                    self.work.stored(event, self._out)
            case QueueSaid():
                self._queue_said(event.message)
            case TimeCame():
                self._time_came()
            case Begun():
                self.session.begin(self._at, self._out)
            case QueueReplaced():
                self._report_again()
            case RowChanged(builder=row):
                self._row_changed(row)
            case TimersChanged(timers=timers):
                self._slave.take_times(timers)
            case Retired():
                self._retire()
            case Connected():
                self.session.connected(event, self._out)
            case ConnectionEnded(reason=reason):
                self._slave.connection_ended(self._at, reason, self._out, lied=event.lied, unfit=event.unfit)
            case _:
                assert_never(event)

    # --- the queue actor speaks -------------------------------------------------------------------

    def _queue_said(self, message: FromQueueMessage) -> None:
        if message.generation != self.generation:
            if isinstance(message, Assign):
                self._refuse(message.order.attempt, "it was assigned to an earlier life of the builder's actor")
            return
        match message:
            case SessionOpened():
                self.session.granted(self._at, message, self._out)
                if self.work is not None:
                    self.work.session_granted(self._at)
            case Assign(order=order):
                self._assign(order)
            case Adopt(order=order):
                self._adopt(order)
            case Disown(attempt=attempt) | FencedOff(attempt=attempt):
                self._fenced(attempt)
            case Cancel(attempt=attempt):
                self._cancel(attempt)
            case Recorded():
                self._recorded(message)
            case _:
                assert_never(message)

    def _assign(self, order: BuildOrder) -> None:
        """Take an order, hold it for a while if it does not fit *yet*, or refuse it."""
        refused = self.reports.refused_before(order.attempt)
        held = self._assigned.held
        if refused is not None:
            self._out.append(Tell(refused))  # a restarted queue actor has not heard of it: nobody else ends the attempt
        elif self._knows(order.attempt):
            pass  # it came twice
        elif self.stage is Stage.ADOPTING and self._slave.holds(order.attempt):
            self._slave.adopt(self._at, order, self._out)
        elif self.work is not None or held is not None:
            busy = self.work.order.attempt if self.work is not None else held and held.order.attempt
            self._refuse(order.attempt, f"the builder is busy with attempt {busy}")
        else:
            self._slave.hold(self._at, order)
            self._slave.start_held(self._at, self._out)

    def _adopt(self, order: BuildOrder) -> None:
        """Go on with what the slave holds, unless it was refused: an attempt ends in one way only."""
        refused = self.reports.refused_before(order.attempt)
        if self.stage is not Stage.ADOPTING or not self._slave.holds(order.attempt):
            return  # the slave is asked again what it holds
        if refused is not None:  # the queue actor closes it then, and answers the next question with that
            self._out.append(Tell(refused))
        else:
            self._slave.adopt(self._at, order, self._out)

    def _knows(self, attempt: UUID) -> bool:
        """Return whether `attempt` is in hand, held, or over."""
        return self._slave.works_on(attempt) or self._assigned.knows(attempt)

    def _refuse(self, attempt: UUID, why: str) -> None:
        self._slave.refuse(attempt, why, self._out)

    def _cancel(self, attempt: UUID) -> None:
        if self._assigned.holds(attempt):
            self._assigned.held = None
            self._refuse(attempt, "cancelled before it was begun")
        elif self.work is not None and self._slave.works_on(attempt):
            self.work.cancel(self._at, self._out)

    def _recorded(self, message: Recorded) -> None:
        """Clean the slave, now that the end of its attempt is committed; then comes the next order, if there is one."""
        work = self.work
        if work is not None and self._slave.works_on(message.attempt):
            if work.stage is not AttemptStage.REPORTING or work.ending is None:
                return  # nothing was reported yet: not an answer to us
            believed = work.ending.believed
            self._slave.close(message.attempt, self._out, recorded=True)
            if message.next is not None and not self._knows(message.next.attempt):
                self._slave.hold(self._at, message.next)
            self._slave.settle(self._at, self._out, believed=believed)
        elif message.next is not None:
            self._assign(message.next)

    def _fenced(self, attempt: UUID) -> None:
        """Drop an attempt that is closed; its results do not count, nobody is blamed."""
        if self._assigned.holds(attempt):
            self._assigned.drop()
            if self.stage is Stage.IDLE:
                self.reports.ready(self._at, self._out)
        elif self.work is not None and self._slave.works_on(attempt):
            asked = self.work.stage is AttemptStage.REQUESTED
            believed = self.work.ending is None or self.work.ending.believed
            self._slave.close(attempt, self._out)
            self._slave.settle(self._at, self._out, believed=believed, asked=asked)
        elif self.stage is Stage.ADOPTING and self._slave.holds(attempt):
            self._slave.remains.attempt = attempt
            self._assigned.over.append(attempt)
            self._slave.discard(self._at, self._out)

    def _report_again(self) -> None:
        """Tell a queue actor that was restarted what it can't know, or may not have been told."""
        self.reports.forget_runtime()
        self.reports.say_probed(self._out)
        self.session.queue_replaced(self._at, self._out)
        match self.stage:
            case Stage.IDLE:
                self.reports.ready(self._at, self._out)
            case Stage.ADOPTING:
                self._slave.ask_adoption(self._at, self._out)
            case Stage.WORKING if self.work is not None and not self.work.repeat(self._at, self._out):
                self.reports.holds(self.work.order.attempt, self._out)
            case _:
                pass

    # --- the slave --------------------------------------------------------------------------------

    def _slave_said(self, message: SlaveMessage) -> None:
        if not self.session.open:
            if self.session.greeted(self._at, message, self._out):
                self._slave.session_opened(self._at, self._out)
            return
        self.session.heard(self._at)
        if isinstance(message, Status):
            self.session.status = message
        if self.stage is Stage.WORKING and self.work is not None:
            self.work.said(self._at, message, self._out)
        elif isinstance(message, Status):
            self._slave.status_changed(self._at, message, self._out)
        elif isinstance(message, Rejected) and self._slave.remains.refused(message) and self.session.status is not None:
            self._slave.status_changed(self._at, self.session.status, self._out)  # Abort or Clean too late or too early

    def _look_after_work(self) -> None:
        """Refuse the attempt in hand if this machine's own disk can't serve it."""
        work = self.work
        if work is None or not work.refusal:
            return
        attempt = work.order.attempt
        self._slave.close(attempt, self._out)
        self.reports.refuse(attempt, work.refusal, self._out)
        self.reports.pause_until = self._at + self.timers.librarian_retry
        self._slave.settle(self._at, self._out, believed=True)

    # --- row, end, time ---------------------------------------------------------------------------

    def _row_changed(self, row: Builder) -> None:
        """Take the new row; a build that runs goes on as it was claimed."""
        slave, quarantined = self._slave, self.row.quarantined_until is not None
        if self.session.row_changed(self._at, row, self._out):
            slave.session_lost(self._at, "the builder's row was changed", self._out)
        elif quarantined and row.quarantined_until is None and self.stage is Stage.IDLE and self._assigned.held is None:
            slave.restart_session(self._at, "its quarantine is over: it is probed", self._out)
        if not row.builderok and row.notok_by is NotOkBy.MACHINE and row.notok_kind is NotOkKind.CRASH:
            self.reports.say_probed(self._out)  # the news of an earlier life came late
        self.reports.pause_until = 0.0
        slave.start_held(self._at, self._out)
        if self.stage is Stage.IDLE and self._assigned.held is None:
            self.reports.ready(self._at, self._out)

    def _retire(self) -> None:
        if self.session.open and self.work is not None:
            self._out.append(Send(Abort(self.session.next_id(), self.work.name)))
        if self.work is not None:
            self._out.append(LetGo(self.work.order.attempt, log_recorded=False))
        self._out += [Disconnect("the builder is no longer registered"), Leave()]
        self._left = True

    def deadline(self) -> float:
        """Return the monotonic second at which `TimeCame` is wanted next."""
        due = self._slave.deadline()
        return due if self.reports.runtime_due is None else min(due, self.reports.runtime_due)

    def _time_came(self) -> None:
        broken = self.session.tick(self._at, self._out)
        if broken:
            self._out.append(Disconnect(broken))
            self._slave.connection_ended(self._at, broken, self._out)
        self._slave.tick(self._at, self._out)

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what the core is thinking, in words, in order."""
        session, work, held = self.session, self.work, self._assigned.held
        status = session.status
        return (
            ("stage", self._slave.doing()),
            ("attempt", "" if work is None else work.name),
            ("session", f"{session.state.value}, epoch {session.epoch}, {session.failures} failures in a row"),
            ("slave", "" if status is None else f"{status.state.value} {status.attempt or ''}".strip()),
            ("backend", "" if session.welcome is None else session.welcome.backend),
            ("trusted", str(self.row.trusted)),
            ("ok", "yes" if self.row.builderok else f"no: {self.row.failnotes}"),
            ("trouble", "" if session.troubled is None else session.troubled.failnotes),
            ("own disk", "" if work is None else work.trouble),
            ("held", "" if held is None else f"{held.order.attempt} {held.why}".strip()),
            ("last event", self.story[-1] if self.story else ""),
        )

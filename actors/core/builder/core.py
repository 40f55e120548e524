"""One builder's actor without its actor: what happened in, orders out.

    core = BuilderCore(row, generation, timers)
    for order in core.handle(Begun(at)): …obey…            # and feed what comes of it back as events
    …call handle(TimeCame(now)) when core.deadline() has come…

Stages and steps stand in `actors.core.builder.stages`.  The parts: `session` is the connection and its ladder,
`attempt.in_hand` the attempt that is worked on, with its `preparation`, `log_following` and `gathering`.  This module
joins them to the queue actor: who is asked, what is held, when the slave may be cleaned.

The sentence everything here serves: *a slave is never cleaned before its attempt is recorded or closed.*
Rules: dispatch-rules §5, §6 (Unreachable), §8.  The shell is `actors.builder.actor`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
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
from actors.core.builder.fit import misfit
from actors.core.builder.orders import Disconnect, Leave, LetGo, Order, Send, SendChunk, Tell
from actors.core.builder.remains import Remains
from actors.core.builder.runtime import RuntimeTelling, runtime_state
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, Stage, Step, next_stage
from actors.core.builder.story import Story
from actors.core.timers import Timers
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    Cancel,
    Disown,
    FencedOff,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    RuntimeChanged,
    SessionOpened,
)
from protocol.messages import Abort, Rejected, SlaveMessage, SlaveState, Status
from storage.records import Builder, BuildOrder, NotOkBy, NotOkKind

STORY_LENGTH = 400  #: 200 events, and their orders: for the console, and whoever must understand an `ImpossibleStep`
REMEMBERED = 16  #: attempts that are over


@dataclass(frozen=True, slots=True)
class _Held:
    """An order that does not fit yet."""

    order: BuildOrder
    until: float
    why: str = ""


class BuilderCore:
    """Everything one builder's actor decides."""

    def __init__(self, row: Builder, generation: int, timers: Timers) -> None:
        self.session = Session(row, generation, timers)
        self.timers = timers
        self.generation = generation
        self.stage = Stage.AWAY
        self.work: AttemptInHand | None = None
        self.story = Story(STORY_LENGTH)
        self._held: _Held | None = None
        self._remains = Remains(self.session, timers)
        self._over: deque[UUID] = deque(maxlen=REMEMBERED)  # whatever comes for these again comes twice
        self._ask_again_at = 0.0  # ADOPTING
        self._ready_at = 0.0  # IDLE: when to say Ready (again)
        self._refused: deque[JobRefused] = deque(maxlen=REMEMBERED)  # told again if they are assigned again
        self._pause_until = 0.0  # no Ready before: something was refused that would only come again
        self._probed = 0  # session epoch whose probe was told of
        self._runtime = RuntimeTelling()
        self._noted: tuple[SessionState, Stage, AttemptStage | None] | None = None  # of what it was last told
        self._left = False
        self._at = 0.0
        self._out: list[Order] = []

    @property
    def row(self) -> Builder:
        """The builder's row, as last heard of."""
        return self.session.row

    def handle(self, event: Event) -> tuple[Order, ...]:
        """Return the orders that `event` calls for, in the order to obey them.

        Raises:
            ImpossibleStep: a bug of the core; it carries the story.
        """
        if self._left:
            return ()
        self._at, self._out = event.at, []
        self.story.heard(event.at, event)
        self._handle(event)
        self._look_after_work()
        if not self._left:
            self._note_runtime()
        if self._out:
            for order in self._out:
                if isinstance(order, (Send, SendChunk)):
                    self.session.spoke(self._at)
                    break
            self.story.answered(self._stages(), self._out)
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
            case RowChanged() | TimersChanged():
                self._take_up(event)
            case Retired():
                self._retire()
            case Connected():
                self.session.connected(event, self._out)
            case ConnectionEnded(reason=reason):
                self._connection_ended(reason, lied=event.lied, unfit=event.unfit)
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
                self._assigned(order)
            case Adopt(order=order):
                if self.stage is Stage.ADOPTING and self._slave_holds(order.attempt):
                    self._adopt(order)
            case Disown(attempt=attempt) | FencedOff(attempt=attempt):
                self._fenced(attempt)
            case Cancel(attempt=attempt):
                self._cancel(attempt)
            case Recorded():
                self._recorded(message)
            case _:
                assert_never(message)

    def _assigned(self, order: BuildOrder) -> None:
        """Take an order, hold it for a while if it does not fit *yet*, or refuse it."""
        refused = next((said for said in self._refused if said.attempt == order.attempt), None)
        if refused is not None:
            self._tell(refused)  # a queue actor that was restarted has not heard of it: nobody else ends the attempt
            return
        if self._knows(order.attempt):
            return  # it came twice
        if self.stage is Stage.ADOPTING and self._slave_holds(order.attempt):
            self._adopt(order)
            return
        if self.work is not None or self._held is not None:
            busy = self.work.order.attempt if self.work is not None else self._held and self._held.order.attempt
            self._refuse(order.attempt, f"the builder is busy with attempt {busy}")
            return
        self._held = _Held(order, self._at + self.timers.hold)
        self._start_held()

    def _knows(self, attempt: UUID) -> bool:
        """Return whether `attempt` is in hand, held, or over."""
        in_hand = self.work is not None and self.work.order.attempt == attempt
        held = self._held is not None and self._held.order.attempt == attempt
        return in_hand or held or attempt in self._over

    def _slave_holds(self, attempt: UUID) -> bool:
        return self.session.status is not None and self.session.status.attempt == str(attempt)

    def _adopt(self, order: BuildOrder) -> None:
        """Take an attempt in hand that the slave has begun already."""
        status = self.session.status
        if status is None:
            return
        self._step(Step.TAKE)
        self.work = AttemptInHand(order, self.session, self.timers, self.story)
        self._probe_passed()
        self.work.adopt(self._at, status, self._out)

    def _start_held(self) -> None:
        """Begin the held order if the slave is there for it; trust is matched exactly, both ways."""
        if self._held is None or self.stage is not Stage.IDLE:
            return
        order, welcome = self._held.order, self.session.welcome
        offered = welcome.architectures if welcome is not None else ()
        if order.trusted != self.row.trusted:
            sides = f"trusted is {self.row.trusted} of the builder and {order.trusted} of the build"
            self._held = _Held(order, self._held.until, f"trust does not match: {sides}")
        elif order.architecture not in {*offered, "all"}:
            self._held = None
            self._refuse(order.attempt, f"the slave builds for {', '.join(offered)}, not for {order.architecture}")
            self._pause_until = self._ready_at = self._at + self.timers.ready_again
            unfit = misfit(self.row, welcome) if welcome is not None else ""
            if unfit:  # its families were changed while it was connected
                self._distrust(NotOkKind.MISFIT, f"does not fit: {unfit}")
        else:
            self._held = None
            self._step(Step.TAKE)
            self.work = AttemptInHand(order, self.session, self.timers, self.story)
            self.work.begin(self._at, self._out)

    def _refuse(self, attempt: UUID, why: str) -> None:
        self._over.append(attempt)
        self._tell_refused(attempt, why)

    def _tell_refused(self, attempt: UUID, why: str) -> None:
        self._refused.append(JobRefused(self.row.name, self.generation, attempt, why))
        self._tell(self._refused[-1])

    def _cancel(self, attempt: UUID) -> None:
        if self._held is not None and self._held.order.attempt == attempt:
            self._held = None
            self._refuse(attempt, "cancelled before it was begun")
        elif self.work is not None and self.work.order.attempt == attempt:
            self.work.cancel(self._at, self._out)

    def _recorded(self, message: Recorded) -> None:
        """Clean the slave, now that the end of its attempt is committed; then comes the next order, if there is one."""
        work = self.work
        settled = work is not None and work.order.attempt == message.attempt
        if work is not None and settled:
            if work.stage is not AttemptStage.REPORTING or work.ending is None:
                return  # nothing was reported yet: not an answer to us
            believed = work.ending.believed
            self._close(message.attempt, recorded=True)
            if message.next is not None and not self._knows(message.next.attempt):
                self._held = _Held(message.next, self._at + self.timers.hold)
            self._settle(believed=believed)
        elif message.next is not None:
            self._assigned(message.next)

    def _fenced(self, attempt: UUID) -> None:
        """Drop an attempt that is closed; its results do not count, nobody is blamed."""
        if self._held is not None and self._held.order.attempt == attempt:
            self._held = None
            self._over.append(attempt)
            if self.stage is Stage.IDLE:
                self._tell_ready()
        elif self.work is not None and self.work.order.attempt == attempt:
            asked = self.work.stage is AttemptStage.REQUESTED
            believed = self.work.ending is None or self.work.ending.believed
            self._close(attempt)
            self._settle(believed=believed, asked=asked)
        elif self.stage is Stage.ADOPTING and self._slave_holds(attempt):
            self._remains.attempt = attempt
            self._over.append(attempt)
            self._discard()

    def _report_again(self) -> None:
        """Tell a queue actor that was restarted what it can't know, or may not have been told."""
        self._runtime.forget()
        self._say_probed()
        self.session.queue_replaced(self._at, self._out)
        match self.stage:
            case Stage.IDLE:
                self._tell_ready()
            case Stage.ADOPTING:
                self._ask_adoption()
            case Stage.WORKING if self.work is not None and not self.work.repeat(self._at, self._out):
                self._tell(AdoptionWanted(self.row.name, self.generation, self.session.epoch, self.work.order.attempt))
            case _:
                pass

    # --- the slave --------------------------------------------------------------------------------

    def _slave_said(self, message: SlaveMessage) -> None:
        if not self.session.open:
            if self.session.greeted(self._at, message, self._out):
                self._session_opened()
            return
        self.session.heard(self._at)
        if isinstance(message, Status):
            self.session.status = message
        if self.stage is Stage.WORKING and self.work is not None:
            self.work.said(self._at, message, self._out)
        elif isinstance(message, Status):
            self._status_changed(message)
        elif isinstance(message, Rejected) and self._remains.refused(message) and self.session.status is not None:
            self._status_changed(self.session.status)  # Abort or Clean came too late or too early

    def _session_opened(self) -> None:
        status = self.session.status
        if status is None:
            return
        if self.work is not None:
            self._probe_passed()
            self.work.session_opened(self._at, status, self._out)
        elif status.state is SlaveState.IDLE:
            self._idle()
        elif self._remains.held(status):
            self._discard()
        elif self._held is not None and status.attempt == str(self._held.order.attempt):
            order, self._held = self._held.order, None
            self._adopt(order)
        else:
            self._step(Step.SLAVE_HOLDS)
            self._ask_adoption()

    def _ask_adoption(self) -> None:
        status = self.session.status
        if status is None or status.attempt is None:
            return
        self._ask_again_at = self._at + self.timers.resend
        self._tell(AdoptionWanted(self.row.name, self.generation, self.session.epoch, UUID(status.attempt)))

    def _status_changed(self, status: Status) -> None:
        """Compare what the slave says of itself, while nothing is in hand, with what was expected."""
        closed = self._remains.held(status)
        match self.stage, status.state:
            case Stage.IDLE, SlaveState.IDLE:
                pass
            case Stage.DISCARDING, SlaveState.IDLE if self._remains.unsure:
                pass
            case ((Stage.DISCARDING | Stage.CLEANING), SlaveState.IDLE):
                self._idle()
            case Stage.DISCARDING, SlaveState.WAITING if closed:
                self._discard()
            case ((Stage.DISCARDING | Stage.CLEANING), _) if closed:
                pass
            case Stage.ADOPTING, (SlaveState.BUILDING | SlaveState.ABORTING | SlaveState.WAITING):
                pass  # the answer of the queue actor will say what is to be done about it
            case Stage.ADOPTING, _:
                self._restart_session("the slave forgot the attempt it held")
            case _:
                holds = f"is {status.state.value} with attempt {status.attempt}, which nobody asked for"
                self._distrust(NotOkKind.BREACH, holds)

    def _idle(self) -> None:
        """The slave is IDLE and clean: say so, and take the next order."""
        self._step(Step.SLAVE_IDLE)
        self._probe_passed()
        self._ready_at = max(self._pause_until, self._at)
        self._start_held()
        if self.stage is Stage.IDLE and self._held is None and self._at >= self._ready_at:
            self._tell_ready()

    def _settle(self, *, believed: bool, asked: bool = False) -> None:
        """Bring the slave back to IDLE after an attempt that is closed.

        Args:
            believed: False: what the slave says of its state counts only in a new session.
            asked: `Build` was sent and not answered: the slave may begin at any time.
        """
        if not self.session.open:
            self._step(Step.PART)
        elif not believed:
            self._restart_session("what the slave says of itself is not to be believed")
        else:
            self._discard(asked=asked)

    def _discard(self, *, asked: bool = False) -> None:
        """Have the slave drop the closed attempt: abort it if it runs, clean what is left of it."""
        status = self.session.status
        if status is None:
            return
        step = self._remains.discard(self._at, status, self._out, asked=asked)
        if step is None:
            self._restart_session(f"the slave holds attempt {status.attempt}")
        elif step is Step.SLAVE_IDLE:
            self._idle()
        else:
            self._step(step)

    def _connection_ended(self, reason: str, *, lied: bool = False, unfit: bool = False) -> None:
        if self.session.state in {SessionState.RESTING, SessionState.ASKING}:
            return  # there was none
        self.session.ended(self._at, reason, self._out, lied=lied, unfit=unfit)
        self._session_lost(reason, lied=lied)

    def _restart_session(self, reason: str) -> None:
        self.session.restart(self._at, reason, self._out)
        self._session_lost(reason)

    def _distrust(self, kind: NotOkKind, words: str) -> None:
        self.session.distrust(self._at, kind, words, self._out)
        self._session_lost(words)

    def _session_lost(self, reason: str, *, lied: bool = False) -> None:
        if self.work is not None:
            self.work.session_ended(self._at, reason, self._out, lied=lied)
        elif self.stage is not Stage.AWAY:
            self._step(Step.PART)

    # --- row, end, time ---------------------------------------------------------------------------

    def _take_up(self, changed: RowChanged | TimersChanged) -> None:
        match changed:
            case RowChanged(builder=row):
                self._row_changed(row)
            case TimersChanged(timers=timers):
                self.timers = self.session.timers = self._remains.timers = timers
                if self.work is not None:
                    self.work.timers = timers
            case _:
                assert_never(changed)

    def _row_changed(self, row: Builder) -> None:
        """Take the new row; a build that runs goes on as it was claimed."""
        quarantined = self.row.quarantined_until is not None
        if self.session.row_changed(self._at, row, self._out):
            self._session_lost("the builder's row was changed")
        elif quarantined and row.quarantined_until is None and self.stage is Stage.IDLE and self._held is None:
            self._restart_session("its quarantine is over: it is probed")
        if not row.builderok and row.notok_by is NotOkBy.MACHINE and row.notok_kind is NotOkKind.CRASH:
            self._say_probed()  # the news of an earlier life came late
        self._pause_until = 0.0
        self._start_held()
        if self.stage is Stage.IDLE and self._held is None:
            self._tell_ready()

    def _retire(self) -> None:
        if self.session.open and self.work is not None:
            self._out.append(Send(Abort(self.session.next_id(), self.work.name)))
        if self.work is not None:
            self._out.append(LetGo(self.work.order.attempt, log_recorded=False))
        self._out += [Disconnect("the builder is no longer registered"), Leave()]
        self._left = True

    def deadline(self) -> float:
        """Return the monotonic second at which `TimeCame` is wanted next."""
        due = self.session.deadline()
        leaving = self.stage is Stage.CLEANING or self.stage is Stage.DISCARDING
        if self.work is not None:
            due = min(due, self.work.deadline())
        if self._held is not None and not leaving:
            due = min(due, self._held.until)
        if leaving:
            due = min(due, self._remains.deadline)
        elif self.stage is Stage.ADOPTING:
            due = min(due, self._ask_again_at)
        elif self.stage is Stage.IDLE and self._held is None:
            due = min(due, self._ready_at)
        return due if self._runtime.due is None else min(due, self._runtime.due)

    def _time_came(self) -> None:
        broken = self.session.tick(self._at, self._out)
        if broken:
            self._out.append(Disconnect(broken))
            self._connection_ended(broken)
        if self.work is not None:
            self.work.tick(self._at, self._out)
        elif self.stage is Stage.IDLE:
            if self._held is None and self._at >= self._ready_at:
                self._tell_ready()
        elif self.stage is Stage.ADOPTING:
            if self._at >= self._ask_again_at:
                self._ask_adoption()
        elif self.stage is not Stage.AWAY and self._at >= self._remains.deadline:
            failed = self._remains.overdue(self._at, self.stage, self._out)
            if failed:
                self._give_up_cleaning(failed)
        held = self._held
        if held is not None and self._at >= held.until and self.stage not in {Stage.CLEANING, Stage.DISCARDING}:
            self._held = None
            self._refuse(held.order.attempt, held.why or f"the builder is {self._doing()}")
            self._pause_until = self._ready_at = self._at + self.timers.hold

    def _give_up_cleaning(self, words: str) -> None:
        held, self._held = self._held, None
        self._distrust(NotOkKind.UNREACHABLE, words)
        if held is not None:
            self._refuse(held.order.attempt, f"the slave {words}")

    # --- small things -----------------------------------------------------------------------------

    def _look_after_work(self) -> None:
        """Refuse the attempt in hand if this machine's own disk can't serve it."""
        work = self.work
        if work is None or not work.refusal:
            return
        attempt = work.order.attempt
        self._close(attempt)
        self._tell_refused(attempt, work.refusal)
        self._pause_until = self._at + self.timers.librarian_retry
        self._settle(believed=True)

    def _close(self, attempt: UUID, *, recorded: bool = False) -> None:
        self.work, self._remains.attempt = None, attempt
        self._over.append(attempt)
        self._out.append(LetGo(attempt, log_recorded=recorded))

    def _step(self, step: Step) -> None:
        self.stage = next_stage(self.stage, step, self.story)

    def _tell(self, message: Ready | JobRefused | ProbePassed | AdoptionWanted | RuntimeChanged) -> None:
        self._out.append(Tell(message))

    def _tell_ready(self) -> None:
        self._ready_at = self._at + self.timers.ready_again
        self._tell(Ready(self.row.name, self.generation, self.session.epoch))

    def _probe_passed(self) -> None:
        if self._probed != self.session.epoch:
            self._probed, self.session.troubled = self.session.epoch, None
            self._tell(ProbePassed(self.row.name, self.generation))

    def _say_probed(self) -> None:
        """Say again, if it is so, that the slave of this very session has passed its probe."""
        if self.session.open and self._probed == self.session.epoch:
            self._tell(ProbePassed(self.row.name, self.generation))

    def _note_runtime(self) -> None:
        attempt = None if self.work is None else self.work.stage
        done = (self.session.state, self.stage, attempt)
        if done == self._noted and self._runtime.settled:
            return
        self._noted = done
        state = runtime_state(self.session, self.stage, attempt)
        now = RuntimeChanged(self.row.name, self.generation, state, self.session.open)
        self._runtime.note(self._at, now, self._out)

    def _stages(self) -> tuple[Stage] | tuple[Stage, AttemptStage]:
        return (self.stage,) if self.work is None else (self.stage, self.work.stage)

    def _doing(self) -> str:
        return "/".join(stage.value for stage in self._stages())

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what the core is thinking, in words, in order."""
        session, work = self.session, self.work
        status = session.status
        return (
            ("stage", self._doing()),
            ("attempt", "" if work is None else work.name),
            ("session", f"{session.state.value}, epoch {session.epoch}, {session.failures} failures in a row"),
            ("slave", "" if status is None else f"{status.state.value} {status.attempt or ''}".strip()),
            ("backend", "" if session.welcome is None else session.welcome.backend),
            ("trusted", str(self.row.trusted)),
            ("ok", "yes" if self.row.builderok else f"no: {self.row.failnotes}"),
            ("trouble", "" if session.troubled is None else session.troubled.failnotes),
            ("own disk", "" if work is None else work.trouble),
            ("held", "" if self._held is None else f"{self._held.order.attempt} {self._held.why}".strip()),
            ("last event", self.story[-1] if self.story else ""),
        )

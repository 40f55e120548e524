"""The slave of one builder, and what it is given to do: an order that fits, the attempt it holds, what a closed one left.

Part of `actors.core.builder.core`, which hears of the queue actor and the slave, and says what is to be done.  Here the
builder's actor goes from stage to stage (`actors.core.builder.stages`): the slave is found IDLE, begins what is held,
goes on with what it has, or is brought back to IDLE.
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from actors.core.builder.assigned import Assigned, Held
from actors.core.builder.attempt.in_hand import AttemptInHand
from actors.core.builder.fit import misfit
from actors.core.builder.orders import LetGo, Order
from actors.core.builder.remains import Remains
from actors.core.builder.reports import Reports
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, Stage, Step, next_stage
from actors.core.builder.story import Story
from actors.core.timers import Timers
from protocol.messages import SlaveState, Status
from storage.records import Builder, BuildOrder, NotOkKind


class SlaveInHand:
    """What one builder's slave is about."""

    def __init__(self, session: Session, timers: Timers, story: Story) -> None:
        """Begin without a session, and with nothing to do."""
        self.session = session
        self.timers = timers
        self.story = story
        self.stage = Stage.AWAY
        self.work: AttemptInHand | None = None
        self.assigned = Assigned()
        self.remains = Remains(session, timers)
        self.reports = Reports(session)

    @property
    def row(self) -> Builder:
        """The builder's row, as last heard of."""
        return self.session.row

    @property
    def stages(self) -> tuple[Stage] | tuple[Stage, AttemptStage]:
        """What the actor is about, and how far the attempt in hand has come."""
        return (self.stage,) if self.work is None else (self.stage, self.work.stage)

    def doing(self) -> str:
        """Return the stages in words."""
        return "/".join(stage.value for stage in self.stages)

    @property
    def in_hand(self) -> UUID | None:
        """The attempt whose end will be reported, or that it is refused."""
        if self.work is not None:
            return self.work.order.attempt
        return None if self.assigned.held is None else self.assigned.held.order.attempt

    def works_on(self, attempt: UUID) -> bool:
        """Return whether `attempt` is in hand."""
        return self.work is not None and self.work.order.attempt == attempt

    def holds(self, attempt: UUID) -> bool:
        """Return whether the slave says that it has `attempt`."""
        return self.session.status is not None and self.session.status.attempt == str(attempt)

    def take_times(self, timers: Timers) -> None:
        """Wait for what is waited for as long as `timers` say, from now on."""
        self.timers = self.session.timers = self.remains.timers = timers
        if self.work is not None:
            self.work.timers = timers

    # --- something to do --------------------------------------------------------------------------

    def hold(self, at: float, order: BuildOrder) -> None:
        """Keep an order for a while, for it may not fit *yet*."""
        self.assigned.held = Held(order, at + self.timers.hold)

    def start_held(self, at: float, out: list[Order]) -> None:
        """Begin the held order if the slave is there for it; trust is matched exactly, both ways."""
        held = self.assigned.held
        if held is None or self.stage is not Stage.IDLE:
            return
        order, welcome = held.order, self.session.welcome
        offered = welcome.architectures if welcome is not None else ()
        if order.trusted != self.row.trusted:
            sides = f"trusted is {self.row.trusted} of the builder and {order.trusted} of the build"
            self.assigned.held = Held(order, held.until, f"trust does not match: {sides}")
        elif order.architecture not in {*offered, "all"}:
            self.assigned.held = None
            words = f"the slave builds for {', '.join(offered)}, not for {order.architecture}"
            self.refuse(order.attempt, words, out)
            self.reports.pause(at + self.timers.ready_again)
            unfit = misfit(self.row, welcome) if welcome is not None else ""
            if unfit:  # its families were changed while it was connected
                self.distrust(at, NotOkKind.MISFIT, f"does not fit: {unfit}", out)
        else:
            self.assigned.held = None
            self._take(order).begin(at, out)

    def adopt(self, at: float, order: BuildOrder, out: list[Order]) -> None:
        """Take an attempt in hand that the slave has begun already."""
        status = self.session.status
        if status is None:
            return
        work = self._take(order)
        self.reports.probe_passed(out)
        work.adopt(at, status, out)

    def _take(self, order: BuildOrder) -> AttemptInHand:
        self._step(Step.TAKE)
        self.work = AttemptInHand(order, self.session, self.timers, self.story)
        return self.work

    def refuse(self, attempt: UUID, why: str, out: list[Order]) -> None:
        """Refuse what was not begun."""
        self.assigned.over.append(attempt)
        self.reports.refuse(attempt, why, out)

    def ask_adoption(self, at: float, out: list[Order]) -> None:
        """Ask the queue actor what is to become of the attempt that the slave holds."""
        status = self.session.status
        if status is None or status.attempt is None:
            return
        self.reports.ask_again_at = at + self.timers.resend
        self.reports.holds(UUID(status.attempt), out)

    # --- back to IDLE -----------------------------------------------------------------------------

    def _idle(self, at: float, out: list[Order]) -> None:
        """The slave is IDLE and clean: say so, and take the next order."""
        self._step(Step.SLAVE_IDLE)
        self.reports.probe_passed(out)
        self.reports.ready_at = max(self.reports.pause_until, at)
        self.start_held(at, out)
        if self.stage is Stage.IDLE and self.assigned.held is None and at >= self.reports.ready_at:
            self.reports.ready(at, out)

    def close(self, attempt: UUID, out: list[Order], *, recorded: bool = False) -> None:
        """Let go of the attempt in hand, which is over; `settle` comes next."""
        self.work, self.remains.attempt = None, attempt
        self.assigned.over.append(attempt)
        out.append(LetGo(attempt, log_recorded=recorded))

    def settle(self, at: float, out: list[Order], *, believed: bool, asked: bool = False) -> None:
        """Bring the slave back to IDLE after an attempt that is closed.

        Args:
            at: now.
            out: takes the orders.
            believed: False: what the slave says of its state counts only in a new session.
            asked: `Build` was sent and not answered: the slave may begin at any time.
        """
        if not self.session.open:
            self._step(Step.PART)
        elif not believed:
            self.restart_session(at, "what the slave says of itself is not to be believed", out)
        else:
            self.discard(at, out, asked=asked)

    def discard(self, at: float, out: list[Order], *, asked: bool = False) -> None:
        """Have the slave drop the closed attempt: abort it if it runs, clean what is left of it."""
        status = self.session.status
        if status is None:
            return
        step = self.remains.discard(at, status, out, asked=asked)
        if step is None:
            self.restart_session(at, f"the slave holds attempt {status.attempt}", out)
        elif step is Step.SLAVE_IDLE:
            self._idle(at, out)
        else:
            self._step(step)

    def overdue(self, at: float, out: list[Order]) -> None:
        """Press a slave that does not drop a closed attempt; in the end, give it up."""
        failed = self.remains.overdue(at, self.stage, out)
        if not failed:
            return
        held, self.assigned.held = self.assigned.held, None
        self.distrust(at, NotOkKind.UNREACHABLE, failed, out)
        if held is not None:
            self.refuse(held.order.attempt, f"the slave {failed}", out)

    # --- what it says of itself -------------------------------------------------------------------

    def session_opened(self, at: float, out: list[Order]) -> None:
        """Look what the slave is about in its new session."""
        status = self.session.status
        if status is None:
            return
        held = self.assigned.held
        if self.work is not None:
            self.reports.probe_passed(out)
            self.work.session_opened(at, status, out)
        elif status.state is SlaveState.IDLE:
            self._idle(at, out)
        elif self.remains.held(status):
            self.discard(at, out)
        elif held is not None and status.attempt == str(held.order.attempt):
            self.assigned.held = None
            self.adopt(at, held.order, out)
        else:
            self._step(Step.SLAVE_HOLDS)
            self.ask_adoption(at, out)

    def status_changed(self, at: float, status: Status, out: list[Order]) -> None:
        """Compare what the slave says of itself, while nothing is in hand, with what was expected."""
        closed = self.remains.held(status)
        match self.stage, status.state:
            case Stage.IDLE, SlaveState.IDLE:
                pass
            case Stage.DISCARDING, SlaveState.IDLE if self.remains.unsure:
                pass
            case ((Stage.DISCARDING | Stage.CLEANING), SlaveState.IDLE):
                self._idle(at, out)
            case Stage.DISCARDING, SlaveState.WAITING if closed:
                self.discard(at, out)
            case ((Stage.DISCARDING | Stage.CLEANING), _) if closed:
                pass
            case Stage.ADOPTING, (SlaveState.BUILDING | SlaveState.ABORTING | SlaveState.WAITING):
                pass  # the answer of the queue actor will say what is to be done about it
            case Stage.ADOPTING, _:
                self.restart_session(at, "the slave forgot the attempt it held", out)
            case _:
                holds = f"is {status.state.value} with attempt {status.attempt}, which nobody asked for"
                self.distrust(at, NotOkKind.BREACH, holds, out)

    # --- the session ends -------------------------------------------------------------------------

    def connection_ended(
        self, at: float, reason: str, out: list[Order], *, lied: bool = False, unfit: bool = False
    ) -> None:
        """Take it that the connection broke, or came to nothing."""
        if self.session.state in {SessionState.RESTING, SessionState.ASKING}:
            return  # there was none
        self.session.ended(at, reason, out, lied=lied, unfit=unfit)
        self.session_lost(at, reason, out, lied=lied)

    def restart_session(self, at: float, reason: str, out: list[Order]) -> None:
        """Begin a new session with the slave, without blame."""
        self.session.restart(at, reason, out)
        self.session_lost(at, reason, out)

    def distrust(self, at: float, kind: NotOkKind, words: str, out: list[Order]) -> None:
        """End the session with a slave that is not ok."""
        self.session.distrust(at, kind, words, out)
        self.session_lost(at, words, out)

    def session_lost(self, at: float, reason: str, out: list[Order], *, lied: bool = False) -> None:
        """Go on without a session."""
        if self.work is not None:
            self.work.session_ended(at, reason, out, lied=lied)
        elif self.stage is not Stage.AWAY:
            self._step(Step.PART)

    # --- time -------------------------------------------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Whether the slave is about to drop a closed attempt: what is held waits for that as long as it takes."""
        return self.stage is Stage.CLEANING or self.stage is Stage.DISCARDING

    def deadline(self) -> float:
        """Return the second at which `tick` has something to do."""
        due = self.session.deadline()
        held = self.assigned.held
        if self.work is not None:
            due = min(due, self.work.deadline())
        if held is not None and not self.leaving:
            due = min(due, held.until)
        if self.leaving:
            due = min(due, self.remains.deadline)
        elif self.stage is Stage.ADOPTING:
            due = min(due, self.reports.ask_again_at)
        elif self.stage is Stage.IDLE and held is None:
            due = min(due, self.reports.ready_at)
        return due

    def tick(self, at: float, out: list[Order]) -> None:
        """Act on deadlines that have come, the session's aside."""
        match self.stage:
            case _ if self.work is not None:
                self.work.tick(at, out)
            case Stage.IDLE:
                if self.assigned.held is None and at >= self.reports.ready_at:
                    self.reports.ready(at, out)
            case Stage.ADOPTING:
                if at >= self.reports.ask_again_at:
                    self.ask_adoption(at, out)
            case Stage.DISCARDING | Stage.CLEANING:
                if at >= self.remains.deadline:
                    self.overdue(at, out)
            case Stage.AWAY | Stage.WORKING:
                pass
            case _:
                assert_never(self.stage)
        held = self.assigned.held
        if held is not None and at >= held.until and not self.leaving:
            self.assigned.held = None
            self.refuse(held.order.attempt, held.why or f"the builder is {self.doing()}", out)
            self.reports.pause(at + self.timers.hold)

    def _step(self, step: Step) -> None:
        self.stage = next_stage(self.stage, step, self.story)

"""One attempt, from its order to its recorded end; `actors.core.builder.stages` has the table of its stages.

Part of `actors.core.builder.slave_in_hand`, which holds at most one of these and knows the slave before and after.  An
attempt outlives sessions: a connection that breaks is resumed within `Timers.reconnect` seconds without blame.
Everything that a slave can say, in whatever order, ends in a named outcome; nothing it says raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from actors.core.builder.attempt.ending import Ending, breach, contradiction, ended, lost, rejection, slave_failed
from actors.core.builder.attempt.gathering import Gathering
from actors.core.builder.attempt.log_following import LogFollowing
from actors.core.builder.attempt.preparation import Preparation
from actors.core.builder.attempt.reporting import finished, refused_by
from actors.core.builder.attempt.sealing import Sealing
from actors.core.builder.attempt.stopping import Stopping
from actors.core.builder.attempt.translation import log_name, needs_chroot, wire_build
from actors.core.builder.events import (
    ChangesRead,
    ControlRead,
    LibrarianRefused,
    LogKept,
    LogOpened,
    ResultKept,
    ResultSpoilt,
    Store,
)
from actors.core.builder.orders import OpenLog, Order, Send, Tell
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, AttemptStep, next_attempt_stage
from actors.core.timers import Timers
from actors.messages import DiskRefused, GatheringStarted, Started
from protocol.messages import (
    Accepted,
    ChunkAck,
    FetchData,
    Log,
    Present,
    PushFailed,
    Rejected,
    SlaveMessage,
    SlaveState,
    Status,
)
from storage.records import BuildOrder, Outcome

WALL_GRACE = 120.0  #: seconds that a slave may exceed a build's wall-time limit before it is told to stop

_S = AttemptStage
_RUNNING = {_S.PREPARING, _S.REQUESTED, _S.BUILDING, _S.STOPPING, _S.GATHERING}  #: it has not ended yet

Stored = LogOpened | LogKept | ResultKept | ResultSpoilt | ChangesRead | ControlRead | LibrarianRefused


@dataclass(slots=True)
class AttemptInHand:
    """The attempt that a builder's actor works on."""

    order: BuildOrder
    session: Session
    timers: Timers
    story: Sequence[str]  #: the builder's, for `ImpossibleStep`
    stage: AttemptStage = AttemptStage.PREPARING
    ending: Ending | None = None  #: set once it has ended
    refusal: str = ""  #: why it must be refused, by no fault of slave or build; the builder looks after every call
    trouble: str = ""  #: what this machine's own disk said last
    name: str = field(init=False)  #: the attempt as the wire spells it
    _log: LogFollowing = field(init=False)
    _sealing: Sealing = field(init=False)
    _preparation: Preparation | None = None
    _gathering: Gathering | None = None
    _stopping: Stopping | None = None
    _request: int = 0  # number of the `Build`
    _deadline: float = 0.0
    _reconnect_by: float | None = None  # the session is gone; then the attempt is lost

    def __post_init__(self) -> None:
        self.name = str(self.order.attempt)
        self._log = LogFollowing(self.order.attempt)
        self._sealing = Sealing(self._log)

    @property
    def _part(self) -> Preparation | Gathering | Stopping | None:
        """What the stage is about, where that is a matter of its own."""
        match self.stage:
            case _S.PREPARING:
                return self._preparation
            case _S.GATHERING:
                return self._gathering
            case _S.STOPPING:
                return self._stopping
            case _:
                return None

    # --- beginnings -------------------------------------------------------------------------------

    def begin(self, at: float, out: list[Order]) -> None:
        """Prepare the slave, which is IDLE and clean."""
        with_chroot = needs_chroot(self._backend())
        self._preparation = Preparation.of(self.order, self.timers.transfer, with_chroot=with_chroot)
        self._preparation.begin(at, self.session, out)
        self._request_when_prepared(at, out)

    def adopt(self, at: float, status: Status, out: list[Order]) -> None:
        """Follow what the slave, as `status` says, has begun in an earlier session."""
        out.append(OpenLog(self.order.attempt, fresh=False))
        self._accepted(at, out, elapsed=status.duration)
        self._follow_status(at, status, out)

    def session_opened(self, at: float, status: Status, out: list[Order]) -> None:
        """Go on in a new session, whose slave is as `status` says."""
        self._reconnect_by = None
        if self.stage not in _RUNNING:
            if status.attempt != self.name:
                self._log.announced = None  # no more of it will come
            self._finish_log(at, out)
            return
        if status.attempt is not None and status.attempt != self.name:
            self._end(at, breach(f"the slave holds attempt {status.attempt}, this one was given to it"), out)
        elif status.state is SlaveState.IDLE:
            self._forgotten(at, out)
        elif self.stage is _S.PREPARING:
            self.adopt(at, status, out)
        else:
            gathering = self._gathering
            if self._stopping is not None and self.stage is _S.STOPPING and status.state is SlaveState.BUILDING:
                self._stopping.press(at, self.session, out)
            self._follow_status(at, status, out)
            if self.stage is _S.GATHERING and gathering is not None:
                gathering.resume(at, self.session, out)
            self._follow_log(at, out)

    def _forgotten(self, at: float, out: list[Order]) -> None:
        """Act on a slave that, on a new session, is IDLE."""
        match self.stage:
            case _S.PREPARING:
                self.begin(at, out)
            case _S.REQUESTED:
                self._move(AttemptStep.AGAIN)
                self.begin(at, out)
            case _S.STOPPING if self._stopping is not None:
                self._end(at, self._stopping.ending, out)
            case _:
                self._end(at, Ending(Outcome.LOST, "the slave no longer knows the attempt"), out)

    def session_ended(self, at: float, reason: str, out: list[Order], *, lied: bool) -> None:
        """Note that the session is gone: for good if the slave lied, else for a while."""
        self._log.disconnected()
        if self._gathering is not None:
            self._gathering.disconnected()
        if lied and self.stage in _RUNNING:
            self._end(at, slave_failed(f"the slave broke the protocol: {reason}", believed=False), out)
        elif self._reconnect_by is None:
            self._reconnect_by = at + self.timers.reconnect

    def session_granted(self, at: float) -> None:
        """Note that only now a connection can be made: the queue actor's silence is not the slave's fault."""
        if self._reconnect_by is not None:
            self._reconnect_by = max(self._reconnect_by, at + self.timers.reconnect)

    def cancel(self, at: float, out: list[Order]) -> None:
        """Stop it, and report it as ABORTED."""
        cancelled = Ending(Outcome.ABORTED, "cancelled")
        match self.stage:
            case _S.PREPARING | _S.GATHERING:
                self._end(at, cancelled, out)
            case _S.REQUESTED | _S.BUILDING:
                self._halt(at, cancelled, out)
            case _S.STOPPING | _S.SEALING | _S.REPORTING:
                pass  # it ends, or has ended

    # --- the slave speaks -------------------------------------------------------------------------

    def said(self, at: float, message: SlaveMessage, out: list[Order]) -> None:
        """Take what the slave says in an open session."""
        ending: Ending | None = None
        match message:
            case Status():
                self._follow_status(at, message, out)
            case Log(attempt) if attempt != self.name:
                if self.stage in _RUNNING:
                    ending = breach(f"the slave sends the log of attempt {attempt}")
            case Log():
                ending = self._log.arrived(at, message, out)
            case Present() | ChunkAck() | PushFailed():
                ending = self._prepare(at, message, out)
            case Accepted(id) if id == self._request and self.stage is _S.REQUESTED:
                self._accepted(at, out)
            case Rejected():
                ending = self._rejected(message)
            case FetchData() if self._gathering is not None and self.stage is _S.GATHERING:
                ending = self._gathering.arrived(at, message, out)
            case _:
                pass  # heartbeats, answers to what is no longer asked
        if ending is not None and self.stage in _RUNNING:
            self._end(at, ending, out)
        elif self.stage is _S.SEALING:
            self._finish_log(at, out, distrusted=ending is not None)

    def _prepare(self, at: float, message: Present | ChunkAck | PushFailed, out: list[Order]) -> Ending | None:
        if self.stage is not _S.PREPARING or self._preparation is None:
            return None
        ending = self._preparation.answered(at, message, self.session, out)
        if ending is None:
            self._request_when_prepared(at, out)
        return ending

    def _request_when_prepared(self, at: float, out: list[Order]) -> None:
        if self._preparation is None or not self._preparation.done:
            return
        self._move(AttemptStep.PREPARED)
        self._request, self._deadline = self.session.next_id(), at + self.timers.accepted
        out.append(Send(wire_build(self._request, self.order, self._backend())))
        out.append(OpenLog(self.order.attempt, fresh=True))
        self._log.offset = None

    def _rejected(self, answer: Rejected) -> Ending | None:
        part = self._part
        if isinstance(part, (Preparation, Gathering)):
            return part.refused(answer)
        return rejection(answer) if self.stage is _S.REQUESTED and answer.id == self._request else None

    def _accepted(self, at: float, out: list[Order], *, elapsed: float = 0.0) -> None:
        self._move(AttemptStep.ACCEPTED)
        self._deadline = at - elapsed + self.order.wall_seconds + WALL_GRACE
        out.append(Tell(Started(self.session.row.name, self.session.generation, self.order.attempt)))
        self._follow_log(at, out)

    def _follow_log(self, at: float, out: list[Order]) -> None:
        if self.session.open and self.stage not in {_S.PREPARING, _S.REQUESTED, _S.REPORTING}:
            self._log.follow(at, out)

    def _follow_status(self, at: float, status: Status, out: list[Order]) -> None:
        """Take the slave's word on what it does; a word that does not fit ends the attempt."""
        if self.stage not in _RUNNING:
            return
        wrong = contradiction(self.name, self.stage, status)
        if wrong is not None:
            self._end(at, wrong, out)
            return
        match self.stage, status.state:
            case _S.STOPPING, SlaveState.IDLE if self._stopping is not None:
                self._end(at, self._stopping.ending, out)
            case _S.REQUESTED, state if state is not SlaveState.IDLE:
                self._accepted(at, out)
                self._follow_status(at, status, out)
            case ((_S.BUILDING | _S.STOPPING), SlaveState.WAITING):
                self._slave_ended(at, status, out)
            case _:
                pass  # as it should be

    def _slave_ended(self, at: float, status: Status, out: list[Order]) -> None:
        self._log.announced = status.log_size
        ending = ended(status) if self._stopping is None else self._stopping.ending
        if ending is not None:
            self._end(at, ending, out)
            return
        gathering = Gathering(self.order, status.files, self.timers.transfer)
        objection = gathering.objection()
        if objection is not None:
            self._end(at, objection, out)
            return
        self._move(AttemptStep.RESULTS)
        self._gathering = gathering
        out.append(Tell(GatheringStarted(self.session.row.name, self.session.generation, self.order.attempt)))
        gathering.resume(at, self.session, out)

    # --- this machine's disk answers --------------------------------------------------------------

    def stored(self, event: Stored, out: list[Order]) -> None:
        """Take the answer to an order about files; of another attempt it means nothing."""
        if event.attempt != self.order.attempt:
            return
        match event:
            case LogOpened(at, _, size):
                self._log.opened(size)
                self._follow_log(at, out)
                self._finish_log(at, out)
            case LogKept(at, _, log):
                if self.stage is _S.SEALING and self._sealing.stored(log):
                    self._report(at, out)
            case LibrarianRefused():
                self._disk_refused(event, out)
            case ResultKept() | ResultSpoilt() | ChangesRead() | ControlRead():
                if self._gathering is not None and self.stage is _S.GATHERING:
                    ending = self._gathering.stored(event, self.session, out)
                    if ending is not None:
                        self._end(event.at, ending, out)
            case _:
                assert_never(event)

    def _disk_refused(self, event: LibrarianRefused, out: list[Order]) -> None:
        self.trouble = event.text
        refusal = refused_by(event)
        if refusal:
            self.refusal = refusal if self.stage is _S.PREPARING else self.refusal
            return
        if event.store is Store.LOG:
            self._log.pause(event.at, self.timers.librarian_retry)
        elif self._gathering is not None:
            self._gathering.pause(event.at, self.timers.librarian_retry)
        row = self.session.row
        out.append(Tell(DiskRefused(row.name, self.session.generation, self.order.attempt, event.text)))

    # --- endings ----------------------------------------------------------------------------------

    def _halt(self, at: float, ending: Ending, out: list[Order]) -> None:
        """Have the slave stop the build; `ending` is how it will have ended."""
        self._move(AttemptStep.STOP)
        self._stopping = Stopping(self.name, ending, at + self.timers.abort_polite)
        self._stopping.press(at, self.session, out)

    def _end(self, at: float, ending: Ending, out: list[Order]) -> None:
        begun = self.stage is not _S.PREPARING
        self._move(AttemptStep.ENDED)
        self.ending = ending
        self._log.moved_at = at
        if begun:
            self._finish_log(at, out)
        else:
            self._report(at, out)

    def _finish_log(self, at: float, out: list[Order], *, distrusted: bool = False) -> None:
        """Store the log, once the attempt has ended and no more of it will come."""
        if self.stage is not _S.SEALING or self.ending is None or self._log.offset is None:
            return
        resumable = self.session.open or self._reconnect_by is not None
        if self.ending.believed and not distrusted and resumable and self._sealing.waits(at, self.timers.transfer):
            self._follow_log(at, out)
            return
        self._sealing.store(log_name(self.order), out)

    def _report(self, at: float, out: list[Order]) -> None:
        self._move(AttemptStep.SEALED)
        self._tell_finished(at, out)

    def _tell_finished(self, at: float, out: list[Order]) -> None:
        if self.ending is None:
            return
        self._deadline = at + self.timers.resend
        out.append(Tell(finished(self.order, self.session, self.ending, self._gathering, self._sealing.kept)))

    def repeat(self, at: float, out: list[Order]) -> bool:
        """Tell a restarted queue actor what it may not know; return False if it must be asked about the attempt."""
        if self.stage is not _S.REPORTING:
            return False
        self._tell_finished(at, out)
        return True

    # --- time -------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """Return the second at which `tick` has something to do."""
        due = math.inf
        if self._reconnect_by is not None and self.stage is not _S.REPORTING:
            due = self._reconnect_by
        if self._log.pause_ends is not None:
            due = min(due, self._log.pause_ends)
        if self.stage is _S.REPORTING:
            return min(due, self._deadline)
        if self.stage is _S.SEALING:
            return min(due, self._sealing.deadline(self.timers.transfer))
        return min(due, self._stage_deadline()) if self.session.open else due

    def _stage_deadline(self) -> float:
        return self._deadline if self._part is None else self._part.deadline

    def tick(self, at: float, out: list[Order]) -> None:
        """Act on deadlines that have come."""
        self._sealing.resume(at, out)
        if self._reconnect_by is not None and at >= self._reconnect_by:
            self._not_resumed(at, out)
        if self.stage is _S.REPORTING:
            if at >= self._deadline:
                self._tell_finished(at, out)
        elif self.stage is _S.SEALING:
            self._finish_log(at, out)
        elif self.session.open and at >= self._stage_deadline():
            self._overdue(at, out)

    def _not_resumed(self, at: float, out: list[Order]) -> None:
        if self.session.state is SessionState.ASKING:
            self._reconnect_by = at + self.timers.reconnect  # it is the queue actor that is waited for
            return
        self._reconnect_by = None
        if self.stage not in _RUNNING:
            return
        words = f"the connection to the slave broke and was not resumed within {self.timers.reconnect:g} seconds"
        self._end(at, lost(words) if self._stopping is None else self._stopping.ending, out)

    def _overdue(self, at: float, out: list[Order]) -> None:
        ending: Ending | None = None
        if self._part is not None:
            ending = self._part.overdue(at, self.session, out)
        elif self.stage is _S.REQUESTED:
            ending = lost(f"the slave did not answer the build request within {self.timers.accepted:g} seconds")
        elif self.stage is _S.BUILDING:
            limit = f"{self.order.wall_seconds:g} seconds"
            self._halt(at, Ending(Outcome.TIMEOUT, f"the build took longer than its limit of {limit}"), out)
        if ending is not None:
            self._end(at, ending, out)

    # --- small things -----------------------------------------------------------------------------

    def _backend(self) -> str:
        return "" if self.session.welcome is None else self.session.welcome.backend

    def _move(self, step: AttemptStep) -> None:
        self.stage = next_attempt_stage(self.stage, step, self.story)

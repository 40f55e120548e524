"""One attempt, from its order to its recorded end; `actors.core.builder.stages` has the table of its stages.

Part of `actors.core.builder.core`, which holds at most one of these and knows the slave before and after.  An attempt
outlives sessions: a connection that breaks is resumed within `Timers.reconnect` seconds without blame.  Everything that
a slave can say, in whatever order, ends in a named outcome; nothing it says raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from actors.core.builder.attempt.ending import OUTCOMES, Ending, breach, lost, slave_failed
from actors.core.builder.attempt.gathering import Gathering
from actors.core.builder.attempt.log_following import LogFollowing
from actors.core.builder.attempt.preparation import Preparation
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
from actors.core.builder.orders import KeepLog, OpenLog, Order, Send, Tell
from actors.core.builder.session import Session, SessionState
from actors.core.builder.stages import AttemptStage, AttemptStep, next_attempt_stage
from actors.core.dependencies.waits import reported
from actors.core.timers import Timers
from actors.messages import DiskRefused, Finished, GatheringStarted, ResultStored, Started
from protocol.messages import (
    Abort,
    Accepted,
    ChunkAck,
    FetchData,
    Log,
    Present,
    PushFailed,
    Rejected,
    RejectionCode,
    SlaveMessage,
    SlaveState,
    Status,
    WireOutcome,
)
from protocol.shapes import fit_text
from storage.records import BuildOrder, Outcome

WALL_GRACE = 120.0  #: seconds that a slave may exceed a build's wall-time limit before it is told to stop

_BREACHES = {RejectionCode.NOT_IDLE, RejectionCode.NOT_CLEAN, RejectionCode.WRONG_ATTEMPT}
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
    _kept_log: ResultStored | None = None
    _preparation: Preparation | None = None
    _gathering: Gathering | None = None
    _stop: Ending | None = None  # how it will have ended, once the slave has stopped it
    _pressed: bool = False  # the second Abort was sent
    _sealing: bool = False  # the log is being stored
    _request: int = 0  # number of the `Build`
    _deadline: float = 0.0
    _reconnect_by: float | None = None  # the session is gone; then the attempt is lost

    def __post_init__(self) -> None:
        self.name = str(self.order.attempt)
        self._log = LogFollowing(self.order.attempt)

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
            if self.stage is _S.STOPPING and status.state is SlaveState.BUILDING:
                self._abort(at, out)
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
            case _S.STOPPING if self._stop is not None:
                self._end(at, self._stop, out)
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
        match message:
            case Present():
                ending = self._preparation.present(at, message, out)
            case ChunkAck():
                ending = self._preparation.acked(at, message, out)
            case PushFailed():
                ending = self._preparation.failed(at, message, self.session, out)
            case _:
                assert_never(message)
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
        if self.stage is _S.PREPARING and self._preparation is not None:
            return self._preparation.refused(answer)
        if self.stage is _S.GATHERING and self._gathering is not None:
            return self._gathering.refused(answer)
        if self.stage is not _S.REQUESTED or answer.id != self._request:
            return None
        words = f"the slave rejected the build: {answer.code.value}: {answer.text}"
        return breach(words) if answer.code in _BREACHES else slave_failed(words)

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
        if status.attempt is not None and status.attempt != self.name:
            self._end(at, breach(f"the slave says that it is {status.state.value} with {status.attempt}"), out)
            return
        match self.stage, status.state:
            case ((_S.PREPARING | _S.REQUESTED), SlaveState.IDLE):
                pass
            case _S.PREPARING, _:
                self._end(at, breach(f"the slave is {status.state.value} before it was asked to build"), out)
            case _S.STOPPING, SlaveState.IDLE if self._stop is not None:
                self._end(at, self._stop, out)
            case _, SlaveState.IDLE:
                self._end(at, slave_failed("the slave dropped the build by itself"), out)
            case _S.REQUESTED, _:
                self._accepted(at, out)
                self._follow_status(at, status, out)
            case ((_S.BUILDING | _S.STOPPING), SlaveState.WAITING):
                self._slave_ended(at, status, out)
            case _S.GATHERING, (SlaveState.BUILDING | SlaveState.ABORTING):
                words = f"the slave is {status.state.value} again after the build had ended"
                self._end(at, slave_failed(words, believed=False), out)
            case _:
                pass  # as it should be

    def _slave_ended(self, at: float, status: Status, out: list[Order]) -> None:
        self._log.announced = status.log_size
        if self._stop is not None:
            self._end(at, self._stop, out)
        elif status.outcome is None:
            self._end(at, slave_failed("the slave ended the build without an outcome"), out)
        elif status.outcome is WireOutcome.OK:
            gathering = Gathering(self.order, status.files, self.timers.transfer)
            objection = gathering.objection()
            if objection is not None:
                self._end(at, objection, out)
                return
            self._move(AttemptStep.RESULTS)
            self._gathering = gathering
            out.append(Tell(GatheringStarted(self.session.row.name, self.session.generation, self.order.attempt)))
            gathering.resume(at, self.session, out)
        else:
            text = status.text or f"the slave says {status.outcome.value}"
            self._end(at, Ending(OUTCOMES[status.outcome], text, status.dependencies), out)

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
                if self.stage is _S.SEALING and self._log.pause_ends is None:  # else it lacks what could not be written
                    self._kept_log = log
                    self._report(at, out)
            case LibrarianRefused():
                self._disk_refused(event, out)
            case ResultKept() | ResultSpoilt() | ChangesRead() | ControlRead():
                self._result_stored(event, out)
            case _:
                assert_never(event)

    def _result_stored(self, event: ResultKept | ResultSpoilt | ChangesRead | ControlRead, out: list[Order]) -> None:
        if self._gathering is None or self.stage is not _S.GATHERING:
            return
        match event:
            case ResultKept():
                ending = self._gathering.kept(event, self.session, out)
            case ResultSpoilt():
                ending = self._gathering.spoilt(event)
            case ChangesRead():
                ending = self._gathering.changes_read(event, out)
            case ControlRead():
                ending = self._gathering.control_read(event, out)
            case _:
                assert_never(event)
        if ending is not None:
            self._end(event.at, ending, out)

    def _disk_refused(self, event: LibrarianRefused, out: list[Order]) -> None:
        self.trouble = event.text
        match event.store:
            case Store.FILES:
                if self.stage is _S.PREPARING:
                    self.refusal = f"the master's own disk: {event.text}"
            case Store.SERVING:
                if self.stage is _S.PREPARING:
                    self.refusal = f"this master's own fault: {event.text}"
            case Store.LOG:
                self._log.pause(event.at, self.timers.librarian_retry)
            case Store.RESULTS:
                if self._gathering is not None:
                    self._gathering.pause(event.at, self.timers.librarian_retry)
            case _:
                assert_never(event.store)
        if event.store not in {Store.FILES, Store.SERVING}:
            row = self.session.row
            out.append(Tell(DiskRefused(row.name, self.session.generation, self.order.attempt, event.text)))

    # --- endings ----------------------------------------------------------------------------------

    def _halt(self, at: float, ending: Ending, out: list[Order]) -> None:
        """Have the slave stop the build; `ending` is how it will have ended."""
        self._stop = ending
        self._move(AttemptStep.STOP)
        self._pressed, self._deadline = False, at + self.timers.abort_polite
        self._abort(at, out)

    def _abort(self, at: float, out: list[Order]) -> None:
        if self.session.open:
            self._deadline = at + (self.timers.abort_forced if self._pressed else self.timers.abort_polite)
            out.append(Send(Abort(self.session.next_id(), self.name)))

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
        more_to_come = self._log.announced is not None and not self._log.complete
        if more_to_come and self.ending.believed and not distrusted:
            resumable = self.session.open or self._reconnect_by is not None
            if resumable and at < self._log.moved_at + self.timers.transfer:
                self._follow_log(at, out)
                return
        if not self._sealing:
            self._sealing = True
            out.append(KeepLog(self.order.attempt, log_name(self.order)))

    def _report(self, at: float, out: list[Order]) -> None:
        self._move(AttemptStep.SEALED)
        self._tell_finished(at, out)

    def _tell_finished(self, at: float, out: list[Order]) -> None:
        if self.ending is None:
            return
        self._deadline = at + self.timers.resend
        gathered = self._gathering if self.ending.outcome is Outcome.OK else None
        finished = Finished(
            builder=self.session.row.name,
            generation=self.session.generation,
            session=self.session.epoch,
            attempt=self.order.attempt,
            outcome=self.ending.outcome,
            text=fit_text(self.ending.text),  # it may quote what a stranger wrote; the database takes no NUL
            dependencies=reported(self.ending.dependencies),
            results=() if gathered is None else gathered.results(),
            packages=() if gathered is None else gathered.packages(),
            log=self._kept_log,
            slave_usable=self.ending.believed and self.session.open,
        )
        out.append(Tell(finished))

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
            waits = self._log.offset is not None and not self._sealing
            return min(due, self._log.moved_at + self.timers.transfer) if waits else due
        return min(due, self._stage_deadline()) if self.session.open else due

    def _stage_deadline(self) -> float:
        if self.stage is _S.PREPARING and self._preparation is not None:
            return self._preparation.deadline
        if self.stage is _S.GATHERING and self._gathering is not None:
            return self._gathering.deadline
        return self._deadline

    def tick(self, at: float, out: list[Order]) -> None:
        """Act on deadlines that have come."""
        if self._log.pause_ends is not None and at >= self._log.pause_ends:
            self._sealing = False
            self._log.resume(out)
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
        self._end(at, lost(words) if self._stop is None else self._stop, out)

    def _overdue(self, at: float, out: list[Order]) -> None:
        ending: Ending | None = None
        match self.stage:
            case _S.PREPARING if self._preparation is not None:
                ending = self._preparation.stalled(at, self.session, out)
            case _S.REQUESTED:
                ending = lost(f"the slave did not answer the build request within {self.timers.accepted:g} seconds")
            case _S.BUILDING:
                limit = f"{self.order.wall_seconds:g} seconds"
                self._halt(at, Ending(Outcome.TIMEOUT, f"the build took longer than its limit of {limit}"), out)
            case _S.STOPPING if not self._pressed:
                self._pressed = True
                self._abort(at, out)
            case _S.STOPPING if self._stop is not None:
                waited = self.timers.abort_polite + self.timers.abort_forced
                text = f"{self._stop.text}; the slave did not stop it within {waited:g} seconds"
                ending = Ending(self._stop.outcome, text, believed=False)
            case _S.GATHERING if self._gathering is not None:
                ending = self._gathering.act(at, self.session, out)
            case _:
                pass
        if ending is not None:
            self._end(at, ending, out)

    def _backend(self) -> str:
        return "" if self.session.welcome is None else self.session.welcome.backend

    def _move(self, step: AttemptStep) -> None:
        self.stage = next_attempt_stage(self.stage, step, self.story)

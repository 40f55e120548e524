"""One turn of the queue actor: take what builders reported and others changed, write, decide, answer.

Everything here happens inside the caller's transaction; the answers are letters, posted only after its commit.  What is
decided stands in `actors.core` (`dispatch`, `outbox`, `verdict`); the books and the transactions are
`actors.bookkeeping`'s.  Knows no Thespian.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from actors import messages as say
from actors.core.dispatch import (
    BuilderNotReady,
    BuilderReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    Dispatch,
    JobsRead,
    Pair,
    SetAside,
    SkipSeries,
)
from actors.core.dispatch import Event as News
from actors.core.dispatch import Order as DispatchOrder
from actors.core.outbox import (
    AttemptClosed,
    AttemptReported,
    AttemptsRead,
    BuilderIdle,
    BuilderMoved,
    BuilderSilent,
    CancelAsked,
    Claimed,
    CloseAttempt,
    Held,
    Outbox,
    ResultsAwaited,
    SendAdopt,
    SendAssign,
    SendCancel,
    SendDisown,
    Stage,
)
from actors.core.outbox import Order as OutboxOrder
from actors.core.verdict import BuilderBlame, verdict
from actors.queue_database import Changes, QueueDatabase
from storage.errors import ImpossibleMove, Unknown
from storage.records import BuildState, Job, NotOkKind, Outcome, Pick, Recording, RuntimeState

FromBuilder = (
    say.SessionWanted
    | say.Ready
    | say.AdoptionWanted
    | say.Started
    | say.GatheringStarted
    | say.Finished
    | say.JobRefused
    | say.BuilderTroubled
    | say.ProbePassed
    | say.RuntimeChanged
    | say.BuilderGone
)  #: what the queue actor is told about builders

_STAGE = {BuildState.CANCELLING: Stage.CANCELLING, BuildState.GATHERING: Stage.GATHERING}
_NO_SESSION = frozenset({RuntimeState.DISCONNECTED, RuntimeState.CONNECTING})

log = logging.getLogger("buildd_master.actors.queue")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to post once the turn is committed."""

    builder: str | None  #: None: to the supervisor
    message: object


@dataclass(slots=True)
class Books:
    """What outlives a turn: the cores, and who lives where.

    `generation` and `session` are filled from what builders' actors say; everything in the cores can be read again.
    """

    wall_seconds: float  #: a build's wall-time limit
    outbox: Outbox
    dispatch: Dispatch = field(default_factory=Dispatch)
    generation: dict[str, int] = field(default_factory=dict)  #: latest life of each builder's actor
    session: dict[str, int] = field(default_factory=dict)  #: session epoch in which it last was ready


class Turn:
    """One turn; `letters` are to be posted once its transaction is committed."""

    def __init__(self, books: Books, database: QueueDatabase, at: float) -> None:
        """Begin.

        Args:
            books: changed as the turn goes on.
            database: the caller begins and ends the transaction.
            at: monotonic seconds.
        """
        self.letters: list[Letter] = []
        self.claimed: list[UUID] = []
        self._books, self._dispatch, self._outbox = books, books.dispatch, books.outbox
        self._db, self._at = database, at
        self._news: list[News] = []  # for dispatch, in order
        self._jobs: set[int] = set()  # rows that were written: to be read again
        self._builders: set[str] = set()
        self._answers: dict[str, UUID] = {}  # builder → attempt whose `Recorded` may carry the next job

    # --- what changed -----------------------------------------------------------------------------

    def read_everything(self) -> None:
        builders, jobs = self._db.builders.all(), self._db.queue.jobs()
        self._news += [BuildersRead(builders), JobsRead(jobs)]
        self.letters.append(Letter(None, say.BuildersKnown(builders)))
        self._read_attempts(jobs)
        self._note_cancelled(jobs)

    def read(self, changes: Changes) -> None:
        """Read again what others changed, before anything is decided by it."""
        if not changes:
            return
        if changes.all_jobs:
            jobs = self._db.queue.jobs()
            self._news.append(JobsRead(jobs))
        else:
            of_builds = {self._dispatch.job_of(build) for build in changes.builds} - {None}
            asked = frozenset(changes.jobs | of_builds | (self._dispatch.lacking_files if changes.new_files else set()))
            jobs = self._db.queue.jobs(sorted(asked)) if asked else ()
            if asked:
                self._news.append(JobsRead(jobs, asked))
        self._read_builders(None if changes.all_builders else changes.builders)
        ours = {str(held.attempt) for held in self._outbox.held}
        if changes.all_attempts or changes.attempts & ours:
            self._read_attempts(jobs)
        self._note_cancelled(jobs)

    def _read_builders(self, names: set[str] | None) -> None:
        """Read builder rows, and tell the supervisor and the builders' actors what they are now."""
        if names is not None and not names:
            return
        builders = self._db.builders.all()
        known = self._dispatch.builders
        self._news.append(BuildersRead(builders))
        if names is None or {builder.name for builder in builders} != known:
            self.letters.append(Letter(None, say.BuildersKnown(builders)))
        else:
            for builder in builders:
                if builder.name in names:
                    changed = say.BuilderChanged(builder)
                    self.letters += [Letter(builder.name, changed), Letter(None, changed)]

    def _read_attempts(self, jobs: Sequence[Job]) -> None:
        state = {job.id: job.state for job in jobs}
        held = tuple(
            Held(attempt.id, attempt.builder, attempt.job, _STAGE.get(state[attempt.job], Stage.OPEN))
            if attempt.job in state
            else Held(attempt.id, attempt.builder, attempt.job)
            for attempt in self._db.queue.open_attempts()
        )
        self.obey(self._outbox.handle(AttemptsRead(held, self._at)))

    def _note_cancelled(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.state is BuildState.CANCELLING:
                self.obey(self._outbox.handle(CancelAsked(job.id, self._at)))

    # --- what builders report ---------------------------------------------------------------------

    def take(self, message: FromBuilder) -> None:
        if message.generation < self._books.generation.get(message.builder, 0):
            return  # an earlier life
        if message.generation > self._books.generation.get(message.builder, 0):
            self._books.generation[message.builder] = message.generation
            self.obey(self._outbox.handle(BuilderSilent(message.builder)))
        try:
            self._take_current(message)
        except Unknown as error:  # removed meanwhile: its actor will be retired
            log.info("%s of %s: %s", type(message).__name__, message.builder, error)

    def _take_current(self, message: FromBuilder) -> None:
        match message:
            case say.SessionWanted(builder):
                self._not_ready(builder)
                session = self._db.builders.open_session(builder)
                self._post(builder, say.SessionOpened, session=session, farm=self._db.farm)
            case say.Ready(builder, _, session):
                self._books.session[builder] = session
                self.idle(builder)
            case say.AdoptionWanted(builder, _, _, attempt):
                self._not_ready(builder)
                self.obey(self._outbox.handle(AttemptReported(builder, attempt, self._at)))
            case say.Started(builder, _, attempt):
                self._progress(builder, attempt, RuntimeState.BUILDING, open_still=self._db.queue.started(attempt))
            case say.GatheringStarted(builder, _, attempt):
                self._progress(builder, attempt, RuntimeState.GATHERING, open_still=self._db.queue.gathering(attempt))
                self._outbox.handle(ResultsAwaited(attempt))
            case say.Finished():
                self._finished(message)
            case say.JobRefused(builder, _, attempt, why):
                log.warning("%s refuses attempt %s: %s", builder, attempt, why)
                self._not_ready(builder)
                self._db.queue.release(attempt)
                self._closed(attempt)
            case say.BuilderTroubled(builder, _, kind, failnotes):
                self._mark_not_ok(builder, failnotes, kind)
            case say.ProbePassed(builder):
                if self._db.builders.heal(builder):
                    self._builders.add(builder)
            case say.RuntimeChanged(builder, _, state, connected):
                self._moved(builder, state, connected=connected)
            case say.BuilderGone(builder, _, failnotes):
                self._outbox.handle(BuilderSilent(builder))
                self._mark_not_ok(builder, failnotes, NotOkKind.CRASH)
                self._db.builders.record_runtime(builder, RuntimeState.DISCONNECTED, connected=False)
            case _:
                assert_never(message)

    def idle(self, builder: str) -> None:
        """Let an idle builder have work: the attempt that it holds already, else the best job."""
        self.obey(self._outbox.handle(BuilderIdle(builder, self._at)))
        if self._outbox.of_builder(builder) is None:
            self._news.append(BuilderReady(builder))

    def _not_ready(self, builder: str) -> None:
        self._news.append(BuilderNotReady(builder))

    def _moved(self, builder: str, state: RuntimeState, *, connected: bool) -> None:
        if not connected or (state is not RuntimeState.IDLE and builder not in self._answers):
            self._not_ready(builder)
        self._outbox.handle(BuilderMoved(builder, state))
        self._db.builders.record_runtime(builder, state, connected=connected)

    def _progress(self, builder: str, attempt: UUID, state: RuntimeState, *, open_still: bool) -> None:
        if open_still:
            self._outbox.handle(BuilderMoved(builder, state))
        else:
            self.obey(self._outbox.handle(AttemptReported(builder, attempt, self._at)))

    def _mark_not_ok(self, builder: str, failnotes: str, kind: NotOkKind) -> None:
        self._not_ready(builder)
        if self._db.builders.mark_not_ok(builder, failnotes, kind):
            self._builders.add(builder)

    def _finished(self, message: say.Finished) -> None:
        held = self._outbox.of_attempt(message.attempt)
        means = verdict(message.outcome, _state(held))
        try:
            recording = self._db.queue.record(
                message.attempt,
                message.outcome,
                message.text,
                build_state=means.build,
                keep_job=means.keep_job,
                dependencies=message.dependencies,
                results=message.results,
                log=message.log,
            )
        except ImpossibleMove as error:
            log.error("the end of attempt %s can't be recorded: %s", message.attempt, error)
            self._db.queue.fence(message.attempt, f"its end did not fit: the build is {error.now}")
            recording = Recording.FENCED
        self._closed(message.attempt)
        if recording is Recording.FENCED:
            self._not_ready(message.builder)
            self._post(message.builder, say.FencedOff, attempt=message.attempt)
            return
        if recording is Recording.RECORDED and means.builder is BuilderBlame.BREACH:
            self._mark_not_ok(message.builder, message.text, NotOkKind.BREACH)
        self._answers[message.builder] = message.attempt
        # after a failure the slave is cleaned before it gets anything, and another builder may have the job first
        if message.slave_usable and means.builder in {BuilderBlame.NONE, BuilderBlame.COMPLETED}:
            self._books.session[message.builder] = message.session
            if self._outbox.of_builder(message.builder) is None:
                self._news.append(BuilderReady(message.builder))
        else:
            self._news.append(BuilderNotReady(message.builder))

    def fence(self, message: say.Finished, why: str) -> None:
        """Close the attempt without its results, and let the slave be cleaned."""
        self._db.queue.fence(message.attempt, why)
        self._closed(message.attempt)
        self._not_ready(message.builder)
        self._post(message.builder, say.FencedOff, attempt=message.attempt)

    def _closed(self, attempt: UUID) -> None:
        held = self._outbox.of_attempt(attempt)
        if held is not None:
            self._jobs.add(held.job)
        self._outbox.handle(AttemptClosed(attempt))

    # --- decisions --------------------------------------------------------------------------------

    def decide(self, *news: News) -> None:
        """Read again what was written, match, claim, and answer those who wait for `Recorded`."""
        self._news += news
        if self._builders:
            self._read_builders(self._builders)
        if self._jobs:
            asked = frozenset(self._jobs)
            self._news.append(JobsRead(self._db.queue.jobs(sorted(asked)), asked))
        orders = self._dispatch.handle(*self._news)
        while orders:
            orders = self._obey_dispatch(orders)
        for builder, attempt in self._answers.items():
            held = self._outbox.of_builder(builder)
            order = self._db.queue.order(held.attempt) if held else None
            self._post(builder, say.Recorded, attempt=attempt, next=order)
            if held is None:  # it is cleaned now, and says so
                self._dispatch.handle(BuilderNotReady(builder))

    def _obey_dispatch(self, orders: Iterable[DispatchOrder]) -> tuple[DispatchOrder, ...]:
        then: tuple[DispatchOrder, ...] = ()
        for order in orders:
            match order:
                case Claim(pairs):
                    then += self._dispatch.handle(self._claim(pairs))
                case SkipSeries(distroarchseries):
                    log.warning("%s has no chroot: its jobs wait", distroarchseries)
                case SetAside(pair):
                    log.info("job %d could not be claimed for %s: trying again", pair.job, pair.builder)
                    self._read_attempts(self._db.queue.jobs([held.job for held in self._outbox.held]))
                    if self._outbox.of_builder(pair.builder):
                        self.obey(self._outbox.handle(BuilderIdle(pair.builder, self._at)))
                        self._dispatch.handle(BuilderNotReady(pair.builder))
                case _:
                    assert_never(order)
        return then

    def _claim(self, pairs: Sequence[Pair]) -> ClaimSettled:
        picks = [Pick(pair.job, pair.builder, self._books.session.get(pair.builder, 0)) for pair in pairs]
        attempts = self._db.queue.claim(picks, self._books.wall_seconds)
        won = {Pair(attempt.job, attempt.builder) for attempt in attempts}
        lost = tuple(pair for pair in pairs if pair not in won)
        for attempt in attempts:
            self.claimed.append(attempt.id)
            held = Held(attempt.id, attempt.builder, attempt.job)
            carried = attempt.builder in self._answers
            self.obey(self._outbox.handle(Claimed(held, carried, self._at)))
        if not lost:
            return ClaimSettled(tuple(pairs))
        jobs = self._db.queue.jobs([pair.job for pair in lost])
        lost_builders = {pair.builder for pair in lost}
        builders = tuple(row for row in self._db.builders.all() if row.name in lost_builders)
        return ClaimSettled(tuple(pair for pair in pairs if pair in won), lost, jobs, builders)

    def obey(self, orders: Iterable[OutboxOrder]) -> None:
        for order in orders:
            match order:
                case SendAssign(builder, attempt):
                    self._post_order(builder, attempt, say.Assign)
                case SendAdopt(builder, attempt):
                    self._post_order(builder, attempt, say.Adopt)
                case SendDisown(builder, attempt, why):
                    self._post(builder, say.Disown, attempt=attempt, why=why)
                case SendCancel(builder, attempt):
                    self._post(builder, say.Cancel, attempt=attempt)
                case CloseAttempt(attempt, outcome, text):
                    self._close(attempt, outcome, text)
                case _:
                    assert_never(order)

    def _close(self, attempt: UUID, outcome: Outcome, text: str) -> None:
        """Record an end that no builder reports."""
        held = self._outbox.of_attempt(attempt)
        means = verdict(outcome, _state(held))
        self._db.queue.record(attempt, outcome, text, build_state=means.build, keep_job=means.keep_job)
        self._closed(attempt)

    # --- letters ----------------------------------------------------------------------------------

    def _post_order(self, builder: str, attempt: UUID, kind: type[say.Assign | say.Adopt]) -> None:
        for order in self._db.queue.orders([attempt]):  # none: closed in this very moment, and we shall hear of it
            self._post(builder, kind, order=order)

    def _post(self, builder: str, kind: type, **fields: object) -> None:
        message = kind(builder=builder, generation=self._books.generation.get(builder, 0), **fields)
        self.letters.append(Letter(builder, message))


def _state(held: Held | None) -> BuildState:
    return BuildState.CANCELLING if held is not None and held.stage is Stage.CANCELLING else BuildState.BUILDING

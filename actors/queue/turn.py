"""One turn of the queue actor: read what others changed, decide, claim, answer.

Runs inside the caller's transaction; its answers are letters, posted only after the commit.  What builders report is
taken by `actors.queue.reports`, what is decided stands in `actors.core` (`dispatch.matcher`, `attempts.outbox`), books
and transactions are `actors.queue.bookkeeping`'s.  Knows no Thespian.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final, TypedDict, Unpack, assert_never
from uuid import UUID

from actors import messages as say
from actors.core.attempts.outbox_events import (
    AttemptClosed,
    AttemptsRead,
    BuilderIdle,
    CancelAsked,
    Claimed,
    CloseAttempt,
    Held,
    SendAdopt,
    SendAssign,
    SendCancel,
    SendDisown,
    Stage,
)
from actors.core.attempts.outbox_events import Order as OutboxOrder
from actors.core.attempts.verdict import DOUBTFUL, Verdict, verdict
from actors.core.dependencies.agenda import Moved, Published
from actors.core.dispatch.events import (
    BuilderNotReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    JobsRead,
    Pair,
    ReadAgain,
    SetAside,
    SkipSeries,
    Supersede,
)
from actors.core.dispatch.events import Event as News
from actors.core.dispatch.events import Order as DispatchOrder
from actors.queue.books import Books
from actors.queue.consequences import Consequences
from actors.queue.letters import Letters
from actors.queue.rows import Rows
from actors.queue.storage import Changes, QueueStorage
from storage.records import BuildState, Job, Outcome, Pick, Recording

_STAGES: Final = {BuildState.CANCELLING: Stage.CANCELLING, BuildState.GATHERING: Stage.GATHERING}

log = logging.getLogger("buildd_master.actors.queue")


class Left(TypedDict, total=False):
    """What an attempt left."""

    dependencies: Sequence[str]
    results: Sequence[say.ResultStored]
    log: say.ResultStored | None


class Turn:
    """What one turn gathers, and what it does with it.

    Attributes:
        at: monotonic seconds at which it began.
        letters: to be posted once it is committed.
        rows: what it reads, and writes of builders and the farm.
        claimed: attempts that exist only if the turn is committed.
    """

    def __init__(self, books: Books, database: QueueStorage, at: float) -> None:
        self.books, self.database, self.at = books, database, at
        self.letters = Letters(books)
        self.rows = Rows(books, database, self.letters)
        self.claimed: list[UUID] = []
        self._answers: dict[str, UUID] = {}  # builder → attempt whose `Recorded` may carry the next job

    # --- what changed -----------------------------------------------------------------------------

    def read_everything(self) -> None:
        """Read all builders, jobs and open attempts."""
        self.rows.read_farm()
        jobs = self.rows.read_jobs(None)
        self._read_attempts(jobs)
        self._cancel_asked(jobs)
        self.rows.read_builders(None)

    def read(self, changes: Changes) -> None:
        """Read again what others changed, before anything is decided by it."""
        if not changes:
            return
        if changes.farm:
            self.rows.read_farm()
        dispatch = self.books.dispatch
        asked: frozenset[int] | None = None
        if not changes.all_jobs:
            of_builds = {job for build in changes.builds if (job := dispatch.job_of(build)) is not None}
            lacking: frozenset[int] = dispatch.lacking_files if changes.new_files else frozenset()
            asked = frozenset(changes.jobs | of_builds | lacking)
            if changes.sources or changes.archives:
                asked |= self.database.queue.jobs_of(sorted(changes.sources), sorted(changes.archives))
        jobs = self.rows.read_jobs(asked)
        told = changes.attempts
        if changes.all_attempts or (told and any(str(held.attempt) in told for held in self.books.outbox.held)):
            self._read_attempts(jobs)
        self._cancel_asked(jobs)
        self.rows.read_builders(None if changes.all_builders else changes.builders)
        self.books.agenda.handle(Moved(frozenset(changes.builds - {job.build for job in jobs})))
        self.books.agenda.handle(Published(None if changes.all_packages else frozenset(changes.packages)))

    def _read_attempts(self, jobs: Iterable[Job]) -> None:
        stages = {job.id: _STAGES.get(job.state, Stage.OPEN) for job in jobs}
        held = tuple(
            Held(attempt.id, attempt.builder, attempt.job, stages.get(attempt.job, Stage.OPEN))
            for attempt in self.database.queue.open_attempts()
        )
        self.obey(self.books.outbox.handle(AttemptsRead(held, self.at)))

    def _cancel_asked(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.state is BuildState.CANCELLING:
                self.obey(self.books.outbox.handle(CancelAsked(job.id, self.at)))

    # --- builders, as reports and recovery find them ----------------------------------------------

    def idle(self, builder: str) -> None:
        """Let an idle builder have work: the attempt that it holds already, else the best job."""
        self.obey(self.books.outbox.handle(BuilderIdle(builder, self.at)))
        if self.books.outbox.of_builder(builder) is None:
            self.rows.ready(builder)

    def answer(self, builder: str, attempt: UUID, *, usable: bool) -> None:
        """Acknowledge the end of `attempt`; with the next job, if the slave is usable and there is one."""
        self._answers[builder] = attempt
        if not usable:
            self.rows.not_ready(builder)
        elif self.books.outbox.of_builder(builder) is None:
            self.rows.ready(builder)

    def answered(self, builder: str) -> bool:
        """Return whether the builder reported an end in this very turn."""
        return builder in self._answers

    # --- attempts ---------------------------------------------------------------------------------

    def record(self, attempt: UUID, outcome: Outcome, text: str, **left: Unpack[Left]) -> tuple[Recording, Verdict]:
        """Write how an attempt ended, and all that this means by the evidence; see `BuildQueue.record`.

        Raises:
            ImpossibleMove: nothing was written.
        """
        held = self.books.outbox.of_attempt(attempt)
        job = None if held is None else self.books.dispatch.job(held.job)
        means = self._verdict(attempt, outcome, held, job)
        recording = self.database.queue.record(
            attempt,
            outcome,
            text,
            build_state=means.build,
            unpublished_state=means.unpublished,
            keep_job=means.keep_job,
            exclude_seconds=means.exclude,
            cool_seconds=means.cool,
            charged=means.charged,
            verdict=means.words,
            **left,
        )
        if recording is Recording.RECORDED and held is not None:
            Consequences(self.rows).follow(held, job, outcome, text, means)
        return recording, means

    def _verdict(self, attempt: UUID, outcome: Outcome, held: Held | None, job: Job | None) -> Verdict:
        """Return what `outcome` means for the attempt's build as it is now."""
        state = BuildState.CANCELLING if held is not None and held.stage is Stage.CANCELLING else BuildState.BUILDING
        rules = self.books.rules
        if outcome not in DOUBTFUL or held is None or job is None:
            return verdict(outcome, state, rules=rules)
        return verdict(
            outcome,
            state,
            self.database.verdicts.evidence(attempt),
            capable=self.books.dispatch.capable(job),
            given_back=job.given_back,
            rules=rules,
        )

    def closed(self, attempt: UUID, *, with_job: bool = False) -> None:
        """Take the attempt, which the database has closed, off the books; `with_job`: its job is gone too."""
        held = self.books.outbox.of_attempt(attempt)
        if held is not None and with_job:
            self.rows.news.append(JobsRead((), frozenset({held.job})))
        elif held is not None:
            self.rows.changed_jobs((held.job,))
        self.books.outbox.handle(AttemptClosed(attempt))

    def obey(self, orders: Iterable[OutboxOrder]) -> None:
        """Obey what the outbox orders."""
        for order in orders:
            match order:
                case SendAssign(builder, attempt):
                    self.letters.assign(builder, attempt)
                case SendAdopt(builder, attempt):
                    self.letters.adopt(builder, attempt)
                case SendDisown(builder, attempt, why):
                    self.letters.to_builder(builder, say.Disown(builder, self.books.life(builder), attempt, why))
                case SendCancel(builder, attempt):
                    self.letters.to_builder(builder, say.Cancel(builder, self.books.life(builder), attempt))
                case CloseAttempt(attempt, outcome, text):
                    self.record(attempt, outcome, text)
                    self.closed(attempt)
                case _:
                    assert_never(order)

    # --- decisions --------------------------------------------------------------------------------

    def decide(self, *news: News) -> None:
        """Read again what was written, match, claim, and answer those who wait for `Recorded`."""
        self.rows.read_changed()
        orders = self.books.dispatch.handle(*self.rows.news, *news)
        while orders:
            orders = tuple(then for order in orders for then in self._obey_dispatch(order))
        for builder, attempt in self._answers.items():
            held = self.books.outbox.of_builder(builder)
            if held is None:  # it is cleaned now, and says so
                self.books.dispatch.handle(BuilderNotReady(builder))
            self.letters.recorded(builder, attempt, held.attempt if held else None)

    def _obey_dispatch(self, order: DispatchOrder) -> tuple[DispatchOrder, ...]:
        match order:
            case Claim(pairs):
                return self.books.dispatch.handle(self._claim(pairs))
            case SkipSeries(distroarchseries):
                log.warning("%s has no chroot: its jobs wait", distroarchseries)
            case SetAside(pair):
                log.info("job %d could not be claimed for %s: trying again in a moment", pair.job, pair.builder)
                self._read_attempts(())
                if self.books.outbox.of_builder(pair.builder):
                    self.obey(self.books.outbox.handle(BuilderIdle(pair.builder, self.at)))
                    self.books.dispatch.handle(BuilderNotReady(pair.builder))
            case Supersede(jobs):
                gone = self.database.queue.supersede(sorted(jobs))
                return self.books.dispatch.handle(JobsRead((), gone))
            case ReadAgain(jobs, builders):
                news: list[News] = []
                if jobs:
                    news.append(JobsRead(self.database.queue.jobs(sorted(jobs)), jobs))
                if builders:  # each is probed before it gets something, and says that it is ready
                    found = self.rows.find_builders(builders)
                    news += [BuilderNotReady(name) for name in sorted(builders)]
                    news.append(BuildersRead(found, builders))
                    for builder in found:
                        self.letters.to_supervisor(say.BuilderChanged(builder))
                return self.books.dispatch.handle(*news)
            case _:
                assert_never(order)
        return ()

    def _claim(self, pairs: Sequence[Pair]) -> ClaimSettled:
        picks = [Pick(pair.job, pair.builder, self.books.session.get(pair.builder, 0)) for pair in pairs]
        attempts = self.database.queue.claim(picks, self.books.limits)
        for attempt in attempts:
            self.claimed.append(attempt.id)
            held = Held(attempt.id, attempt.builder, attempt.job)
            carried = attempt.builder in self._answers
            self.obey(self.books.outbox.handle(Claimed(held, carried, self.at)))
        won = {Pair(attempt.job, attempt.builder) for attempt in attempts}
        lost = tuple(pair for pair in pairs if pair not in won)
        if not lost:
            return ClaimSettled(tuple(pairs))
        jobs = self.database.queue.jobs([pair.job for pair in lost])
        builders = self.rows.find_builders(pair.builder for pair in lost)
        return ClaimSettled(tuple(pair for pair in pairs if pair in won), lost, jobs, builders)

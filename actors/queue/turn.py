"""One turn of the queue actor: read what others changed, decide, claim, answer.

Runs inside the caller's transaction; its answers are letters, posted only after the commit.  What builders report is
taken by `actors.queue.reports`, what is decided stands in `actors.core` (`dispatch.matcher`, `attempts.outbox`), books and transactions
are `actors.queue.bookkeeping`'s.  Knows no Thespian.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack, assert_never
from uuid import UUID

from actors import messages as say
from actors.core.attempts.outbox import Outbox
from actors.core.attempts.outbox_events import (
    AttemptClosed,
    AttemptsRead,
    BuilderIdle,
    BuilderSilent,
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
from actors.core.attempts.own_disk import is_own, pause_words
from actors.core.attempts.verdict import DOUBTFUL, Verdict, VerdictRules, verdict
from actors.core.dependencies.agenda import Agenda, Moved, Published
from actors.core.dependencies.waits import Doubt
from actors.core.dispatch.events import (
    BuilderNotReady,
    BuilderReady,
    BuildersRead,
    Claim,
    ClaimSettled,
    FarmRead,
    JobsRead,
    Pair,
    ReadAgain,
    SetAside,
    SkipSeries,
    Supersede,
)
from actors.core.dispatch.events import Event as News
from actors.core.dispatch.events import Order as DispatchOrder
from actors.core.dispatch.matcher import Dispatch
from actors.queue.consequences import Consequences
from actors.queue.storage import Changes, QueueStorage
from storage.errors import UnknownBuilder
from storage.records import Builder, BuildState, Job, Limits, NotOkKind, Outcome, Pick, Recording

_STAGES: Final = {BuildState.CANCELLING: Stage.CANCELLING, BuildState.GATHERING: Stage.GATHERING}
_FEW: Final = 20  #: builders that are read one by one rather than all at once

log = logging.getLogger("buildd_master.actors.queue")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to post once the turn is committed."""

    builder: str | None  #: None: to the supervisor
    message: object


@dataclass(frozen=True, slots=True)
class _OrderLetter:
    """A letter that needs the attempt's `BuildOrder`, which is read for all of them at once."""

    builder: str
    attempt: UUID
    kind: type[say.Assign | say.Adopt | say.Recorded]
    answers: UUID | None = None  #: the attempt whose end `Recorded` acknowledges


class Left(TypedDict, total=False):
    """What an attempt left."""

    dependencies: Sequence[str]
    results: Sequence[say.ResultStored]
    log: say.ResultStored | None


@dataclass(slots=True)
class Books:
    """What outlives a turn: the cores, and in which life and session each builder spoke last."""

    limits: Limits  #: of builds, from the settings
    rules: VerdictRules  #: from the settings
    outbox: Outbox
    dispatch: Dispatch = field(default_factory=Dispatch)
    agenda: Agenda = field(default_factory=Agenda)  #: builds that wait for dependencies
    doubt: Doubt = field(default_factory=Doubt)  #: of dependencies that were there already
    generation: dict[str, int] = field(default_factory=dict)  #: of the builder's actor
    session: dict[str, int] = field(default_factory=dict)  #: session epoch in which it was ready

    def forget_others(self, registered: set[str]) -> None:
        """Forget the builders that are no longer registered: nobody answers for them."""
        for name in self.generation.keys() - registered:
            self.outbox.handle(BuilderSilent(name))
            del self.generation[name]
            self.session.pop(name, None)


class Turn:
    """What one turn gathers, and what it does with it.

    Attributes:
        at: monotonic seconds at which it began.
        claimed: attempts that exist only if the turn is committed.
    """

    def __init__(self, books: Books, database: QueueStorage, at: float) -> None:
        self.books, self.database, self.at = books, database, at
        self.claimed: list[UUID] = []
        self._news: list[News] = []  # for dispatch, in order
        self._letters: list[Letter | _OrderLetter] = []
        self._jobs: set[int] = set()  # rows that were written: to be read again
        self._builders: set[str] = set()
        self._all_jobs = False
        self._answers: dict[str, UUID] = {}  # builder → attempt whose `Recorded` may carry the next job

    # --- what changed -----------------------------------------------------------------------------

    def read_everything(self) -> None:
        """Read all builders, jobs and open attempts."""
        self._read_farm()
        jobs = self.database.queue.jobs()
        self._news.append(JobsRead(jobs))
        self._read_attempts(jobs)
        self._cancel_asked(jobs)
        self._read_builders(None)

    def read(self, changes: Changes) -> None:
        """Read again what others changed, before anything is decided by it."""
        if not changes:
            return
        if changes.farm:
            self._read_farm()
        dispatch = self.books.dispatch
        asked: frozenset[int] | None = None
        if not changes.all_jobs:
            of_builds = {job for build in changes.builds if (job := dispatch.job_of(build)) is not None}
            lacking: frozenset[int] = dispatch.lacking_files if changes.new_files else frozenset()
            asked = frozenset(changes.jobs | of_builds | lacking)
            if changes.sources or changes.archives:
                asked |= self.database.queue.jobs_of(sorted(changes.sources), sorted(changes.archives))
        jobs = self._read_jobs(asked)
        told = changes.attempts
        if changes.all_attempts or (told and any(str(held.attempt) in told for held in self.books.outbox.held)):
            self._read_attempts(jobs)
        self._cancel_asked(jobs)
        self._read_builders(None if changes.all_builders else changes.builders)
        self.books.agenda.handle(Moved(frozenset(changes.builds - {job.build for job in jobs})))
        self.books.agenda.handle(Published(None if changes.all_packages else frozenset(changes.packages)))

    def read_again(self, jobs: Iterable[int]) -> None:
        """Read these jobs, which were written in this turn, before anything is decided."""
        self._jobs.update(jobs)

    def _read_farm(self) -> None:
        self._news.append(FarmRead(self.database.farm_states.get()))

    def _read_jobs(self, asked: frozenset[int] | None) -> tuple[Job, ...]:
        if asked is not None and not asked:
            return ()
        jobs = self.database.queue.jobs(None if asked is None else sorted(asked))
        self._news.append(JobsRead(jobs, asked))
        return jobs

    def _read_builders(self, names: set[str] | None) -> None:
        """Read builder rows; the supervisor is told, and tells the builders' actors."""
        if names is not None and not names:
            return
        known = self.books.dispatch.builders
        if names is not None and names <= known and len(names) <= _FEW:
            builders = self._find_builders(names)
            if len(builders) == len(names):
                self._news.append(BuildersRead(builders, frozenset(names)))
                self._letters += [Letter(None, say.BuilderChanged(builder)) for builder in builders]
                return
        builders = self.database.builders.all()
        self._news.append(BuildersRead(builders))
        self._letters.append(Letter(None, say.BuildersKnown(self.books.outbox.free_first(builders))))
        self.books.forget_others({builder.name for builder in builders})

    def _find_builders(self, names: Iterable[str]) -> tuple[Builder, ...]:
        found = []
        for name in sorted(names):
            try:
                found.append(self.database.builders.get(name))
            except UnknownBuilder:
                continue
        return tuple(found)

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
            self._news.append(BuilderReady(builder))

    def not_ready(self, builder: str) -> None:
        """Give the builder nothing until it says `Ready` again."""
        self._news.append(BuilderNotReady(builder))

    def answer(self, builder: str, attempt: UUID, *, usable: bool) -> None:
        """Acknowledge the end of `attempt`; with the next job, if the slave is usable and there is one."""
        self._answers[builder] = attempt
        if not usable:
            self.not_ready(builder)
        elif self.books.outbox.of_builder(builder) is None:
            self._news.append(BuilderReady(builder))

    def answered(self, builder: str) -> bool:
        """Return whether the builder reported an end in this very turn."""
        return builder in self._answers

    def mark_not_ok(self, builder: str, failnotes: str, kind: NotOkKind) -> None:
        """Keep the builder out of dispatch, unless a person has said something else already."""
        self.not_ready(builder)
        if self.database.builders.mark_not_ok(builder, failnotes, kind):
            self._builders.add(builder)

    def heal(self, builder: str) -> None:
        """Clear what the machine marked and its slave has disproved (dispatch-rules §6)."""
        row = self.books.dispatch.builder(builder)
        if row is not None and row.builderok and builder not in self._builders:
            return  # as it nearly always is
        if self.database.builders.heal(builder):
            self._builders.add(builder)

    # --- this machine's own disk --------------------------------------------------------------------

    def own_disk_refused(self, why: str) -> None:
        """Give nothing away any more, and say why, unless that is so already."""
        if not self.books.dispatch.farm.paused:
            log.error("dispatch pauses: %s; running builds go on, what they leave waits", why)
            self._news.append(FarmRead(self.database.farm_states.pause_for_now(pause_words(why))))

    def own_disk_serves(self) -> None:
        """Give jobs away again, unless a person has said something else meanwhile."""
        paused = self.books.dispatch.farm.paused
        if is_own(paused):
            log.warning("this machine's own disk takes everything again; dispatch goes on")
            self._news.append(FarmRead(self.database.farm_states.resume_from(paused)))

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
            Consequences(self).follow(held, job, outcome, text, means)
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

    def changed_builder(self, builder: str) -> None:
        """Read the builder's row again before anything is decided: this turn has written to it."""
        self._builders.add(builder)

    def changed_jobs(self) -> None:
        """Read all jobs again before anything is decided: this turn has made or ended some."""
        self._all_jobs = True

    def closed(self, attempt: UUID, *, with_job: bool = False) -> None:
        """Take the attempt, which the database has closed, off the books; `with_job`: its job is gone too."""
        held = self.books.outbox.of_attempt(attempt)
        if held is not None and with_job:
            self._news.append(JobsRead((), frozenset({held.job})))
        elif held is not None:
            self._jobs.add(held.job)
        self.books.outbox.handle(AttemptClosed(attempt))

    def obey(self, orders: Iterable[OutboxOrder]) -> None:
        """Obey what the outbox orders."""
        for order in orders:
            match order:
                case SendAssign(builder, attempt):
                    self._letters.append(_OrderLetter(builder, attempt, say.Assign))
                case SendAdopt(builder, attempt):
                    self._letters.append(_OrderLetter(builder, attempt, say.Adopt))
                case SendDisown(builder, attempt, why):
                    self.post(builder, say.Disown(builder, self._life(builder), attempt, why))
                case SendCancel(builder, attempt):
                    self.post(builder, say.Cancel(builder, self._life(builder), attempt))
                case CloseAttempt(attempt, outcome, text):
                    self.record(attempt, outcome, text)
                    self.closed(attempt)
                case _:
                    assert_never(order)

    # --- decisions --------------------------------------------------------------------------------

    def decide(self, *news: News) -> None:
        """Read again what was written, match, claim, and answer those who wait for `Recorded`."""
        self._read_builders(self._builders)
        self._read_jobs(None if self._all_jobs else frozenset(self._jobs))
        orders = self.books.dispatch.handle(*self._news, *news)
        while orders:
            orders = tuple(then for order in orders for then in self._obey_dispatch(order))
        for builder, attempt in self._answers.items():
            held = self.books.outbox.of_builder(builder)
            if held is not None:
                self._letters.append(_OrderLetter(builder, held.attempt, say.Recorded, answers=attempt))
            else:  # it is cleaned now, and says so
                self.books.dispatch.handle(BuilderNotReady(builder))
                self.post(builder, say.Recorded(builder, self._life(builder), attempt))

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
                    found = self._find_builders(builders)
                    news += [BuilderNotReady(name) for name in sorted(builders)]
                    news.append(BuildersRead(found, builders))
                    self._letters += [Letter(None, say.BuilderChanged(builder)) for builder in found]
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
        builders = self._find_builders(pair.builder for pair in lost)
        return ClaimSettled(tuple(pair for pair in pairs if pair in won), lost, jobs, builders)

    # --- letters ----------------------------------------------------------------------------------

    def post(self, builder: str, message: object) -> None:
        """Write a letter to the builder's actor."""
        self._letters.append(Letter(builder, message))

    def tell_supervisor(self, message: object) -> None:
        """Write a letter to the supervisor."""
        self._letters.append(Letter(None, message))

    def letters(self) -> tuple[Letter, ...]:
        """Return what to post, in order.  An attempt that is closed by now has no order: we shall hear of that."""
        needed = [letter.attempt for letter in self._letters if isinstance(letter, _OrderLetter)]
        orders = {order.attempt: order for order in self.database.queue.orders(needed)} if needed else {}
        letters = []
        for letter in self._letters:
            if isinstance(letter, Letter):
                letters.append(letter)
                continue
            order, life = orders.get(letter.attempt), self._life(letter.builder)
            if letter.answers is not None:
                letters.append(Letter(letter.builder, say.Recorded(letter.builder, life, letter.answers, order)))
            elif order is not None:
                kind = say.Adopt if letter.kind is say.Adopt else say.Assign
                letters.append(Letter(letter.builder, kind(letter.builder, life, order)))
        return tuple(letters)

    def _life(self, builder: str) -> int:
        return self.books.generation.get(builder, 0)

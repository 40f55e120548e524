"""What builders' actors report to the queue actor, written down: one short answer for each message.

Runs within a turn (`actors.queue.turn`).  What an outcome means stands in `actors.core.attempts.verdict`.
"""

from __future__ import annotations

import logging
from typing import Final, assert_never
from uuid import UUID

from actors import messages as say
from actors.core.attempts import own_disk
from actors.core.attempts.outbox_events import (
    AttemptReported,
    BuilderMoved,
    BuilderSilent,
    ResultsAwaited,
    SlaveUnusable,
)
from actors.core.attempts.verdict import BuilderBlame
from actors.queue import dependency_waits
from actors.queue.turn import Turn
from storage.errors import ImpossibleMove, Unknown
from storage.records import NotOkKind, Recording, RuntimeState

AboutBuilder = (
    say.SessionWanted
    | say.Ready
    | say.BuilderTroubled
    | say.ProbePassed
    | say.RuntimeChanged
    | say.BuilderGone  #: by the supervisor
)
AboutAttempt = say.AdoptionWanted | say.Started | say.GatheringStarted | say.Finished | say.JobRefused | say.DiskRefused
Report = AboutBuilder | AboutAttempt

#: nobody waits for an answer to these, and a crash of the database may forget the last of them
UNHURRIED: Final = (say.RuntimeChanged, say.Started, say.GatheringStarted)

#: after these the slave may have its next job at once; after a failure it is cleaned first, and another builder may
#: have the job
_USABLE_AFTER: Final = frozenset({BuilderBlame.NONE, BuilderBlame.COMPLETED})

log = logging.getLogger("buildd_master.actors.queue")


def take(turn: Turn, report: Report) -> None:
    """Write down `report`; one of an earlier life of the builder's actor is dropped, unless it tells how that ended."""
    books = turn.books
    latest = books.generation.get(report.builder, 0)
    if isinstance(report, say.BuilderGone):
        turn.letters.to_supervisor(say.GoneNoted(report.builder, report.generation))
    if report.generation < latest:
        if isinstance(report, say.BuilderGone):
            _gone_long_ago(turn, report)
        return
    if report.generation > latest:
        books.generation[report.builder] = report.generation
        books.outbox.handle(BuilderSilent(report.builder))
    try:
        if isinstance(report, AboutBuilder):
            _about_builder(turn, report)
        else:
            _about_attempt(turn, report)
    except Unknown as error:  # the builder was removed meanwhile: its actor will be retired
        log.info("%s of %s: %s", type(report).__name__, report.builder, error)


def fence(turn: Turn, report: say.Finished, why: str) -> None:
    """Close the attempt without its results, and let the slave be cleaned."""
    turn.database.queue.fence(report.attempt, why)
    _fenced_off(turn, report)


def _about_builder(turn: Turn, report: AboutBuilder) -> None:
    match report:
        case say.SessionWanted(builder, generation):
            turn.rows.not_ready(builder)
            session = turn.database.builders.open_session(builder)
            turn.letters.to_builder(builder, say.SessionOpened(builder, generation, session, turn.database.farm))
        case say.Ready(builder, _, session):
            turn.books.session[builder] = session
            turn.idle(builder)
        case say.BuilderTroubled(builder, _, kind, failnotes, attempt):
            turn.rows.mark_not_ok(builder, failnotes, kind)
            turn.obey(turn.books.outbox.handle(SlaveUnusable(builder, attempt, failnotes)))
        case say.ProbePassed(builder):
            turn.rows.heal(builder)
        case say.RuntimeChanged(builder, _, state, connected):
            if not connected or (state is not RuntimeState.IDLE and not turn.answered(builder)):
                turn.rows.not_ready(builder)
            turn.books.outbox.handle(BuilderMoved(builder, state))
            turn.database.builders.record_runtime(builder, state, connected=connected)
        case say.BuilderGone(builder, _, failnotes):
            held = turn.books.outbox.of_builder(builder)
            turn.books.outbox.handle(BuilderSilent(builder))
            # Who dies without a word does not say during what.
            during = f", during attempt {held.attempt}" if held and str(held.attempt) not in failnotes else ""
            turn.rows.mark_not_ok(builder, failnotes + during, NotOkKind.CRASH)
            turn.database.builders.record_runtime(builder, RuntimeState.DISCONNECTED, connected=False)
        case _:
            assert_never(report)


def _gone_long_ago(turn: Turn, report: say.BuilderGone) -> None:
    """Mark the builder for a crash whose news comes after the next life has spoken, which will say if all is well."""
    try:
        turn.rows.mark_not_ok(report.builder, report.failnotes, NotOkKind.CRASH)
    except Unknown as error:
        log.info("%s of %s: %s", type(report).__name__, report.builder, error)


def _about_attempt(turn: Turn, report: AboutAttempt) -> None:
    queue, outbox = turn.database.queue, turn.books.outbox
    match report:
        case say.AdoptionWanted(builder, _, _, attempt):
            turn.rows.not_ready(builder)
            turn.obey(outbox.handle(AttemptReported(builder, attempt, turn.at)))
        case say.Started(builder, _, attempt):
            _moved_on(turn, builder, attempt, RuntimeState.BUILDING, still_open=queue.started(attempt))
        case say.GatheringStarted(builder, _, attempt):
            outbox.handle(ResultsAwaited(attempt))
            _moved_on(turn, builder, attempt, RuntimeState.GATHERING, still_open=queue.gathering(attempt))
        case say.Finished():
            _finished(turn, report)
        case say.JobRefused(builder, _, attempt, why):
            log.warning(
                "%s refuses attempt %s: %s", builder, attempt, why, extra={"builder": builder, "attempt": attempt}
            )
            turn.rows.not_ready(builder)
            queue.release(attempt)
            turn.closed(attempt)
        case say.DiskRefused(attempt=attempt, why=why):
            queue.prolong(attempt, own_disk.WAITS_SECONDS)
            turn.rows.own_disk_refused(why)
        case _:
            assert_never(report)


def _moved_on(turn: Turn, builder: str, attempt: UUID, state: RuntimeState, *, still_open: bool) -> None:
    outbox = turn.books.outbox
    if still_open:
        outbox.handle(BuilderMoved(builder, state))
    else:  # the builder learns that it works for nobody
        turn.obey(outbox.handle(AttemptReported(builder, attempt, turn.at)))


def _finished(turn: Turn, report: say.Finished) -> None:
    try:
        recording, means = turn.record(
            report.attempt,
            report.outcome,
            report.text,
            dependencies=report.dependencies,
            results=report.results,
            log=report.log,
        )
    except ImpossibleMove as error:
        about = {"builder": report.builder, "attempt": report.attempt}
        log.error("attempt %s can't end so, and is fenced: %s", report.attempt, error, extra=about)  # noqa: TRY400 - the story is in it
        turn.database.queue.fence(report.attempt, f"its end did not fit: the build is {error.now}")
        _fenced_off(turn, report)
        return
    if recording is Recording.FENCED:
        _fenced_off(turn, report)
        return
    if recording is Recording.RECORDED:
        dependency_waits.ended(turn, report)
    turn.closed(report.attempt, with_job=recording is Recording.RECORDED and not means.keep_job)
    turn.books.session[report.builder] = report.session
    usable = report.slave_usable and means.builder in _USABLE_AFTER
    turn.answer(report.builder, report.attempt, usable=usable)


def _fenced_off(turn: Turn, report: say.Finished) -> None:
    turn.closed(report.attempt)
    turn.rows.not_ready(report.builder)
    turn.letters.to_builder(report.builder, say.FencedOff(report.builder, report.generation, report.attempt))

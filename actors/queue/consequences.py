"""What follows from a verdict beside the attempt's end: the builder's ladder, cross-checks, chroots held back.

Part of a turn (`actors.queue.turn`), in its transaction.  The decisions are `actors.core.attempts.verdict`'s and
`actors.core.attempts.black_hole`'s; the rows are `storage.verdicts`'.
"""

from __future__ import annotations

import logging
from typing import Final

from actors.core.attempts.black_hole import is_black_hole, quick_failures, suspicious
from actors.core.attempts.outbox_events import Held
from actors.core.attempts.verdict import BuilderBlame, Verdict
from actors.core.people.private import told_of
from actors.queue.rows import Rows
from storage.records import Job, NotOkKind, Outcome

_MOST_NEIGHBOURS: Final = 50  #: builders that a suspected one is compared with

log = logging.getLogger("buildd_master.actors.queue")


class Consequences:
    """Does what a verdict says of builder and chroot."""

    def __init__(self, rows: Rows) -> None:
        """Work in the turn of these `rows`."""
        self._rows = rows
        self._verdicts = rows.database.verdicts

    def follow(self, held: Held, job: Job | None, outcome: Outcome, text: str, means: Verdict) -> None:
        """Write down what follows from the recorded end of an attempt."""
        builder = held.builder
        notes = text if job is None else told_of(job, text)
        if means.words:
            log.info("%s on %s: %s", outcome, builder, means.words, extra={"builder": builder, "attempt": held.attempt})
        if means.hold_chroot and self._verdicts.hold_back_chroot(held.attempt, notes):
            self._rows.changed_jobs()
        match means.builder:
            case BuilderBlame.COMPLETED:
                self._completed(builder)
            case BuilderBlame.FAILURE:
                self._failed(builder, notes, means)
            case BuilderBlame.BREACH:
                self._disable(builder, notes, NotOkKind.BREACH)
            case BuilderBlame.NONE:
                pass
        if job is not None and job.suspect is not None and not means.keep_job:
            self._tried_elsewhere(job.suspect, builder, job, outcome)
        elif outcome is Outcome.PACKAGEFAIL:
            self._look_for_black_hole(builder)

    def _completed(self, builder: str) -> None:
        self._rows.heal(builder)
        row = self._rows.books.dispatch.builder(builder)
        if row is None or row.failures_in_row:
            self._verdicts.completed(builder)
            self._rows.changed_builder(builder)

    def _failed(self, builder: str, text: str, means: Verdict) -> None:
        self._verdicts.count_failure(
            builder, means.failures, means.quarantine, f"{means.failures} failures in a row: {text}"
        )
        self._rows.changed_builder(builder)
        if means.disable:
            notes = f"{means.failures} failures in a row, the last one: {text}"
            self._disable(builder, notes, NotOkKind.FAILURES)

    def _disable(self, builder: str, notes: str, kind: NotOkKind) -> None:
        """Take a broken builder out of dispatch; builds that were charged on it were not to blame."""
        self._rows.mark_not_ok(builder, notes, kind)
        again = self._verdicts.requeue_charged(builder, f"{builder}, on which it failed, turned out to be broken")
        if again:
            log.warning("%s is broken: builds %s are queued again", builder, ", ".join(map(str, again)))
            self._rows.changed_jobs()

    def _look_for_black_hole(self, builder: str) -> None:
        rules = self._rows.books.rules
        mine = self._verdicts.results([builder], rules.results)[builder]
        if not suspicious(mine, rules):
            return
        neighbours = self._neighbours(builder)
        if not is_black_hole(mine, self._verdicts.results(neighbours, rules.results), rules):
            return
        failed = [one.build for one in quick_failures(mine, rules)]
        why = f"{len(failed)} of its last {len(mine)} builds failed suspiciously quickly; they are tried elsewhere"
        again = self._verdicts.try_elsewhere(
            builder, failed, rules.cross_check, f"it failed suspiciously quickly on {builder}: tried once elsewhere"
        )
        if not again:
            return
        log.warning("%s is quarantined: %s", builder, why, extra={"builder": builder})
        self._rows.database.builders.quarantine(builder, rules.cross_check, why)
        self._rows.changed_builder(builder)
        self._rows.changed_jobs()

    def _neighbours(self, builder: str) -> tuple[str, ...]:
        """Return whom a builder is compared with; nobody, if none of them could try its builds."""
        dispatch = self._rows.books.dispatch
        mine = dispatch.builder(builder)
        rows = [row for name in dispatch.neighbours(builder) if (row := dispatch.builder(name)) is not None]
        if mine is None or all(row.trusted != mine.trusted for row in rows):
            return ()
        return tuple(row.name for row in rows[:_MOST_NEIGHBOURS])

    def _tried_elsewhere(self, suspect: str, builder: str, job: Job, outcome: Outcome) -> None:
        left = self._verdicts.tried_elsewhere(suspect, job.build)
        if builder == suspect:
            return
        if outcome is Outcome.OK:
            self._verdicts.mark_builder_induced(suspect, job.build)
            named = "" if job.private else f" ({job.source} {job.version})"
            notes = f"builds that it failed pass elsewhere: build {job.build}{named} on {builder}"
            self._disable(suspect, notes, NotOkKind.BLACKHOLE)
        elif left == 0:
            row = self._rows.books.dispatch.builder(suspect)
            if row is not None and row.builderok:
                self._verdicts.release(suspect)
                self._rows.changed_builder(suspect)

"""The queue actor's books, in step with the database.

One call is one turn (`actors.queue.turn`) and one transaction; its letters are posted only after the commit.
After an error nothing of the turn is in the database: `load`, and take the same reports again.  Knows no Thespian;
`actors.queue.actor` brings reports in and letters out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from actors import messages as say
from actors.core.attempts.outbox import Outbox
from actors.core.attempts.outbox_events import AttemptClosed, DeadlineMissed, TimePassed
from actors.core.attempts.verdict import VerdictRules
from actors.core.dispatch import events as dispatch
from actors.core.dispatch.events import TriedAgain
from actors.core.dispatch.matcher import Dispatch
from actors.queue import dependency_waits
from actors.queue.books import Books
from actors.queue.letters import Letter
from actors.queue.reports import UNHURRIED, Report, fence, take
from actors.queue.storage import Changes, QueueStorage
from actors.queue.turn import Turn
from storage.errors import StorageError
from storage.records import Limits

log = logging.getLogger("buildd_master.actors.queue")


class Bookkeeping:
    """Who builds what, and what is to be told to whom.

    Attributes:
        books: the cores; look, don't touch.
    """

    def __init__(self, *, limits: Limits, rules: VerdictRules, resend: float) -> None:
        """Begin with empty books; `load` fills them.

        Args:
            limits: of builds, from the settings.
            rules: the numbers of verdicts, from the settings.
            resend: seconds after which what a builder did not acknowledge is told again.
        """
        self.books = Books(limits, rules, Outbox(resend_after=resend))
        self._ready: frozenset[str] = frozenset()  # when the last turn began
        self._turn: Turn | None = None  # None: it ended well
        self._db: QueueStorage  # given by `load`

    def load(self, database: QueueStorage, at: float) -> tuple[Letter, ...]:
        """Read everything, at the start and whenever the database was away; undo the turn that failed.

        Builders that were ready before that turn are so still.

        Args:
            database: newly connected; the books keep it.
            at: monotonic seconds.

        Raises:
            StorageError: try again with a new connection.
        """
        for attempt in self._turn.claimed if self._turn else ():
            self.books.outbox.handle(AttemptClosed(attempt))
        self._db = database
        self.books.dispatch = Dispatch()
        self._turn = turn = Turn(self.books, database, at)
        turn.read_everything()
        with database.transaction("everything was read"):
            for builder in sorted(self._ready):
                turn.idle(builder)
            turn.decide()
        return self._end(turn)

    def take(self, reports: Sequence[Report], changes: Changes, at: float) -> tuple[Letter, ...]:
        """Take what came together, and give away what can be given away.

        Args:
            reports: in the order in which they came.
            changes: what others wrote meanwhile.
            at: monotonic seconds.

        Raises:
            DatabaseUnreachable: nothing was written, or all of it: the commit's answer was lost.
            StorageError: the database refuses a report for good; nothing was written.
        """
        turn = self._begin(at)
        turn.read(changes)
        if reports:
            hurry = not all(isinstance(report, UNHURRIED) for report in reports)
            with self._db.transaction():
                if not hurry:
                    self._db.wait_for_disk(wait=False)  # its commit would keep the next job waiting
                for report in reports:
                    take(turn, report)
                turn.decide()
                if turn.claimed and not hurry:
                    self._db.wait_for_disk(wait=True)
        else:  # at most claims, and each is one statement: three round trips from a notification to its letter
            turn.decide()
        return self._end(turn)

    def tick(self, at: float, now: datetime) -> tuple[Letter, ...]:
        """Tell again what was not acknowledged; let those try again that were set aside, or waited until now.

        Args:
            at: monotonic seconds.
            now: the time of day; whether something is over is the database's to say.
        """
        outbox, matcher = self.books.outbox, self.books.dispatch
        if not outbox.repeats(at) and not matcher.moves(now):
            return ()  # as nearly always
        turn = self._begin(at)
        turn.obey(outbox.handle(TimePassed(at)))
        if matcher.moves(now):
            turn.decide(TriedAgain(), dispatch.TimePassed(now))
        return self._end(turn)

    def own_disk_serves(self, at: float) -> tuple[Letter, ...]:
        """End the pause for what this machine's own disk refused."""
        turn = self._begin(at)
        with self._db.transaction("the master's own disk takes everything again"):
            turn.rows.own_disk_serves()
            turn.decide()
        return self._end(turn)

    def miss_deadlines(self, grace_seconds: float, at: float) -> tuple[Letter, ...]:
        """Close attempts whose deadline nobody kept (dispatch-rules §8)."""
        turn = self._begin(at)
        overdue = self._db.queue.overdue(grace_seconds)
        if overdue:
            with self._db.transaction("deadline missed"):
                for attempt in overdue:
                    turn.obey(self.books.outbox.handle(DeadlineMissed(attempt.id, at)))
                turn.decide()
        return self._end(turn)

    def sweep(self, at: float) -> tuple[Letter, ...]:
        """Read everything again, and act on what nobody told us."""
        turn = self._begin(at)
        turn.read_everything()
        with self._db.transaction("sweep"):
            turn.decide()
        return self._end(turn)

    def check_dependencies(self, at: float) -> tuple[Letter, ...]:
        """Look at some of the builds that wait for dependencies, and give away what is queued again.

        Raises:
            DatabaseUnreachable: what was queued again may be written, and is read with everything else.
        """
        turn = self._begin(at)
        jobs = dependency_waits.step(self._db, self.books)
        if jobs:
            turn.rows.changed_jobs(jobs)
            turn.decide()
        return self._end(turn)

    def refuse(self, report: Report, error: StorageError, at: float) -> tuple[Letter, ...]:
        """Answer a report that the database refuses even alone, so that it is not sent for ever.

        Raises:
            DatabaseUnreachable: nothing was written.
        """
        about = {"builder": report.builder, "attempt": getattr(report, "attempt", "")}
        log.error("%s of %s is refused: %s", type(report).__name__, report.builder, error, extra=about)
        turn = self._begin(at)
        if isinstance(report, say.Finished):
            with self._db.transaction("its end was refused"):
                fence(turn, report, f"its end could not be recorded: {error}")
                turn.decide()
        return self._end(turn)

    def _begin(self, at: float) -> Turn:
        self._turn = Turn(self.books, self._db, at)
        return self._turn

    def _end(self, turn: Turn) -> tuple[Letter, ...]:
        letters = turn.letters.written(self._db)
        self._ready, self._turn = self.books.dispatch.ready, None
        return letters

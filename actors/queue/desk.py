"""The queue actor without its actor: gathers reports and notifications into turns, and waits for a database that is away.

What a turn does stands in `actors.queue.bookkeeping` and below it.  Knows no Thespian, no clock and no socket: whoever
runs it (`actors.queue.actor`; the simulator's `simulation.farm.queue`) is its `Surroundings`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.core.attempts.outbox_events import SendDisown
from actors.core.attempts.own_disk import OwnDisk
from actors.core.attempts.verdict import VerdictRules
from actors.core.dependencies.agenda import SweepDue
from actors.core.dependencies.waits import Doubt
from actors.core.supervision.lives import MOST_UNRECORDED
from actors.core.timers import Timers
from actors.messages import BuilderGone
from actors.queue.bookkeeping import Bookkeeping
from actors.queue.letters import Letter
from actors.queue.reports import UNHURRIED, Report
from actors.queue.storage import Changes, ListeningStorage
from storage.errors import DatabaseUnreachable, StorageError
from storage.records import Limits

if TYPE_CHECKING:
    from uuid import UUID

_TICK: Final = "tick"
_CONNECT: Final = "connect"
_DEPENDENCIES: Final = "dependencies"
_TICK_SECONDS: Final = 1.0
_MOST_REPORTS: Final = 100  #: in one turn: under a steady stream timers come late

Payload = str | float  #: what a wake-up is for

log = logging.getLogger("buildd_master.actors.queue")


class Surroundings(Protocol):
    """What the desk needs of whoever runs it."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def time_of_day(self) -> datetime:
        """Return the time of day, as this machine has it."""

    def connect(self) -> ListeningStorage:
        """Connect to the database and listen.

        Raises:
            DatabaseUnreachable: nothing is left open.
        """

    def disconnected(self) -> None:
        """The connection is closed; nobody notifies any more."""

    def post(self, letters: Sequence[Letter]) -> None:
        """Post letters, in order."""

    def paused(self, why: str) -> None:
        """Let people know why nothing is given away, which the database can't be told now; empty: it is over."""

    def own_disk_refuses(self) -> str:
        """Try out this machine's own disk; return what it refuses, in words, or nothing."""

    def wake_after(self, seconds: float, payload: Payload) -> None:
        """Call `QueueDesk.woken` with `payload` in so many seconds."""


class QueueDesk:
    """Takes reports in and gives letters out, turn by turn."""

    def __init__(self, limits: Limits, timers: Timers, rules: VerdictRules, surroundings: Surroundings) -> None:
        """Begin without a database; `begin` looks for it."""
        self._timers = timers
        self._books = Bookkeeping(limits=limits, rules=rules, resend=timers.resend)
        self._books.books.doubt = Doubt(timers.dependency_doubt, timers.dependency_doubt_limit)
        self._around = surroundings
        self._database: ListeningStorage | None = None
        self._away = ""  # why; empty while the database is there
        self._retry = timers.database_retry
        self._inbox: dict[tuple[type, str, int, UUID | None], Report] = {}  # reports that wait for a turn
        self._due = math.inf  # monotonic seconds of the next turn, for which a timer is under way
        self._last_turn = 0.0
        self._turns = 0
        self._own_disk = OwnDisk()
        self._last_sweep = self._last_deadlines = surroundings.now()
        self._last_dependencies = -math.inf  # whatever was published while nobody listened
        self._checking = False  # a timer is under way for the next look at builds that wait for dependencies
        self._check_from = -math.inf  # and it comes no sooner

    def begin(self) -> None:
        """Read everything and say who is registered; a database that is away is waited for."""
        self._connect()
        self._around.wake_after(_TICK_SECONDS, _TICK)

    def generation(self, builder: str) -> int:
        """Return the latest life of the builder's actor that was heard of; reports of earlier ones are dropped."""
        return self._books.books.generation.get(builder, 0)

    def known_ready(self) -> frozenset[str]:
        """Return the builders of which it would change nothing to hear that they are ready."""
        books = self._books.books
        return books.dispatch.ready - books.dispatch.set_aside - books.outbox.concerned

    def receive(self, report: Report) -> None:
        """Put a report into the inbox; the turn that takes it comes at once or within milliseconds."""
        # What is said again takes the place of what was said before; what an earlier life says late does not.
        key = (type(report), report.builder, report.generation, getattr(report, "attempt", None))
        self._inbox.pop(key, None)
        if isinstance(report, BuilderGone):
            kept = [one for one in self._inbox if one[:2] == key[:2]]
            if len(kept) >= MOST_UNRECORDED:
                del self._inbox[kept[0]]  # as the supervisor does, whose latest report says how many are missing
        self._inbox[key] = report
        self._plan_turn(hurry=not isinstance(report, UNHURRIED))

    def notified(self) -> None:
        """Somebody changed rows: see which, and dispatch at once."""
        if self._database is None:
            return
        try:
            changed = self._database.heard()
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return
        if changed:
            self._take_turn()

    def woken(self, payload: Payload) -> None:
        """Act on a timer."""
        match payload:
            case float() if payload == self._due:  # no other turn came before it
                self._take_turn()
            case "connect":
                self._connect()
            case "dependencies":
                self._check_dependencies()
            case "tick":
                self._tick()
                self._around.wake_after(_TICK_SECONDS, _TICK)

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what is going on, for people."""
        dispatch, outbox = self._books.books.dispatch, self._books.books.outbox
        waiting = {family: len(jobs) for family, jobs in dispatch.candidates().items()}
        return (
            ("database", f"away: {self._away}" if self._away else "connected"),
            ("paused", dispatch.farm.paused or "no"),
            ("ready", ", ".join(sorted(dispatch.ready)) or "nobody"),
            ("set aside", ", ".join(sorted(dispatch.set_aside)) or "nobody"),
            ("waiting", ", ".join(f"{family} {count}" for family, count in waiting.items()) or "no job"),
            ("open attempts", str(len(outbox.held))),
            ("unacknowledged", str(len(outbox.unanswered))),
            ("to disown", str(sum(isinstance(order, SendDisown) for order in outbox.unanswered))),
            ("reports waiting", str(len(self._inbox))),
            ("dependencies", "being looked at" if self._books.books.agenda.due else "looked at"),
            ("turns", str(self._turns)),
        )

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """Put `wrap(name, core)` in the place of the cores that can be replayed."""
        books = self._books.books
        books.dispatch, books.outbox = wrap("dispatch", books.dispatch), wrap("outbox", books.outbox)

    def take_up(self, limits: Limits, timers: Timers, rules: VerdictRules) -> None:
        """Count by other settings from now on; a timer that is under way runs out as it was set."""
        self._timers = timers
        self._books.books.limits = limits
        self._books.books.rules = rules
        self._books.books.doubt = Doubt(timers.dependency_doubt, timers.dependency_doubt_limit)
        self._books.books.outbox.resend_after = timers.resend

    def end(self) -> None:
        """Write down what is waiting, and let go of the database."""
        if self._database is not None:
            self._take_turn()
        self._disconnect()

    # --- turns ------------------------------------------------------------------------------------

    def _plan_turn(self, *, hurry: bool) -> None:
        """Take a turn now if the last one is long enough ago, else share the next one with what comes meanwhile."""
        now = self._around.now()
        if len(self._inbox) >= _MOST_REPORTS or (hurry and now - self._last_turn >= self._timers.batch):
            self._take_turn()
            return
        due = now + (self._timers.batch if hurry else self._timers.reports_batch)
        if due < self._due:
            self._due = due
            self._around.wake_after(due - now, due)

    def _take_turn(self) -> bool:
        """Take everything that is there, notifications and reports; return False if the database did not."""
        self._due = math.inf
        if self._database is None:
            return False
        reports = dict(self._inbox)
        try:
            changes = self._database.changes()
            letters = self._take(self._database, tuple(reports.values()), changes)
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return False
        for key, report in reports.items():
            if self._inbox.get(key) is report:
                del self._inbox[key]
        self._around.post(letters)
        self._turns += 1
        self._last_turn = self._around.now()
        self._check_soon(0.0)
        return True

    def _take(self, database: ListeningStorage, reports: Sequence[Report], changes: Changes) -> Sequence[Letter]:
        """Take `reports` in one transaction; if the database refuses one of them for good, each in its own."""
        try:
            return self._books.take(reports, changes, self._around.now())
        except DatabaseUnreachable:
            raise
        except StorageError as error:
            log.warning("a turn of %d reports is refused (%s): one at a time", len(reports), error)
        letters = [*self._books.load(database, self._around.now())]
        for report in reports:
            try:
                letters += self._books.take((report,), Changes(), self._around.now())
            except DatabaseUnreachable:
                raise
            except StorageError as error:
                letters += self._books.load(database, self._around.now())
                letters += self._books.refuse(report, error, self._around.now())
        return letters

    def _tick(self) -> None:
        if self._database is None:
            return
        now = self._around.now()
        self._do(lambda: self._books.tick(now, self._around.time_of_day()))
        if now - self._last_deadlines >= self._timers.deadlines:
            self._last_deadlines = now
            self._do(lambda: self._books.miss_deadlines(self._timers.deadline_grace, now))
        if now - self._last_sweep >= self._timers.sweep:
            self._last_sweep = now
            self._do(lambda: self._books.sweep(now))
        if now - self._last_dependencies >= self._timers.dependency_sweep:
            self._last_dependencies = now
            self._books.books.agenda.handle(SweepDue())
        paused = self._books.books.dispatch.farm.paused
        if self._own_disk.due(paused, now, self._timers.librarian_retry) and not self._around.own_disk_refuses():
            self._do(lambda: self._books.own_disk_serves(self._around.now()))
        self._check_soon(0.0)

    def _check_soon(self, seconds: float) -> None:
        """Look at the next builds that wait for dependencies, if there are any, in so many seconds."""
        due = self._books.books.agenda.due and self._around.now() >= self._check_from
        if due and not self._checking and self._database is not None:
            self._checking = True
            self._around.wake_after(seconds, _DEPENDENCIES)

    def _check_dependencies(self) -> None:
        """Look at some of them; the next come after as long a time for everybody else as these took."""
        self._checking = False
        began = self._around.now()
        if not self._do(lambda: self._books.check_dependencies(began)):
            # It may be this very look that takes the database too long: dispatch comes first.
            self._check_from = self._around.now() + self._timers.sweep
        self._check_soon(self._around.now() - began)

    def _do(self, turn: Callable[[], Sequence[Letter]]) -> bool:
        """Take a turn without reports; return False if that lost the database."""
        if self._database is None:
            return True
        try:
            self._around.post(turn())
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return False
        return True

    # --- the database -----------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._database is not None:
            return
        try:
            database = self._around.connect()
        except DatabaseUnreachable as error:
            self._wait_for_database(error)
            return
        self._database = database
        try:
            letters = self._books.load(database, self._around.now())
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return
        # Builders say again what they could not say meanwhile: nobody is late before they have had the time for it.
        self._last_sweep = self._last_deadlines = self._around.now()
        self._around.post(letters)
        if self._take_turn():  # what came meanwhile; where there is no room it may answer, and yet take nothing
            if self._away:
                log.warning("the database is back; dispatch goes on")
                self._books.books.agenda.handle(SweepDue())  # nobody heard what was published meanwhile
                self._around.paused("")
            self._away, self._retry = "", self._timers.database_retry

    def _lose_database(self, error: DatabaseUnreachable) -> None:
        self._disconnect()
        self._wait_for_database(error)

    def _wait_for_database(self, error: DatabaseUnreachable) -> None:
        """Pause: running builds go on, reports wait, nobody is blamed."""
        if not self._away:
            log.error("dispatch pauses: %s; running builds go on, reports wait", error)
            self._around.paused(str(error))
        self._away = str(error)
        self._around.wake_after(self._retry, _CONNECT)
        self._retry = min(self._retry * 2, self._timers.database_retry_limit)

    def _disconnect(self) -> None:
        self._around.disconnected()
        if self._database is not None:
            self._database.close()
            self._database = None

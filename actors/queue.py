"""The one actor with a database: hands out jobs, writes down what became of them (architecture §3).

A thin shell: it gathers reports and notifications into turns, waits for the database when that is away, and posts
letters.  What a turn does stands in `actors.bookkeeping` and below it; the two connections are
`actors.queue_database`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, get_args

from actors.bookkeeping import Bookkeeping
from actors.core.outbox import SendDisown
from actors.farm_actor import FarmActor, SettingsChanged, Start
from actors.messages import BuilderGone, BuildersKnown
from actors.queue_database import QueueDatabase
from actors.queue_reports import UNHURRIED, Report
from actors.queue_storage import Changes
from actors.queue_turn import Letter
from storage.errors import DatabaseUnreachable, StorageError

if TYPE_CHECKING:
    from uuid import UUID

    from thespian.actors import ActorAddress

    from actors.settings import Settings

_TICK: Final = "tick"
_CONNECT: Final = "connect"
_TICK_SECONDS: Final = 1.0
_MOST_REPORTS: Final = 100  #: in one turn: under a steady stream timers come late


class QueueActor(FarmActor):
    """Hands out jobs and keeps the books of the farm."""

    def begin(self, start: Start) -> None:
        """Read everything and tell the supervisor who is registered; a database that is away is waited for."""
        self._timers = start.settings.timers
        self._books = Bookkeeping(limits=start.settings.limits, timers=self._timers)
        self._database: QueueDatabase | None = None
        self._away = ""  # why; empty while the database is there
        self._retry = self._timers.database_retry
        self._addresses: dict[str, ActorAddress] = {}
        # reports that wait for a turn; what is said again takes the place of what was said before
        self._inbox: dict[tuple[type, str, UUID | None], Report] = {}
        self._due = math.inf  # monotonic seconds of the next turn, for which a timer is under way
        self._last_turn = 0.0
        self._turns = 0
        self._last_sweep = self._last_deadlines = time.monotonic()
        self._connect()
        self.wake_after(_TICK_SECONDS, _TICK)

    def receive(self, message: object, sender: ActorAddress) -> None:
        """Put a report into the inbox; the turn that takes it comes at once or within milliseconds."""
        if isinstance(message, SettingsChanged):
            self._take_up(message.settings)
            return
        if not isinstance(message, get_args(Report)):
            self.log.warning("not for the queue actor: %s", type(message).__name__)
            return
        report: Report = message
        if not isinstance(report, BuilderGone):
            if report.generation < self._books.books.generation.get(report.builder, 0):
                return  # an earlier life
            self._addresses[report.builder] = sender
        key = (type(report), report.builder, getattr(report, "attempt", None))
        self._inbox.pop(key, None)
        self._inbox[key] = report
        self._plan_turn(hurry=not isinstance(report, UNHURRIED))

    def readable(self, descriptors: tuple[int, ...]) -> None:  # noqa: ARG002 - there is only one
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

    def woken(self, payload: object) -> None:
        """Act on a timer."""
        match payload:
            case float() if payload == self._due:  # no other turn came before it
                self._take_turn()
            case "connect":
                self._connect()
            case "tick":
                self._tick()
                self.wake_after(_TICK_SECONDS, _TICK)

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
            ("turns", str(self._turns)),
        )

    def ended(self) -> None:
        """Write down what is waiting, and let go of the database."""
        if self._database is not None:
            self._take_turn()
        self._disconnect()

    def _take_up(self, settings: Settings) -> None:
        """Count by other settings from now on; a timer that is under way runs out as it was set."""
        self._timers = settings.timers
        self._books.books.limits = settings.limits
        self._books.books.timers = settings.timers
        self._books.books.outbox.resend_after = settings.timers.resend

    # --- turns ------------------------------------------------------------------------------------

    def _plan_turn(self, *, hurry: bool) -> None:
        """Take a turn now if the last one is long enough ago, else share the next one with what comes meanwhile."""
        now = time.monotonic()
        if len(self._inbox) >= _MOST_REPORTS or (hurry and now - self._last_turn >= self._timers.batch):
            self._take_turn()
            return
        due = now + (self._timers.batch if hurry else self._timers.reports_batch)
        if due < self._due:
            self._due = due
            self.wake_after(due - now, due)

    def _take_turn(self) -> None:
        """Take everything that is there: notifications and reports."""
        self._due = math.inf
        if self._database is None:
            return
        reports = dict(self._inbox)
        try:
            changes = self._database.changes()
            letters = self._take(tuple(reports.values()), changes)
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return
        for key, report in reports.items():
            if self._inbox.get(key) is report:
                del self._inbox[key]
        self._post(letters)
        self._turns += 1
        self._last_turn = time.monotonic()

    def _take(self, reports: Sequence[Report], changes: Changes) -> Sequence[Letter]:
        """Take `reports` in one transaction; if the database refuses one of them for good, each in its own."""
        try:
            return self._books.take(reports, changes, time.monotonic())
        except DatabaseUnreachable:
            raise
        except StorageError as error:
            self.log.warning("a turn of %d reports is refused (%s): one at a time", len(reports), error)
        letters = [*self._reload()]
        for report in reports:
            try:
                letters += self._books.take((report,), Changes(), time.monotonic())
            except DatabaseUnreachable:
                raise
            except StorageError as error:
                letters += self._reload()
                letters += self._books.refuse(report, error, time.monotonic())
        return letters

    def _reload(self) -> Sequence[Letter]:
        assert self._database is not None  # noqa: S101 - a turn is under way
        return self._books.load(self._database, time.monotonic())

    def _tick(self) -> None:
        if self._database is None:
            return
        now = time.monotonic()
        self._do(lambda: self._books.tick(now, datetime.now(UTC)))
        if now - self._last_deadlines >= self._timers.deadlines:
            self._last_deadlines = now
            self._do(lambda: self._books.miss_deadlines(self._timers.deadline_grace, now))
        if now - self._last_sweep >= self._timers.sweep:
            self._last_sweep = now
            self._do(lambda: self._books.sweep(now))

    def _do(self, turn: Callable[[], Sequence[Letter]]) -> None:
        if self._database is None:
            return
        try:
            self._post(turn())
        except DatabaseUnreachable as error:
            self._lose_database(error)

    def _post(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            address = self.supervisor if letter.builder is None else self._addresses.get(letter.builder)
            if address is not None:  # a builder that has not spoken yet will report, and is answered then
                self.tell(address, letter.message)
        for letter in letters:
            if isinstance(letter.message, BuildersKnown):
                registered = {builder.name for builder in letter.message.builders}
                self._addresses = {name: at for name, at in self._addresses.items() if name in registered}

    # --- the database -----------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._database is not None:
            return
        try:
            database = QueueDatabase(self.settings.database)
        except DatabaseUnreachable as error:
            self._wait_for_database(error)
            return
        self._database = database
        try:
            letters = self._books.load(database, time.monotonic())
        except DatabaseUnreachable as error:
            self._lose_database(error)
            return
        if self._away:
            self.log.warning("the database is back; dispatch goes on")
        self._away, self._retry = "", self._timers.database_retry
        self.watched.add(database.fileno())
        self._post(letters)
        self._take_turn()  # what came meanwhile

    def _lose_database(self, error: DatabaseUnreachable) -> None:
        self._disconnect()
        self._wait_for_database(error)

    def _wait_for_database(self, error: DatabaseUnreachable) -> None:
        """Pause: running builds go on, reports wait, nobody is blamed."""
        if not self._away:
            self.log.warning("dispatch pauses: %s", error)
        self._away = str(error)
        self.wake_after(self._retry, _CONNECT)
        self._retry = min(self._retry * 2, self._timers.database_retry_limit)

    def _disconnect(self) -> None:
        self.watched.clear()
        if self._database is not None:
            self._database.close()
            self._database = None

"""The one actor with a database: hands out jobs, writes down what became of them (architecture §3).

A thin shell around `actors.queue.desk`: posts its letters, lends it the clock and the connections
(`actors.queue.database`), and tells it of reports, timers and notifications.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from actors.addressed import SettingsChanged, Start
from actors.console.notes import Notes
from actors.core.supervision.hangs import Excuse
from actors.farm_actor import FarmActor
from actors.messages import BuilderGone, BuildersKnown
from actors.queue import own_disk
from actors.queue.database import QueueDatabase
from actors.queue.desk import QueueDesk
from actors.queue.letters import Letter
from actors.queue.pause_note import write_note
from actors.queue.reports import Report
from actors.system.signs import waiting

if TYPE_CHECKING:
    from thespian.actors import ActorAddress


class QueueActor(FarmActor):
    """Hands out jobs and keeps the books of the farm."""

    def begin(self, start: Start) -> None:
        """Read everything and tell the supervisor who is registered; a database that is away is waited for."""
        self._addresses: dict[str, ActorAddress] = {}
        self._notes = Notes()
        self.paused("")
        self._desk = QueueDesk(start.settings.limits, start.settings.timers, start.settings.verdicts, self)
        self._desk.begin()

    def receive(self, message: object, sender: ActorAddress) -> None:
        """Hand a report over; the turn that takes it comes at once or within milliseconds."""
        if isinstance(message, SettingsChanged):
            self._desk.take_up(message.settings.limits, message.settings.timers, message.settings.verdicts)
            return
        if not isinstance(message, get_args(Report)):
            self.log.warning("not for the queue actor: %s", type(message).__name__)
            return
        report: Report = message
        if not isinstance(report, BuilderGone) and report.generation >= self._desk.generation(report.builder):
            self._addresses[report.builder] = sender  # the turn that answers may come at once
        self._notes.heard(self.now(), report)
        self._desk.receive(report)

    def readable(self, descriptors: tuple[int, ...]) -> None:  # noqa: ARG002 - there is only one
        """Somebody changed rows."""
        self._desk.notified()

    def woken(self, payload: object) -> None:
        """Act on a timer."""
        if isinstance(payload, str | float):
            self._desk.woken(payload)

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what is going on, for people."""
        return self._desk.described()

    def story(self) -> tuple[str, ...]:
        """Return which reports came and which letters were posted."""
        return self._notes.lines()

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """Who gets what, and what was promised to whom, are the desk's."""
        self._desk.wrap_cores(wrap)

    def ended(self) -> None:
        """Write down what is waiting, and let go of the database."""
        self._desk.end()

    # --- the desk's surroundings ------------------------------------------------------------------

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def time_of_day(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)

    def connect(self) -> QueueDatabase:
        """Connect, and watch for notifications."""
        database = QueueDatabase(self.settings.database)
        self.watched.add(database.fileno())
        return database

    def disconnected(self) -> None:
        """Watch no more."""
        self.watched.clear()

    def paused(self, why: str) -> None:
        """Leave a note for the command line; without it, the log has said so."""
        try:
            write_note(self.settings.pause_file, why)
        except OSError as error:
            self.log.warning("%s can't be written: %s", self.settings.pause_file, error.strerror)

    def own_disk_refuses(self) -> str:
        """Write a little where logs and results go."""
        with waiting(Excuse.DISK):
            return own_disk.refusal(self.settings.logs_directory, self.settings.librarian_directory)

    def post(self, letters: Sequence[Letter]) -> None:
        """Post letters to builders' actors and to the supervisor."""
        self._notes.answered(letter.message for letter in letters)
        for letter in letters:
            address = self.supervisor if letter.builder is None else self._addresses.get(letter.builder)
            if address is not None:  # a builder that has not spoken yet will report, and is answered then
                self.tell(address, letter.message)
        for letter in letters:
            if isinstance(letter.message, BuildersKnown):
                registered = {builder.name for builder in letter.message.builders}
                self._addresses = {name: at for name, at in self._addresses.items() if name in registered}

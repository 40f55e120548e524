"""The rows that one turn of the queue actor reads, and those of builders and the farm that it writes.

What is read is news to `actors.core.dispatch.matcher`; what was written is read again before anything is decided.  What
the turn makes of both is `actors.queue.turn`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from actors import messages as say
from actors.core.attempts.own_disk import is_own, pause_words
from actors.core.dispatch.events import BuilderNotReady, BuilderReady, BuildersRead, Event, FarmRead, JobsRead
from actors.queue.books import Books
from actors.queue.letters import Letters
from actors.queue.storage import QueueStorage
from storage.errors import UnknownBuilder
from storage.records import Builder, Job, NotOkKind

_FEW: Final = 20  #: builders that are read one by one rather than all at once

log = logging.getLogger("buildd_master.actors.queue")


class Rows:
    """What a turn knows of rows.

    Attributes:
        news: for `dispatch`, in order.
    """

    def __init__(self, books: Books, database: QueueStorage, letters: Letters) -> None:
        self.books, self.database = books, database
        self.news: list[Event] = []
        self._letters = letters
        self._jobs: set[int] = set()  # that were written: to be read again
        self._builders: set[str] = set()
        self._all_jobs = False

    # --- reading ----------------------------------------------------------------------------------

    def read_farm(self) -> None:
        """Read whether dispatch is paused."""
        self.news.append(FarmRead(self.database.farm_states.get()))

    def read_jobs(self, asked: frozenset[int] | None) -> tuple[Job, ...]:
        """Read these jobs, or all."""
        if asked is not None and not asked:
            return ()
        jobs = self.database.queue.jobs(None if asked is None else sorted(asked))
        self.news.append(JobsRead(jobs, asked))
        return jobs

    def read_builders(self, names: set[str] | None) -> None:
        """Read builder rows; the supervisor is told, and tells the builders' actors."""
        if names is not None and not names:
            return
        known = self.books.dispatch.builders
        if names is not None and names <= known and len(names) <= _FEW:
            builders = self.find_builders(names)
            if len(builders) == len(names):
                self.news.append(BuildersRead(builders, frozenset(names)))
                for builder in builders:
                    self._letters.to_supervisor(say.BuilderChanged(builder))
                return
        builders = self.database.builders.all()
        self.news.append(BuildersRead(builders))
        self._letters.to_supervisor(say.BuildersKnown(self.books.outbox.free_first(builders)))
        self.books.forget_others({builder.name for builder in builders})

    def find_builders(self, names: Iterable[str]) -> tuple[Builder, ...]:
        """Return those of these builders that are registered."""
        found = []
        for name in sorted(names):
            try:
                found.append(self.database.builders.get(name))
            except UnknownBuilder:
                continue
        return tuple(found)

    def changed_builder(self, builder: str) -> None:
        """Read the builder's row again before anything is decided: this turn has written to it."""
        self._builders.add(builder)

    def changed_jobs(self, jobs: Iterable[int] | None = None) -> None:
        """Read these jobs again before anything is decided, or all: this turn has written to them, or made some."""
        if jobs is None:
            self._all_jobs = True
        else:
            self._jobs.update(jobs)

    def read_changed(self) -> None:
        """Read again what this turn has written."""
        self.read_builders(self._builders)
        self.read_jobs(None if self._all_jobs else frozenset(self._jobs))

    # --- builders ---------------------------------------------------------------------------------

    def ready(self, builder: str) -> None:
        """Let the builder have the best job."""
        self.news.append(BuilderReady(builder))

    def not_ready(self, builder: str) -> None:
        """Give the builder nothing until it says `Ready` again."""
        self.news.append(BuilderNotReady(builder))

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

    # --- this machine's own disk ------------------------------------------------------------------

    def own_disk_refused(self, why: str) -> None:
        """Give nothing away any more, and say why, unless that is so already."""
        if not self.books.dispatch.farm.paused:
            log.error("dispatch pauses: %s; running builds go on, what they leave waits", why)
            self.news.append(FarmRead(self.database.farm_states.pause_for_now(pause_words(why))))

    def own_disk_serves(self) -> None:
        """Give jobs away again, unless a person has said something else meanwhile."""
        paused = self.books.dispatch.farm.paused
        if is_own(paused):
            log.warning("this machine's own disk takes everything again; dispatch goes on")
            self.news.append(FarmRead(self.database.farm_states.resume_from(paused)))

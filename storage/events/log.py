"""The append-only event log: table `event`.

Written by triggers in the transaction of the change; what is done to a running farm and changes no row is noted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.database.queries import load
from storage.database.repository import Repository, in_words, possible
from storage.records import Event, Relatives

_SQL = load("events")

#: Kind of subject → how one is named in the log; the triggers write them, the debug console those of actors.
KINDS: Final[Mapping[str, str]] = {
    "actor": "NAME",
    "alias": "NUMBER",
    "archive": "NUMBER",
    "attempt": "ID",
    "build": "NUMBER",
    "build_file": "NUMBER",
    "builder": "NAME",
    "certificate": "NAME",
    "chroot": "NUMBER",
    "component": "NAME",
    "distribution": "NAME",
    "distroarchseries": "NUMBER",
    "distroseries": "NUMBER",
    "enrolment": "NAME",
    "family": "NAME",
    "farm": "ID",
    "job": "NUMBER",
    "person": "NAME",
    "publication": "NUMBER",
    "source": "NUMBER",
    "team": "NAME",
    "token": "NUMBER",
}


class Events(Repository):
    """What happened, who did it and why."""

    def list(self, subject: str | None = None, since_id: int = 0, limit: int = 100) -> tuple[Event, ...]:
        """Return events, oldest first.

        Args:
            subject: only of this, as `builder:bob` or `build:17`.
            since_id: only those after it; 0: from the beginning.
            limit: at most so many.
        """
        if subject is None:
            return self._rows(Event, _SQL["since"], since_id=since_id, limit=limit)
        return self._rows(Event, _SQL["of_subject"], subject=subject, since_id=since_id, limit=limit)

    def note(self, subject: str, what: str) -> int:
        """Write down what is about to be done and changes no row; who and why are the transaction's.

        Args:
            subject: as `builder:bob` or `actor:queue`.
            what: as `console: crash`; one line.

        Returns:
            The event's id, to be the cause of what follows.
        """
        return int(self._values(_SQL["note"], subject=subject, what=what)[0])

    def because_of(self, event: int) -> None:
        """Have every event that is still to come in this transaction name `event` as its cause."""
        self._run(_SQL["because_of"], event=event)

    def last_id(self) -> int:
        """Return the id of the newest event; 0: there is none."""
        return int(self._values(_SQL["last_id"])[0])

    def horizon(self) -> tuple[int, int, int]:
        """Return the newest event, the oldest open transaction and the next one, in one snapshot."""
        last, oldest, following = self._values(_SQL["horizon"])
        return int(last), int(oldest), int(following)

    def story(self, subject: str) -> tuple[Event, ...]:
        """Return everything that happened to `subject`, oldest first."""
        return self._rows(Event, _SQL["of_subject"], subject=subject, since_id=0, limit=None)

    def latest(
        self,
        limit: int,
        *,
        subjects: Sequence[str] | None = None,
        who: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
    ) -> tuple[Event, ...]:
        """Return the last events of those that fit, oldest first.

        Args:
            limit: at most so many.
            subjects: only of these.
            who: only what this actor or person did.
            since: only from then on.
            until: only before.
            after: only those with a greater id.
        """
        found = self._rows(
            Event,
            _SQL["latest"],
            limit=limit,
            subjects=None if subjects is None else list(subjects),
            who=who,
            since=since,
            until=until,
            after=after,
        )
        return found[::-1]

    def about_build(self, build: int) -> tuple[str, ...]:
        """Return the subjects of all events about a build: itself, its attempts, jobs and files."""
        with in_words():
            rows = self._conn.execute(_SQL["about_build"], {"build": build}).fetchall()
        return tuple(subject for (subject,) in rows)

    def attempts_like(self, digits: str) -> tuple[str, ...]:
        """Return the ids of attempts that begin so.

        Args:
            digits: 1 to 32 hexadecimal ones, without dashes.
        """
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        with in_words():
            rows = self._conn.execute(_SQL["attempts_like"], {"first": first, "last": last}).fetchall()
        return tuple(attempt for (attempt,) in rows)

    def get(self, event: int) -> Event | None:
        """Return the event of this number; None: there is none (any more)."""
        return self._row(Event, _SQL["one"], event=event) if possible([event]) else None

    def relatives(self, event: int) -> Relatives:
        """Return what the subject of an event hangs together with."""
        found = self._row(Relatives, _SQL["relatives"], event=event)
        return Relatives(None, None, None, (), (), ()) if found is None else found

    def before(
        self,
        event: int,
        subjects: Sequence[str],
        at: datetime | None = None,
        *,
        what: str = "",
        since: datetime | None = None,
    ) -> Event | None:
        """Return the last event of these subjects before another one.

        Args:
            event: the other one.
            subjects: any of them.
            at: only of the transaction that began then.
            what: only those whose `what` begins so.
            since: only from then on.
        """
        return self._row(Event, _SQL["before"], event=event, subjects=list(subjects), at=at, what=what, since=since)

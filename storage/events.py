"""The append-only event log: table `event`.

Written by triggers in the transaction of the change; what is done to a running farm and changes no row is noted here.
"""

from __future__ import annotations

from storage.queries import load
from storage.records import Event
from storage.repository import Repository

_SQL = load("events")


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

    def story(self, subject: str) -> tuple[Event, ...]:
        """Return everything that happened to `subject`, oldest first."""
        return self._rows(Event, _SQL["of_subject"], subject=subject, since_id=0, limit=None)

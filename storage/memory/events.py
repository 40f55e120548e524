"""The in-memory twin of `storage.events.log`."""

from __future__ import annotations

from storage.memory.database import MemoryFarm
from storage.memory.event_log import Line, Note
from storage.records import Event


class MemoryEvents:
    """The twin of `storage.events.log.Events`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def list(self, subject: str | None = None, since_id: int = 0, limit: int = 100) -> tuple[Event, ...]:
        """See `Events.list`."""
        found = (event for event in self._farm.events if event.id > since_id and subject in {None, event.subject})
        return tuple(found)[:limit]

    def note(self, subject: str, what: str) -> int:
        """See `Events.note`."""
        farm = self._farm
        farm.events.add(Line(farm.now(), farm.who, farm.why, farm.cause, "", None, Note(subject, what)))
        return len(farm.events)

    def because_of(self, event: int) -> None:
        """See `Events.because_of`."""
        self._farm.cause = event

    def last_id(self) -> int:
        """See `Events.last_id`."""
        return self._farm.events[-1].id if self._farm.events else 0

    def story(self, subject: str) -> tuple[Event, ...]:
        """See `Events.story`."""
        return self._farm.story(subject)

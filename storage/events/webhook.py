"""The event log as people are told of it, and how far they were; tables `event` and `webhook`.

Which events are worth telling, and what becomes of the rest, stands in `actors.core.people.notices` and
`actors.core.people.telling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from storage.database.queries import load
from storage.database.repository import Repository
from storage.records import Event

_SQL = load("webhook")

_PAGE: Final = 5000  #: events read at a time: what was written in days must not take longer than a statement may


class WebhookLog(Repository):
    """What was told, and what may be worth it."""

    def begin(self) -> tuple[int, tuple[int, ...]]:
        """Return up to which event people were told, and of which after it; at the first time: all there are."""
        cursor, told = self._values(_SQL["begin"])
        return int(cursor), tuple(told)

    def keep(self, cursor: int, told: Sequence[int]) -> None:
        """Write down how far people were told."""
        self._run(_SQL["keep"], cursor=cursor, told=list(told))

    def horizon(self) -> tuple[int, int, int, datetime]:
        """Return the newest event, the oldest open transaction and the next one, and the time: in one snapshot."""
        last, oldest, following, now = self._values(_SQL["horizon"])
        return int(last), int(oldest), int(following), now

    def events(self, cursor: int, columns: Sequence[str]) -> Iterator[Event]:
        """Yield the events after `cursor` in which one of `columns` changed, and some others, by id.

        The subject of a chroot's event names the chroot.
        """
        while True:
            page = self._rows(Event, _SQL["page"], since=cursor, columns=list(columns), limit=_PAGE)
            if not page:
                return
            yield from page
            cursor = page[-1].id

"""The event log of the in-memory database: what the triggers of migration 0002 write in SQL.

`storage.memory.database` notes every change of a row; it is put into words only when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, overload
from uuid import UUID

from storage.limits import said
from storage.records import Event, Limits

#: Table → kind of subject, and the column that names it; tables without have no events.
SUBJECTS: Final = {
    "person": ("person", "name"),
    "team": ("team", "name"),
    "team_member": ("team", "team"),
    "processor_family": ("family", "name"),
    "distroarchseries": ("distroarchseries", "id"),
    "library_alias": ("alias", "id"),
    "chroot": ("chroot", "id"),
    "archive": ("archive", "id"),
    "source_release": ("source", "id"),
    "publication": ("publication", "id"),
    "build": ("build", "id"),
    "builder": ("builder", "name"),
    "buildqueue": ("job", "id"),
    "attempt": ("attempt", "id"),
    "build_file": ("build_file", "build"),
}


class Line(NamedTuple):
    """One change of a row."""

    at: datetime
    who: str
    why: str
    cause: int | None
    table: str
    before: Any  #: None: there was no row
    after: Any  #: None: it is deleted


class Note(NamedTuple):
    """What changed no row: `after` of a line of no table."""

    subject: str
    what: str


class EventLog(Sequence[Event]):
    """The event log; a line is put into words when somebody reads it."""

    def __init__(self) -> None:
        """Begin with no events."""
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Note that a row was changed."""
        self._lines.append(line)

    def lines(self) -> Sequence[Line]:
        """Return all changes as they were noted."""
        return self._lines

    def about(self, subject: str) -> tuple[Event, ...]:
        """Return the events of `subject`, in order; the others, which may be very many, are not put into words."""
        kind, _, name = subject.partition(":")
        columns = {table: column for table, (of, column) in SUBJECTS.items() if of == kind}
        return tuple(
            _in_words(number, line)
            for number, line in enumerate(self._lines, 1)
            if (
                line.after.subject == subject
                if isinstance(line.after, Note)
                else line.table in columns
                and str(getattr(line.before if line.after is None else line.after, columns[line.table])) == name
            )
        )

    def cut(self, length: int) -> None:
        """Forget all but the first `length` events."""
        del self._lines[length:]

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Event: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Event]: ...
    def __getitem__(self, place: int | slice) -> Event | Sequence[Event]:
        """Return one event, or some of them."""
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        return _in_words(number + 1, self._lines[number])


def _in_words(number: int, line: Line) -> Event:
    if isinstance(line.after, Note):
        return Event(number, line.at, line.who, line.why, *line.after, None, None, line.cause)
    kind, column = SUBJECTS[line.table]
    was, became = _plain(line.before), _plain(line.after)
    what = "insert" if was is None else "delete"
    if was is not None and became is not None:
        changed = sorted(key for key in became if became[key] != was[key])
        what = ", ".join(changed)
        was, became = {key: was[key] for key in changed}, {key: became[key] for key in changed}
    subject = f"{kind}:{getattr(line.before if line.after is None else line.after, column)}"
    return Event(number, line.at, line.who, line.why, subject, what, was, became, line.cause)


def _plain(row: Any) -> dict[str, object] | None:  # noqa: ANN401 - a row of any table
    """Return a row as JSON would have it."""
    if row is None:
        return None
    names = getattr(row, "_fields", None) or [field.name for field in fields(row)]  # a tuple or a dataclass
    return {name: _plain_value(getattr(row, name)) for name in names}


def _plain_value(value: object) -> object:
    match value:
        case StrEnum():
            return value.value
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case Limits():
            return said(value)
        case str():
            return value
        case Sequence():
            return [_plain_value(one) for one in value]
        case _:
            return value

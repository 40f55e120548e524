"""What happened, as people read it: events in a table, a line each, or as the chain of what led to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cli.terminal.output import console, say, when
from cli.terminal.tables import Rows
from storage.records import Event

LAST = 10  #: events that are shown
_NARROW: Final = 72  #: columns below which a table of events would fold its words letter by letter

#: Columns that say no more than the event's own time does.
_TIMES: Final = frozenset({"created", "started", "ended", "accepted", "buildstart", "since"})
#: Kind of subject → what of a new row says most.
_TELLING: Final[Mapping[str, tuple[str, ...]]] = {
    "build": ("source", "distroarchseries", "pocket"),
    "job": ("build",),
    "attempt": ("build", "builder"),
    "builder": ("url",),
    "source": ("name", "version"),
    "build_file": ("attempt",),
}


def print_story(events: Sequence[Event]) -> None:
    """Print the events of one subject, oldest first, under a blank line; nothing if there are none."""
    if not events:
        return
    rows = Rows("WHEN", "WHO", "WHAT", "WHY", fold=("WHAT", "WHY"))
    for event in events:
        kind, _, name = event.subject.partition(":")
        whose = f"{name}: " if kind == "family" else ""  # they stand in the farm's story
        rows.add(when(event.at), event.who, whose + what(event), event.why)
    console().print()
    rows.show()


def print_events(events: Iterable[Event], empty: str) -> None:
    """Print events of any subjects, oldest first; the line `empty` if there are none.

    They are a table, or on a narrow terminal lines that it wraps.
    """
    out = console()
    if out.is_terminal and out.width < _NARROW:
        events = tuple(events)
        for event in events:
            say(line(event))
        if events:
            return
    rows = Rows(
        "EVENT", "WHEN", "WHO", "SUBJECT", "WHAT", "WHY", right=("EVENT",), fold=("WHAT", "WHY"), less=("EVENT",)
    )
    for event in events:
        rows.add(str(event.id), when(event.at), event.who, short(event.subject), what(event), event.why)
    rows.show(empty)


def line(event: Event) -> str:
    """Return an event as one line, for a log that grows."""
    why = f"  ({event.why})" if event.why else ""
    return f"{event.id:>7}  {when(event.at)}  {event.who:<10}  {short(event.subject):<20}  {what(event)}{why}"


def short(subject: str) -> str:
    """Return a subject with no more of an attempt's UUID than people compare."""
    kind, _, name = subject.partition(":")
    return f"{kind}:{name[:8]}" if kind == "attempt" else subject


def what(event: Event) -> str:
    """Return what changed: names and new values of columns."""
    after = event.after
    if after is None or event.what == "delete":
        return event.what
    if event.what == "insert":
        told = _TELLING.get(event.subject.partition(":")[0], ())
        return " ".join(["insert", *(f"{column}={after[column]}" for column in told if column in after)])
    columns = {column: value for column, value in after.items() if column not in _TIMES} or after
    return ", ".join(f"{column} = {_value(value)}" for column, value in columns.items())


def _value(value: object) -> str:
    return "none" if value is None or value == "" else str(value)

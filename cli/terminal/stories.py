"""What happened, as people read it: events in a table, a line each, or as the chain of what led to one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from cli.terminal.output import console, say, when
from cli.terminal.tables import Rows
from storage.records import Event

LAST = 10  #: events that are shown
_NARROW: Final = 72  #: columns below which a table of events would fold its words letter by letter
_MARK: Final = 9  #: columns that `because` takes in a chain
_ROOMY: Final = 110  #: columns from which on what happened and why have a column each

#: Columns that say no more than the event's own time does.
_TIMES: Final = frozenset({"created", "started", "ended", "accepted", "buildstart", "since"})
#: A time as PostgreSQL's `to_jsonb` writes it.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d")
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
    _print(tuple(events), empty, ())


def print_chain(events: Sequence[Event]) -> None:
    """Print an event and what led to it, each because of the next; as `print_events` does."""
    _print(events, "", ("", *("because" for _ in events[1:])))


def _print(events: Sequence[Event], empty: str, marks: Sequence[str]) -> None:
    """Print events as a table or as lines; `marks` stand before them, one for each, or are none."""
    out = console()
    # Every event keeps its number: `events --because` wants it.
    if events and out.is_terminal and out.width < _NARROW + (_MARK if marks else 0):
        for place, event in enumerate(events):
            say(f"{marks[place]:<{_MARK}}{line(event)}" if marks else line(event))
        return
    roomy = not out.is_terminal or out.width >= _ROOMY
    told = ("WHAT", "WHY") if roomy else ("WHAT (WHY)",)
    rows = Rows(*[""][: len(marks)], "EVENT", "WHEN", "WHO", "SUBJECT", *told, right=("EVENT",), fold=told)
    for place, event in enumerate(events):
        words = (what(event), event.why) if roomy else (_and_why(event),)
        mark = marks[place : place + 1]
        rows.add(*mark, str(event.id), when(event.at), event.who, short(event.subject), *words)
    rows.show(empty)


def line(event: Event) -> str:
    """Return an event as one line, for a log that grows."""
    return f"{event.id:>7}  {when(event.at)}  {event.who:<10}  {short(event.subject):<20}  {_and_why(event)}"


def _and_why(event: Event) -> str:
    return f"{what(event)}  ({event.why})" if event.why else what(event)


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
    if isinstance(value, str) and _TIME.fullmatch(value):
        return when(datetime.fromisoformat(value))
    return "none" if value is None or value == "" else str(value)

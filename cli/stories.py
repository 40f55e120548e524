"""What happened to something: its last events, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from cli.output import console, when
from cli.tables import Rows
from storage.records import Event

LAST = 10  #: events that are shown


def print_story(events: Sequence[Event]) -> None:
    """Print events, oldest first, under a blank line; nothing if there are none."""
    if not events:
        return
    rows = Rows("WHEN", "WHO", "WHAT", "WHY", fold=("WHAT", "WHY"))
    for event in events:
        kind, _, name = event.subject.partition(":")
        whose = f"{name}: " if kind == "family" else ""  # they stand in the farm's story
        rows.add(when(event.at), event.who, whose + _changes(event.what, event.after), event.why)
    console().print()
    rows.show()


def _changes(what: str, after: dict[str, object] | None) -> str:
    if after is None or what in {"insert", "delete"}:
        return what
    return ", ".join(f"{column} = {value}" for column, value in after.items())

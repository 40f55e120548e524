"""How the command line shows things: tables, times, states, JSON.

People get tables that fit their terminal, in local time, with colour only on a terminal; programs get `--json` (times in
UTC), or, from a pipe, one uncut line a row.  What a command found goes to stdout; what it is doing goes to stderr.
The colours and shapes of states are those of every other view of the farm.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from enum import Enum
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from cli.terminal.visible import visible

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

#: state → (shape, colour): a state is shape, colour and word, never colour alone.
STATES: Mapping[str, tuple[str, str]] = {
    "ok": ("○", "default"),
    "IDLE": ("○", "default"),
    "DISCONNECTED": ("◌", "bright_black"),
    "CONNECTING": ("◌", "bright_black"),
    "PREPARING": ("▷", "#56B4E9"),
    "BUILDING": ("▶", "#0072B2"),
    "GATHERING": ("▽", "#56B4E9"),
    "CLEANING": ("▽", "#56B4E9"),
    "ABORTING": ("◇", "#56B4E9"),
    "CANCELLING": ("◇", "#56B4E9"),
    "NOT OK": ("▲", "#D55E00"),
    "QUARANTINED": ("◬", "#E69F00"),
    "MANUAL": ("□", "default"),
    "FROZEN": ("▨", "#56B4E9"),
    "NEEDSBUILD": ("·", "default"),
    "FULLYBUILT": ("✔", "#009E73"),
    "OK": ("✔", "#009E73"),
    "FAILEDTOBUILD": ("✘", "#D55E00"),
    "FAILEDTOUPLOAD": ("✘", "#D55E00"),
    "PACKAGEFAIL": ("✘", "#D55E00"),
    "INFRAFAILED": ("✘", "#E69F00"),
    "CHROOTWAIT": ("✘", "#E69F00"),
    "MANUALDEPWAIT": ("⧗", "#CC79A7"),
    "CANCELLED": ("–", "bright_black"),  # noqa: RUF001 - the dash is the shape
    "SUPERSEDED": ("–", "bright_black"),  # noqa: RUF001
}

#: time zone of what people read; None: this machine's
_ZONE: ContextVar[tzinfo | None] = ContextVar("_ZONE", default=None)

#: A time as reasons of the cores have it (`actors.core.dispatch.reasons.moment`).
_UTC_TIME: Final = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\b")

_WIDE = 100_000  #: columns: into a pipe nothing is cut or folded


class _Terminal(Console):
    """A console on which what is printed never steers the terminal; colours are the console's own business."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def console(*, err: bool = False) -> Console:
    """Return a console on stdout or stderr as it is now (tests replace the streams)."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _WIDE
    return _Terminal(file=stream, width=width, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Print a line of the answer."""
    console().print(text, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a line about what is being done; never part of the answer."""
    console(err=True).print(text, markup=False, soft_wrap=True, style="bright_black")


def warn(text: str) -> None:
    """Print a line that the person should not overlook."""
    console(err=True).print(f"[#E69F00]warning:[/] {escape(text)}", soft_wrap=True)


_AS_THEY_ARE: Final = frozenset((str, int, float, bool, type(None)))  #: not enums, which are of these, too


def print_json(document: object) -> None:
    """Print `document` (records, enums, times and paths included) as JSON."""
    # Written at once: `json.dump` writes every word by itself, which takes longer than all the rest for a long queue.
    sys.stdout.write(visible(json.dumps(plain(document), indent=2, ensure_ascii=False)) + "\n")


def plain(value: object) -> object:
    """Return `value` in JSON's types; records become objects with their fields' names, times UTC with a `Z`."""
    if type(value) in _AS_THEY_ARE:
        return value
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case UUID() | Path():
            return str(value)
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(inner) for inner in value]
        case _ if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value


def state(name: str) -> Text:
    """Return a state as shape, colour and word; the word alone where the terminal's encoding has no shapes."""
    shape, colour = STATES.get(name, ("·", "default"))
    try:
        shape.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return Text(name, style=colour)
    return Text(f"{shape} {name}", style=colour)


def show_times_in(zone: tzinfo | None) -> None:
    """Show and read times in `zone` from now on; None: in this machine's."""
    _ZONE.set(zone)


def when(moment: datetime | None) -> str:
    """Return a time as people of this machine read it, or with a `Z` if UTC is wanted; empty if there is none."""
    if moment is None:
        return ""
    return moment.astimezone(_ZONE.get()).strftime("%Y-%m-%d %H:%M:%S") + ("Z" if _ZONE.get() is UTC else "")


def in_local_time(words: str) -> str:
    """Return what the cores say, their times as `when` shows them."""
    return _UTC_TIME.sub(lambda found: when(datetime.fromisoformat(f"{found[1]}+00:00")), words)


def read_time(text: str) -> datetime:
    """Return the time that a person wrote; without a zone of its own it is in that in which times are shown.

    Raises:
        ValueError, OverflowError: it is none.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=_ZONE.get()) if moment.tzinfo is None and _ZONE.get() else moment.astimezone()


def duration(seconds: float) -> str:
    """Return seconds in words, as `4 m 12 s`, with its two greatest units."""
    whole = max(0, int(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])


def since(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago `moment` was."""
    return duration(((now or datetime.now(UTC)) - moment).total_seconds())


def ago(moment: datetime) -> str:
    """Return how long ago `moment` was, with its greatest unit only."""
    return " ".join(since(moment).split()[:2]) + " ago"


def counted(number: int, noun: str) -> str:
    """Return a number of things, as `1 build` or `2 builds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(octets: int) -> str:
    """Return a size in bytes as people read it, as `1.4 MB` (powers of ten)."""
    amount = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:  # noqa: PLR2004 - where rounding would show four digits
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= 1000
    return f"{amount:.1f} TB"

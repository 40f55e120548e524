"""`events`: what happened, who did it and why; as of now, or as it comes.  Reads what every command reads."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperCommand

from cli.errors import CommandError
from cli.farm import open_farm
from cli.output import plain, when
from console.line import BadCommand, Line, Options
from storage.errors import StorageError
from storage.events import Events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.given import Given
    from console.screen import Screen
    from storage.records import Event

_LOOK_SECONDS: Final = 0.25  #: between two looks of one who follows
_PAGE: Final = 1000
_LAST: Final = 20  #: events that are told unless more are asked for


def tell_events(line: Line, screen: Screen, given: Given) -> None:
    """Do what a line `events …` says.

    Raises:
        BadCommand: it can't be read, or the database does not answer.
    """
    options = _read(line.words)
    if options.follow and not screen.person:
        raise BadCommand("events -f goes on until ^C: it is for a terminal; `events` tells what there is")
    subject = options.subject
    if options.builder is not None:
        subject = f"builder:{options.builder}"
    elif options.build is not None:
        subject = f"build:{options.build}"
    try:
        with open_farm(typer.Context(TyperCommand("console"), obj=given)) as farm:
            events = Events(farm.connection)
            since = events.last_id()
            told = events.story(subject) if subject else events.list(since_id=max(0, since - options.limit))
            _tell(told[-options.limit :], line, screen)
            with contextlib.suppress(KeyboardInterrupt):
                while options.follow:
                    time.sleep(_LOOK_SECONDS)
                    news = events.list(subject, since, _PAGE)
                    _tell(news, line, screen)
                    since = max([since, *(event.id for event in news)])
    except (StorageError, CommandError) as error:
        raise BadCommand(str(error).partition("\n")[0]) from error


class _Given:
    """What was asked for."""

    builder: str | None
    build: int | None
    subject: str | None
    limit: int
    follow: bool


def _read(words: list[str]) -> _Given:
    parser = Options(prog="events", add_help=False, allow_abbrev=False)
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--builder")
    whose.add_argument("--build", type=int)
    whose.add_argument("--subject")
    parser.add_argument("--limit", type=int, default=_LAST)
    parser.add_argument("-f", "--follow", action="store_true")
    given = parser.parse_args(words, namespace=_Given())
    if not 0 < given.limit <= _PAGE:
        raise BadCommand(f"events: --limit {given.limit}: from 1 to {_PAGE}")
    return given


def _tell(events: Iterable[Event], line: Line, screen: Screen) -> None:
    for event in events:
        if line.as_json:
            screen.print_json(plain(event))
            continue
        what = event.what
        if event.after is not None and event.what not in {"insert", "delete"}:
            what = ", ".join(f"{column} = {value}" for column, value in event.after.items())
        because = f" (because of event {event.cause})" if event.cause is not None else ""
        why = f": {event.why}" if event.why else ""
        screen.say(f"{event.id} {when(event.at)} {event.who}  {event.subject}  {what}{why}{because}")

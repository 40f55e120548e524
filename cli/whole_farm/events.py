"""`buildd-master events`: what happened in the farm, who did it, why, and what led to it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from actors.core.people.causes import sought
from actors.core.people.private import readable
from actors.core.people.roles import Action
from actors.core.people.settling import Horizon, Settling
from cli.changes import changes
from cli.errors import BadInput
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.finding import find_build
from cli.terminal.output import AsJson, plain, print_json, read_time, say
from cli.terminal.stories import line, print_chain, print_events
from cli.terminal.visible import visible
from storage.builders import Builders
from storage.errors import BadValue
from storage.events.log import KINDS, Events
from storage.limits import parse
from storage.records import Event

_BEHIND = 1000  #: events, at the beginning, behind which none is thought to turn up
_AT_ONCE = 10_000  #: events that are shown at a time while following
_CHAIN = 50  #: causes that are followed, at most
_HEX: Final = re.compile(r"[0-9a-f]{1,32}")


def events(
    context: typer.Context,
    build: Annotated[
        int | None,
        typer.Option(metavar="BUILD", help="About this build, its attempts and its job.", show_default=False),
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="About this builder.", autocompletion=completing.builders, show_default=False
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="KIND:NAME", help="About this, as archive:3 or team:admins.", show_default=False),
    ] = None,
    who: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What this person or actor did.",
            autocompletion=completing.persons,
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="From then on: 2h, 1d 12h, 2026-03-01, '2026-03-01 14:30'.", show_default=False
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.", show_default=False)] = None,
    because: Annotated[
        int | None,
        typer.Option(metavar="EVENT", help="What led to this event, back to where it began.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=_AT_ONCE, help="At most so many, the last.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens next, until ^C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened: when, who, what, and why.

    With --json and --follow each event is a JSON document on one line.
    """
    _check(build=build, builder=builder, subject=subject, because=because, follow=follow, until=until)
    now = datetime.now(UTC)
    with open_farm(context) as farm:
        chosen = _Chosen(farm, build, builder, subject, who, _time("--since", since, now), _time("--until", until, now))
        chosen.allow()
        if because is not None:
            _print_chain(farm, because, as_json=as_json)
        elif follow:
            _follow(farm, chosen, limit, as_json=as_json)
        else:
            found = chosen.latest(limit)
            if as_json:
                print_json({"events": [plain(one) for one in found]})
            else:
                print_events(found, "no such events")


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which events."""

    farm: Farm
    build: int | None
    builder: str | None
    subject: str | None
    who: str | None
    since: datetime | None
    until: datetime | None

    def allow(self) -> None:
        """Refuse what is not there, and what the caller may not see.

        Raises:
            UnknownBuild, UnknownBuilder: there is none.
            Refused: the whole farm's events are for its admins; those of builders and of builds that they may read for all.
        """
        if self.build is not None and readable(self.farm.caller, find_build(self.farm, self.build)):
            return
        if self.builder is not None:
            Builders(self.farm.connection).get(self.builder)
            return
        self.farm.require(Action.READ_ALL)

    def latest(self, limit: int, after: int = 0) -> tuple[Event, ...]:
        """Return the last of them, oldest first."""
        log = Events(self.farm.connection)
        return log.latest(
            limit, subjects=self._subjects(log), who=self.who, since=self.since, until=self.until, after=after
        )

    def _subjects(self, log: Events) -> Sequence[str] | None:
        if self.build is not None:
            return log.about_build(self.build)
        if self.builder is not None:
            return [f"{kind}:{self.builder}" for kind in ("builder", "certificate", "enrolment")]
        return None if self.subject is None else _subjects(log, self.subject)


def _subjects(log: Events, text: str) -> Sequence[str]:
    """Return the subjects that a person means; an attempt may be named by the digits that tables show.

    Raises:
        BadInput: the log has no such subjects.
    """
    kind, _, name = text.partition(":")
    if kind not in KINDS:
        raise BadInput(f"--subject {text}: write KIND:NAME, with one of {', '.join(KINDS)}")
    named = KINDS[kind]
    digits = name.replace("-", "").lower()
    if not name or (named == "NUMBER" and not name.isdecimal()) or (kind == "attempt" and not _HEX.fullmatch(digits)):
        raise BadInput(f"--subject {text}: write {kind}:{named}, as `buildd-master events` shows it")
    return [f"attempt:{one}" for one in log.attempts_like(digits)] if kind == "attempt" else [text]


def _follow(farm: Farm, chosen: _Chosen, limit: int, *, as_json: bool) -> None:
    log = Events(farm.connection)
    with changes(farm) as told:
        last = log.last_id()
        settling = Settling(max(0, last - _BEHIND))
        shown = {one.id for one in chosen.latest(_BEHIND, settling.upto) if one.id <= last}
        for one in chosen.latest(limit):
            _print(one, as_json=as_json)
            shown.add(one.id)
        while True:
            told.wait(None)
            horizon = Horizon(*log.horizon())
            for one in chosen.latest(_AT_ONCE, settling.upto):
                if one.id not in shown:
                    _print(one, as_json=as_json)
                    shown.add(one.id)
            settling.see(horizon)
            shown = {event for event in shown if event > settling.upto}


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(visible(json.dumps(plain(event), ensure_ascii=False)) + "\n")
    else:
        say(line(event))
    sys.stdout.flush()


def _print_chain(farm: Farm, number: int, *, as_json: bool) -> None:
    log = Events(farm.connection)
    first = log.get(number)
    if first is None:
        raise BadInput(f"no event {number}: `buildd-master events` lists the last ones, with their numbers")
    chain = [first]
    while len(chain) < _CHAIN and (cause := _cause(log, chain[-1])) is not None:
        chain.append(cause)
    if as_json:
        print_json({"events": [plain(one) for one in chain]})
        return
    print_chain(chain)


def _cause(log: Events, event: Event) -> Event | None:
    if event.cause is not None:
        return log.get(event.cause)
    where = sought(event, log.relatives(event.id))
    if where is None:
        return None
    at = event.at if where.same_transaction else None
    return log.before(event.id, where.subjects, at, what=where.what, since=where.since)


def _check(*, because: int | None, follow: bool, until: str | None, **about: object) -> None:
    if sum(one is not None for one in about.values()) > 1:
        raise BadInput("one of --build, --builder and --subject: events are about one thing")
    if because is not None and (follow or any(one is not None for one in about.values())):
        raise BadInput("--because shows what led to one event; nothing can be chosen or followed there")
    if follow and until is not None:
        raise BadInput("--follow goes on with what happens next, --until ends before then: one of them")


def _time(option: str, text: str | None, now: datetime) -> datetime | None:
    """Return the time that a person wrote, in their time zone, or so long ago.

    Raises:
        BadInput: it is neither.
    """
    if text is None:
        return None
    try:
        return now - timedelta(seconds=parse("_seconds", text, bare=False))
    except (BadValue, OverflowError):
        pass
    try:
        return read_time(text)
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"{option} {text}: write how long ago, as 90s, 2h or 1d 12h, or when, as 2026-03-01 or '2026-03-01 14:30'"
        ) from error

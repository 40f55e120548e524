"""`buildd-master farm`: what an operator says of the farm as a whole: pause, and the least scores that are given away."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from actors.core.people.roles import Action
from cli.errors import BadInput
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.saying_why import Why, one_line
from cli.terminal.output import AsJson, plain, print_json, say
from cli.terminal.stories import LAST, print_story
from cli.terminal.tables import Facts
from storage.database.connection import farm_id
from storage.events.log import Events
from storage.farm import FarmStates
from storage.records import Event, FarmState
from storage.series import Series

app = typer.Typer(help="The farm as a whole: pause it, resume it, fence it.", no_args_is_help=True)


@app.command("show")
def show_farm(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what holds for the whole farm, and who said so."""
    with open_farm(context) as farm:
        now = FarmStates(farm.connection).get()
        number = farm_id(farm.connection)
        story = _story(farm, number)
    if as_json:
        print_json({"id": number, **document(now), "events": plain(story)})
        return
    facts = Facts()
    facts.add("farm", number)
    facts.add("dispatch", Text(f"paused: {now.paused}", style="#D55E00") if now.paused else "jobs are given away")
    facts.add("least score", "none" if now.minimum_score is None else str(now.minimum_score))
    for one in now.family_scores:
        facts.add(f"of {one.family}", str(one.score))
    facts.show()
    print_story(story)


@app.command("pause")
def pause_farm(
    context: typer.Context,
    why: Annotated[
        str,
        typer.Option(
            "--why", metavar="TEXT", help="Shown with every job that waits.", show_default=False, callback=one_line
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Give no jobs away until `farm resume`.

    Builds that run go on, and their results count.
    """
    with open_farm(context) as farm, farm.acting(why, Action.CHANGE_FARM):
        now = FarmStates(farm.connection).pause(why)
    if as_json:
        print_json(document(now))
    else:
        say(f"dispatch is paused: {now.paused}; `buildd-master farm resume` goes on")


@app.command("resume")
def resume_farm(context: typer.Context, why: Why = None, as_json: AsJson = False) -> None:
    """Give jobs away again."""
    with open_farm(context) as farm:
        before = FarmStates(farm.connection).get()
        with farm.acting(why or "farm resume", Action.CHANGE_FARM):
            now = FarmStates(farm.connection).resume()
    if as_json:
        print_json(document(now))
    else:
        say(f"jobs are given away again (was paused: {before.paused})" if before.paused else "it was not paused")


@app.command("fence", context_settings={"ignore_unknown_options": True})  # a score may be negative
def fence_farm(
    context: typer.Context,
    score: Annotated[
        int | None,
        typer.Argument(metavar="SCORE", help="Jobs of a lower score, without age, wait.", show_default=False),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="No fence.")] = False,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="Only for this processor family, as amd64.",
            autocompletion=completing.families,
            show_default=False,
        ),
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Let jobs wait whose score is too low.

    Of the fences of the farm and of a family the higher one counts.
    """
    if (score is None) != none:
        raise BadInput("which score? give a number, or --none for no fence")
    whose = f"of {family}" if family else "of the farm"
    with open_farm(context) as farm:
        told = why or f"farm fence {'--none' if none else score}{f' --family {family}' if family else ''}"
        with farm.acting(told, Action.CHANGE_FARM):
            now = FarmStates(farm.connection).set_minimum_score(score, family)
    if as_json:
        print_json(document(now))
    elif none:
        say(f"the least score {whose} is none")
    else:
        say(f"the least score {whose} is {score}: jobs below it wait")


def _story(farm: Farm, number: str) -> list[Event]:
    """Return the last events of the farm and of its processor families."""
    subjects = [f"farm:{number}", *(f"family:{one.name}" for one in Series(farm.connection).families())]
    events = (event for subject in subjects for event in Events(farm.connection).story(subject))
    return sorted(events, key=lambda event: event.id)[-LAST:]


def document(now: FarmState) -> dict[str, object]:
    """Return the farm's state as `--json` shows it."""
    return {
        "paused": now.paused or None,
        "minimum_score": now.minimum_score,
        "family_scores": {one.family: one.score for one in now.family_scores},
    }

"""`buildd-master builder quarantine` and `release`: no work for a builder for a while, by a person's word.

The farm's own quarantine (dispatch-rules §6) is the same rule of dispatch; for a fault that only a person clears there
is `builder set --not-ok`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.farm import open_farm
from cli.options import completing
from cli.options.saying_why import Why, one_line
from cli.terminal.output import AsJson, print_json, say, when
from storage.builders import Builders

app = typer.Typer()

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the builder.", autocompletion=completing.builders, show_default=False),
]
_MOST_MINUTES = 7 * 24 * 60


@app.command("quarantine")
def quarantine_builder(
    context: typer.Context,
    name: Name,
    minutes: Annotated[
        int, typer.Option("--minutes", metavar="N", min=1, max=_MOST_MINUTES, help="For so long.", show_default=False)
    ],
    why: Annotated[
        str,
        typer.Option("--why", metavar="TEXT", help="Shown with its reasons.", show_default=False, callback=one_line),
    ],
    as_json: AsJson = False,
) -> None:
    """Give a builder no work for a while.

    What it builds goes on; it gets work again by itself, or by `builder release`.
    """
    with open_farm(context) as farm, farm.acting(why, Action.CHANGE_BUILDERS):
        builder = Builders(farm.connection).quarantine(name, minutes * 60, why)
    if as_json:
        print_json({"builder": name, "quarantined_until": builder.quarantined_until, "why": builder.quarantine_why})
    else:
        say(f"builder {name} gets no work until {when(builder.quarantined_until)}: {builder.quarantine_why}")


@app.command("release")
def release_builder(context: typer.Context, name: Name, why: Why = None, as_json: AsJson = False) -> None:
    """End the quarantine of a builder, whoever began it."""
    with open_farm(context) as farm:
        before = Builders(farm.connection).get(name)
        with farm.acting(why or f"builder release {name}", Action.CHANGE_BUILDERS):
            Builders(farm.connection).release(name)
    if as_json:
        print_json({"builder": name, "released": before.quarantined_until is not None})
    elif before.quarantined_until is None:
        say(f"builder {name} was not in quarantine")
    else:
        say(f"builder {name} gets work again")

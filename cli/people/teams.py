"""`buildd-master team`: people with a role in common."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.farm import open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say
from cli.terminal.tables import Rows
from storage.access.people import People
from storage.records import Team

app = typer.Typer(help="People with a role in common.", no_args_is_help=True)

NewName = Annotated[str, typer.Argument(metavar="TEAM", help="As buildd-admins.", show_default=False)]
Name = Annotated[
    str,
    typer.Argument(metavar="TEAM", help="As buildd-admins.", autocompletion=completing.teams, show_default=False),
]
Member = Annotated[
    str, typer.Argument(metavar="PERSON", help="As cprov.", autocompletion=completing.persons, show_default=False)
]


@app.command("list")
def list_teams(context: typer.Context, as_json: AsJson = False) -> None:
    """List the teams and their members."""
    with open_farm(context) as farm:
        teams = People(farm.connection).teams()
    if as_json:
        print_json({"teams": [_document(one) for one in teams]})
        return
    rows = Rows("TEAM", "MEMBERS", fold=("MEMBERS",))
    for one in teams:
        rows.add(one.name, " ".join(one.members) or "nobody")
    rows.show()


@app.command("add")
def add_team(context: typer.Context, name: NewName, why: Why = None, as_json: AsJson = False) -> None:
    """Register a team.

    Its members count as owners of the archives whose owner has its name: kernel, of ubuntu/kernel/ppa.
    """
    with open_farm(context) as farm, farm.acting(why or f"team add {name}", Action.CHANGE_PEOPLE):
        people = People(farm.connection)
        known = any(one.name == name for one in people.teams())
        team = people.add_team(name)
    if as_json:
        print_json(_document(team))
    else:
        say(f"team {team.name} is registered already" if known else f"registered team {team.name}")


@app.command("remove")
def remove_team(context: typer.Context, name: Name, why: Why = None, as_json: AsJson = False) -> None:
    """Forget a team; its members and archives stay."""
    with open_farm(context) as farm, farm.acting(why or f"team remove {name}", Action.CHANGE_PEOPLE):
        People(farm.connection).remove_team(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"removed team {name}")


@app.command("add-member")
def add_member(context: typer.Context, team: Name, person: Member, why: Why = None, as_json: AsJson = False) -> None:
    """Put a person into a team.

    It counts from their next command on.
    """
    with open_farm(context) as farm, farm.acting(why or f"team add-member {team} {person}", Action.CHANGE_PEOPLE):
        people = People(farm.connection)
        new = people.add_member(team, person)
        now = people.team(team)
    if as_json:
        print_json({**_document(now), "changed": new})
    else:
        say(f"{person} {'is a member of' if new else 'was in'} {team}{' now' if new else ' already'}")


@app.command("remove-member")
def remove_member(context: typer.Context, team: Name, person: Member, why: Why = None, as_json: AsJson = False) -> None:
    """Take a person out of a team.

    It counts from their next command on.
    """
    with open_farm(context) as farm, farm.acting(why or f"team remove-member {team} {person}", Action.CHANGE_PEOPLE):
        people = People(farm.connection)
        gone = people.remove_member(team, person)
        now = people.team(team)
    if as_json:
        print_json({**_document(now), "changed": gone})
    else:
        say(f"{person} {'is not in' if gone else 'was not in'} {team}{' any more' if gone else ''}")


def _document(one: Team) -> dict[str, object]:
    return {"name": one.name, "members": one.members}

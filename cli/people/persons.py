"""`buildd-master person`: who is known to the farm by name."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.core.people.private import seen_archives
from actors.core.people.roles import NEEDS, Action, Caller, Role
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say
from cli.terminal.tables import Facts, Rows
from storage.access.people import People
from storage.archives import Archives
from storage.records import Person

app = typer.Typer(help="Who is known to the farm by name.", no_args_is_help=True)

NewName = Annotated[str, typer.Argument(metavar="PERSON", help="As cprov.", show_default=False)]
Name = Annotated[
    str, typer.Argument(metavar="PERSON", help="As cprov.", autocompletion=completing.persons, show_default=False)
]


@app.command("list")
def list_people(context: typer.Context, as_json: AsJson = False) -> None:
    """List the people and their teams."""
    with open_farm(context) as farm:
        people = People(farm.connection).all()
    if as_json:
        print_json({"people": [_document(one) for one in people]})
        return
    rows = Rows("PERSON", "TEAMS")
    for one in people:
        rows.add(one.name, " ".join(one.teams))
    rows.show("nobody is registered: `buildd-master person add NAME`, or the owner of a PPA with it")


@app.command("show")
def show_person(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="PERSON",
            help="As cprov; else who you are.",
            autocompletion=completing.persons,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a person may do, and why.

    Without PERSON: who you are to the farm.
    """
    with open_farm(context) as farm:
        who = farm.caller if name is None else _as(People(farm.connection).get(name))
        archives = _owned(farm, who)
    may = [one for one in Action if _may(who, one, owns=bool(archives))]
    if as_json:
        person = {"name": who.name, "teams": ()} if who.person is None else _document(who.person)
        print_json(
            {
                **person,
                "acts_as": who.name,
                "operator": who.person is None,
                "archives": archives,
                "may": [one.name.lower() for one in may],
            }
        )
        return
    facts = Facts()
    facts.add("acts as" if name is None else "person", who.name)
    if who.person is None:
        facts.add("is", "an operator: opened the farm's database, and may do everything")
    else:
        facts.add("teams", " ".join(who.person.teams) or "none")
    facts.add("owns", "\n".join(archives) or "no archive")
    facts.add("may do", "\n".join(_in_words(who, one) for one in may) or "what everybody may: look")
    facts.show()


@app.command("add")
def add_person(context: typer.Context, name: NewName, why: Why = None, as_json: AsJson = False) -> None:
    """Register a person; one that is there stays as they are."""
    with open_farm(context) as farm, farm.acting(why or f"person add {name}", Action.CHANGE_PEOPLE):
        people = People(farm.connection)
        known = any(one.name == name for one in people.all())
        person = people.add(name)
    if as_json:
        print_json(_document(person))
    else:
        say(f"person {person.name} is registered already" if known else f"registered person {person.name}")


@app.command("remove")
def remove_person(context: typer.Context, name: Name, why: Why = None, as_json: AsJson = False) -> None:
    """Forget a person.

    Their tokens open nothing any more, and they are in no team.  Owners of archives stay.
    """
    with open_farm(context) as farm, farm.acting(why or f"person remove {name}", Action.CHANGE_PEOPLE):
        People(farm.connection).remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"removed person {name}")


def _as(person: Person) -> Caller:
    return Caller(person.name, person)


def _owned(farm: Farm, who: Caller) -> list[str]:
    """Return the archives of a person and their teams, as far as the caller may know of them."""
    mine = () if who.person is None else (who.person.name, *who.person.teams)
    archives = seen_archives(farm.caller, Archives(farm.connection).all())
    return [f"{one.distribution}/{one.name}" for one in archives if one.owner in mine]


def _may(who: Caller, action: Action, *, owns: bool) -> bool:
    """Return whether somebody may do this to something: to the whole farm, or to what is theirs."""
    if Role.ANYBODY in NEEDS[action]:
        return False  # nothing to be told
    return who.admin or (Role.OWNER in NEEDS[action] and owns) or Role.ONESELF in NEEDS[action]


def _in_words(who: Caller, action: Action) -> str:
    """Return what somebody may do; the words of some actions end where a name follows."""
    if Role.OWNER in NEEDS[action]:
        return f"{action.value} {'every archive' if who.admin else 'the archives above'}"
    if Role.ONESELF in NEEDS[action]:
        return f"{action.value} {'everybody' if who.admin else who.name}"
    return action.value


def _document(one: Person) -> dict[str, object]:
    return {"name": one.name, "teams": one.teams}

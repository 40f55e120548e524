"""`buildd-master token`: by what people are known to the farm where they do not open its database themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer

from actors.core.people.roles import Action
from cli.errors import BadInput
from cli.farm import open_farm
from cli.given import TOKEN_VARIABLE
from cli.options import completing
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, ago, note, print_json, say, when
from cli.terminal.tables import Rows
from storage.access.people import People
from storage.access.tokens import ApiTokens
from storage.errors import BadValue
from storage.limits import parse
from storage.records import ApiToken

app = typer.Typer(help="Secrets by which the farm knows people.", no_args_is_help=True)

NEVER: Final = "never"
_MOST: Final = timedelta(days=3650)


@app.command("create")
def create_token(
    context: typer.Context,
    person: Annotated[
        str,
        typer.Argument(
            metavar="PERSON", help="Whose it will be.", autocompletion=completing.persons, show_default=False
        ),
    ],
    label: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)] = "",
    expires: Annotated[str, typer.Option(metavar="TIME", help="In how long, as 90d or 12h; or never.")] = "365d",
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Print a new token: the only time that anybody sees it."""
    life = _life(expires)
    with open_farm(context) as farm, farm.acting(why or f"token create {person}", Action.CHANGE_PEOPLE):
        secret, token = ApiTokens(farm.connection).create(person, life, label)
    if as_json:
        print_json({**_document(token), "token": secret})
        return
    say(secret)
    until = f"until {when(token.expires)}" if token.expires else "for ever"
    note(
        f"token {token.id}: whoever has it is {person} {until}; put it into {TOKEN_VARIABLE},"
        " or into a file of mode 600 for --token-file"
    )


@app.command("list")
def list_tokens(
    context: typer.Context,
    person: Annotated[
        str | None,
        typer.Argument(metavar="PERSON", help="Only theirs.", autocompletion=completing.persons, show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List tokens, without their secrets.

    A buildd-admin sees all of them, others their own.
    """
    with open_farm(context) as farm:
        whose = farm.caller.person if person is None and not farm.caller.admin else None
        if person is not None:
            whose = People(farm.connection).get(person)
            farm.require(Action.REVOKE_TOKENS, whose)
        tokens = ApiTokens(farm.connection).all(whose.name if whose is not None else None)
    if as_json:
        print_json({"tokens": [_document(one) for one in tokens]})
        return
    rows = Rows(
        "TOKEN",
        "PERSON",
        "STATE",
        "CREATED",
        "USED",
        "LABEL",
        right=("TOKEN",),
        fold=("LABEL",),
        less=("CREATED", "USED"),
    )
    for one in tokens:
        used = ago(one.last_used) if one.last_used else "never"
        rows.add(str(one.id), one.person, _state(one), when(one.created), used, one.label)
    rows.show("no tokens: `buildd-master token create PERSON` prints one")


@app.command("revoke")
def revoke_token(
    context: typer.Context,
    token: Annotated[int, typer.Argument(metavar="TOKEN", help="Its number, as listed.", show_default=False)],
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token, for good.

    Everybody may revoke their own.
    """
    with open_farm(context) as farm:
        tokens = ApiTokens(farm.connection)
        whose = People(farm.connection).get(tokens.get(token).person)
        with farm.acting(why or f"token revoke {token}", Action.REVOKE_TOKENS, whose):
            revoked = tokens.revoke(token)
    if as_json:
        print_json(_document(revoked))
    else:
        say(f"revoked token {revoked.id} of {revoked.person}")


def _life(text: str) -> timedelta | None:
    """Return how long a token lasts; None: for ever.

    Raises:
        BadInput: it is no time, or none that can be.
    """
    if text == NEVER:
        return None
    try:
        life = timedelta(seconds=parse("_seconds", text, bare=False))
    except (BadValue, OverflowError) as error:
        raise BadInput(f"--expires {text}: write it as 12h, 90d or {NEVER}") from error
    if not timedelta(0) < life <= _MOST:
        raise BadInput(f"--expires {text}: from 1s to {_MOST.days}d, or {NEVER}")
    return life


def _state(one: ApiToken) -> str:
    if one.revoked is not None:
        return f"revoked {when(one.revoked)}"
    if one.expired:
        return f"expired {when(one.expires)}"
    return f"good until {when(one.expires)}" if one.expires else "good for ever"


def _document(one: ApiToken) -> dict[str, object]:
    return {
        "id": one.id,
        "person": one.person,
        "label": one.label,
        "created": one.created,
        "expires": one.expires,
        "last_used": one.last_used,
        "revoked": one.revoked,
        "good": one.revoked is None and not one.expired,
    }

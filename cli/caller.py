"""Who acts in the farm, by what was given with the command: `cli.given.Shown`.

| given | acts |
|---|---|
| nothing | an operator, under the login name: who opens the farm's database could as well write plain SQL |
| `--as PERSON`, `BUILDD_MASTER_PERSON` | the same with the roles of PERSON only |
| `--token-file FILE`, `BUILDD_MASTER_TOKEN`, `BUILDD_MASTER_TOKEN_FILE` | the token's person |

A token is never an argument: everybody on a machine reads those.  What a caller may do is `actors.core.people.roles`'.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from actors.core.people.roles import Caller, Refusal, act_as
from cli.errors import BadInput, Refused
from cli.given import TOKEN_VARIABLE, Shown, login_name
from storage.access.people import People
from storage.access.tokens import ApiTokens
from storage.errors import TokenRefused

_MOST_BYTES: Final = 4096  #: of a token file


def caller_of(shown: Shown, connection: Connection[Any]) -> tuple[Caller, int | None]:
    """Return who acts, and the number of their token, if they showed one; reads only.

    Raises:
        BadInput: the token is none, unknown, revoked or expired, or its file can't be used; says which.
        UnknownPerson: nobody of that name is registered.
        Refused: the token's person may not act as somebody else.
    """
    caller, token = Caller(login_name()), None
    where, secret = _secret(shown)
    if secret is not None:
        try:
            person, row = ApiTokens(connection).holder(secret)
        except TokenRefused as error:
            raise BadInput(f"{where}: {error}") from error
        caller, token = Caller(person.name, person), row.id
    if shown.person is None:
        return caller, token
    lowered = act_as(caller, People(connection).get(shown.person))
    if isinstance(lowered, Refusal):
        raise Refused(lowered.words)
    return lowered, token


def _secret(shown: Shown) -> tuple[str, str | None]:
    """Return where the token stands, and the token; None: none was given."""
    if shown.option_file is not None:
        return f"--token-file {shown.option_file}", _read(shown.option_file)
    if shown.token is not None:
        return TOKEN_VARIABLE, shown.token.strip()
    if shown.variable_file is not None:
        return str(shown.variable_file), _read(shown.variable_file)
    return "", None


def _read(path: Path) -> str:
    """Return the token in a file that nobody else can read.

    Raises:
        BadInput: it is not there, not a file, open to others, or too long for a token.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise BadInput(f"the token file {path} is no file")
            if stat.S_IMODE(mode) & 0o077:
                raise BadInput(f"the token file {path} is open to others: chmod 600 {path}, and create another token")
            octets = file.read(_MOST_BYTES)
    except OSError as error:
        raise BadInput(f"the token file {path} can't be read: {error.strerror}") from error
    return octets.decode("utf-8", "replace").strip()

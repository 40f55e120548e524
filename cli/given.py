"""What was given before a command ran: options in front of its name, settings, and who is at the keyboard.

Opens nothing; `cli.farm` does.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer

from actors.master.settings_file import BadSetting, load_settings
from actors.settings import PREFIX, Settings
from cli.errors import BadInput, Refused

TOKEN_VARIABLE: Final = f"{PREFIX}TOKEN"
TOKEN_FILE_VARIABLE: Final = f"{PREFIX}TOKEN_FILE"
PERSON_VARIABLE: Final = f"{PREFIX}PERSON"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the command line and the environment say of who acts; `cli.caller` looks who that is."""

    person: str | None = None  #: to act as
    option_file: Path | None = None  #: with a token; goes over the token
    token: str | None = field(default=None, repr=False)  #: the secret itself; goes over the file that a variable names
    variable_file: Path | None = None

    @classmethod
    def of(cls, person: str | None, token_file: Path | None) -> Shown:
        """Return what the two options and the environment say; the token leaves the environment, where children read it.

        Raises:
            BadInput: a variable is set and empty: a secret that did not arrive must not make an operator of its bearer.
        """
        said = {name: os.environ.get(name) for name in (PERSON_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE)}
        os.environ.pop(TOKEN_VARIABLE, None)
        for name, value in said.items():
            if value is not None and not value.strip():
                raise BadInput(f"{name} is set, and empty: give it its value, or unset it")
        named = said[TOKEN_FILE_VARIABLE]
        return cls(
            person if person is not None else said[PERSON_VARIABLE],
            token_file,
            said[TOKEN_VARIABLE],
            None if named is None else Path(named),
        )


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line said before the command's name."""

    config: Path | None = None
    state_directory: Path | None = None
    database: str | None = None
    shown: Shown = Shown()

    def settings(self) -> Settings:
        """Return the settings of the farm that is meant.

        Raises:
            BadInput: a setting can't be; which, where, and what would do.
        """
        try:
            return self.read()
        except BadSetting as error:
            raise BadInput("; ".join(str(error).splitlines())) from error

    def read(self) -> Settings:
        """Read the settings, for the first time or again.

        Raises:
            BadSetting: as `load_settings` does.
        """
        return load_settings(self.config, state_directory=self.state_directory, database=self.database)


def settings_of(context: typer.Context) -> Settings:
    """Return the settings that the command line, the environment and the file give."""
    return given(context).settings()


def given(context: typer.Context) -> Given:
    """Return what stood before the command's name."""
    found = context.find_object(Given)
    return found if found is not None else Given()


def operators_only(context: typer.Context, command: str) -> None:
    """Refuse a command that works on the machine beneath the farm to whoever asks to act as a person.

    Raises:
        Refused: says what to leave out.
    """
    if given(context).shown != Shown():
        raise Refused(
            f"`{command}` works on the machine beneath the farm, where no person's roles count: run it without"
            " --as, --token-file, and the variables that go with them"
        )


def login_name() -> str:
    """Return who is at the keyboard: behind sudo, the one who called it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"

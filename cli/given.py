"""What was given before a command ran: the options in front of its name, the settings, and who is at the keyboard.

Opens nothing; `cli.farm` does.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import typer

from actors.settings import BadSetting, Settings, load_settings
from cli.errors import BadInput


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line said before the command's name."""

    config: Path | None = None
    state_directory: Path | None = None
    database: str | None = None

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


def login_name() -> str:
    """Return who is at the keyboard: behind sudo, the one who called it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"

"""The farm as a command sees it: settings, database, librarian, and in whose name it acts.

Commands never talk to actors: they change rows, and triggers tell the running farm.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from psycopg import Connection

from actors.settings import BadSetting, Settings, load_settings
from cli.errors import BadInput, NotReachable
from storage.database import acting, connect
from storage.embedded import Embedded
from storage.errors import DatabaseUnreachable, SchemaOutdated
from storage.librarian import Librarian
from storage.migration import pending_migrations


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
            return load_settings(self.config, state_directory=self.state_directory, database=self.database)
        except BadSetting as error:
            raise BadInput("; ".join(str(error).splitlines())) from error


@dataclass(frozen=True, slots=True)
class Farm:
    """One open farm."""

    settings: Settings
    connection: Connection[Any]
    dsn: str

    @property
    def librarian(self) -> Librarian:
        """The file store of the farm."""
        return Librarian(self.settings.librarian_directory)

    def acting(self, why: str) -> AbstractContextManager[Connection[Any]]:
        """Return a transaction in the person's name; `why` stands with each event of it."""
        return acting(self.connection, login_name(), why)


def settings_of(context: typer.Context) -> Settings:
    """Return the settings that the command line, the environment and the file give."""
    return given(context).settings()


def given(context: typer.Context) -> Given:
    """Return what stood before the command's name."""
    found = context.find_object(Given)
    return found if found is not None else Given()


@contextmanager
def open_farm(context: typer.Context, *, outdated_too: bool = False) -> Iterator[Farm]:
    """Connect to the farm's database for the length of the block.

    Args:
        context: of the command.
        outdated_too: also one that lacks migrations.

    Raises:
        NotReachable: it does not answer, or was made by another version.
    """
    settings = settings_of(context)
    dsn = dsn_of(settings)
    try:
        missing = () if outdated_too else pending_migrations(dsn)
        connection = connect(dsn, application=login_name())
    except (DatabaseUnreachable, SchemaOutdated) as error:
        raise NotReachable(str(error)) from error
    if missing:
        connection.close()
        raise NotReachable(
            f"the database lacks {len(missing)} migrations of this version: run `buildd-master db migrate`"
        )
    with connection:
        yield Farm(settings, connection, dsn)


def dsn_of(settings: Settings) -> str:
    """Return the DSN of the farm's database.

    Raises:
        NotReachable: it is the embedded one, and does not run.
    """
    if settings.database:
        return settings.database
    embedded = Embedded(settings.state_directory / "postgres")
    try:
        running = embedded.running
    except PermissionError as error:
        raise NotReachable(
            f"{settings.state_directory} is closed to {login_name()}: run this as its owner, or root"
        ) from error
    if not running:
        where = settings.state_directory
        raise NotReachable(
            f"no farm runs in {where}: start it with `buildd-master up`, or name another with --state-directory or --database"
        )
    return embedded.dsn


def login_name() -> str:
    """Return who is at the keyboard: behind sudo, the one who called it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"

"""The farm as a command sees it: settings, database, librarian, and in whose name it acts.

Commands never talk to actors: they change rows, and triggers tell the running farm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from psycopg import Connection

from actors.run_file import running_farm
from actors.settings import Settings
from cli.errors import NotReachable
from cli.given import login_name, settings_of
from storage.database import acting, connect
from storage.embedded import Embedded
from storage.errors import DatabaseUnreachable, SchemaOutdated
from storage.librarian import Librarian
from storage.migration import pending_migrations


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
        if running_farm(settings.run_file) is not None:
            raise NotReachable(
                f"the farm in {where} runs, but its database is down; the master starts it again as soon as it can: "
                f"see {where / 'postgres' / 'log'}"
            )
        raise NotReachable(
            f"no farm runs in {where}: start it with `buildd-master up`, or name another with --state-directory or --database"
        )
    return embedded.dsn

"""The farm as a command sees it: settings, database, librarian, who acts, and the one door to every change.

Commands never talk to actors: they change rows, and triggers tell the running farm.  Outside of `Farm.acting` the
database itself refuses to write; inside it, only what the caller's roles allow gets that far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import typer
from psycopg import Connection

from actors.core.people.roles import Action, Caller, Subject, permit
from actors.master.run_file import running_farm
from actors.queue.pause_note import PauseNote, read_note
from actors.settings import Settings
from cli.caller import caller_of
from cli.errors import NotReachable, Refused
from cli.given import Shown, given, login_name, settings_of
from cli.terminal.output import counted
from storage.access.tokens import ApiTokens
from storage.database.connection import acting, connect
from storage.database.embedded import Embedded
from storage.database.migration import pending_migrations
from storage.database.repository import in_words
from storage.errors import DatabaseUnreachable, SchemaOutdated, StorageError
from storage.files.librarian import Librarian


@dataclass(frozen=True, slots=True)
class Farm:
    """One open farm."""

    settings: Settings
    connection: Connection[Any]  #: reads; writes within `acting` only
    dsn: str
    caller: Caller  #: who acts
    shown: Shown  #: what says so

    @property
    def librarian(self) -> Librarian:
        """The file store of the farm."""
        return Librarian(self.settings.librarian_directory)

    def require(self, action: Action, subject: Subject = None) -> None:
        """Refuse what the caller's roles do not allow; for reading, and before work that takes long.

        Args:
            action: what is about to be done.
            subject: what it concerns, as `actors.core.people.roles.permit` takes it: an archive (or a build or job,
            which
                stands for its archive) or a person; None where the action concerns none.

        Raises:
            Refused: says which role is missing.
        """
        _refuse(self.caller, action, subject)

    @contextmanager
    def acting(
        self, why: str, action: Action, subject: Subject = None, *, also: Iterable[Action] = ()
    ) -> Iterator[Connection[Any]]:
        """Run a transaction in the caller's name, if their roles allow it; looked at before, and again inside.

        Args:
            why: stands with each event of it.
            action: what is done.
            subject: as for `require`.
            also: more that is done, and concerns no subject.

        Raises:
            Refused: says which role is missing; nothing was changed.
            BadInput: their token opens nothing any more; nothing was changed.
        """
        needs = ((action, subject), *((one, None) for one in also))
        for need in needs:
            _refuse(self.caller, *need)
        with _writing(self.connection), acting(self.connection, self.caller.name, why) as connection:
            if self.caller.person is not None:  # a token may have been revoked, a person taken out of a team
                now, _ = caller_of(self.shown, connection)
                for need in needs:
                    _refuse(now, *need)
            yield connection


@contextmanager
def open_farm(context: typer.Context, *, outdated_too: bool = False) -> Iterator[Farm]:
    """Connect to the farm's database for the length of the block.

    Args:
        context: of the command.
        outdated_too: also one that lacks migrations.

    Raises:
        NotReachable: it does not answer, or was made by another version.
        BadInput, UnknownPerson, Refused: who acts is not to be had so: see `cli.caller`.
    """
    settings = settings_of(context)
    dsn = dsn_of(settings)
    try:
        missing = () if outdated_too else pending_migrations(dsn)
        connection = connect(dsn, application=login_name(), read_only=True)
    except DatabaseUnreachable as error:
        raise NotReachable(f"{error}{_meanwhile(settings)}") from error
    except SchemaOutdated as error:
        raise NotReachable(str(error)) from error
    if missing:
        connection.close()
        raise NotReachable(
            f"the database lacks {counted(len(missing), 'migration')} of this version: run `buildd-master db migrate`"
        )
    with connection:
        shown = given(context).shown
        caller, token = caller_of(shown, connection)
        refused = False
        try:
            yield Farm(settings, connection, dsn, caller, shown)
        except Refused:
            refused = True  # and so nothing is changed, not even this:
            raise
        except DatabaseUnreachable as error:
            if not connection.closed:
                raise
            raise NotReachable(f"{error}{_meanwhile(settings)}") from error
        finally:
            if token is not None and not refused:
                _note_used(connection, token)


def waiting_master(settings: Settings) -> PauseNote | None:
    """Return why the master that runs here gives nothing away, if it can't tell the database."""
    try:
        running = running_farm(settings.run_file)
    except PermissionError:
        return None
    return None if running is None else read_note(settings.pause_file)


def _meanwhile(settings: Settings) -> str:
    """Return, to go on after "the database is away", what the master on this machine does about it."""
    note = waiting_master(settings)
    if note is None:
        return ""
    return f"; the master here waits for it since {note.since}: nothing is given away, running builds go on, their results wait"


@contextmanager
def _writing(connection: Connection[Any]) -> Iterator[None]:
    """Let transactions begun in the block write."""
    connection.read_only = False
    try:
        yield
    finally:
        if not connection.closed:
            connection.read_only = None


def _note_used(connection: Connection[Any], token: int) -> None:
    """Remember the use of a token, where the database lets us."""
    with suppress(StorageError, psycopg.Error), _writing(connection), in_words(), connection.transaction():
        ApiTokens(connection).note_used(token)


def _refuse(caller: Caller, action: Action, subject: Subject) -> None:
    refusal = permit(caller, action, subject)
    if refusal is not None:
        raise Refused(refusal.words)


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
                f"see {where / 'postgres' / 'log'}{_meanwhile(settings)}"
            )
        raise NotReachable(
            f"no farm runs in {where}: start it with `buildd-master up`, or name another with --state-directory or --database"
        )
    return embedded.dsn

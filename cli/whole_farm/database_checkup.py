"""What `buildd-master doctor` asks the database: is it there, of what version and state, and how are builders and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection

from actors.master.run_file import running_farm
from actors.settings import Settings
from cli.given import login_name
from cli.terminal.output import counted
from host.findings import Finding, broken, does_not_apply, ok, warning
from storage.access.certificates import Certificates, expiring, in_force
from storage.access.certificates import warning as expiry
from storage.builders import Builders
from storage.database.connection import connect, master_of, shown
from storage.database.embedded import Embedded, EmbeddedDatabaseFailed, binaries
from storage.database.migration import pending_migrations
from storage.errors import StorageError

_LEAST_VERSION: Final = 150000
_SKEW_SECONDS: Final = 2.0  #: deadlines are the database's, and looked at by others


def database(settings: Settings) -> Iterator[Finding]:
    """See whether the database is there; if it is, what is in it."""
    dsn = settings.database
    if not dsn:
        embedded = Embedded(settings.state_directory / "postgres", user=settings.user)
        try:
            binaries()
            embedded.check_socket_path()
        except EmbeddedDatabaseFailed as error:
            yield broken("database", str(error), "set `database`, or another state_directory")
            return
        if not embedded.running:
            yield _resting(settings, embedded)
            return
        dsn = embedded.dsn
    try:
        with connect(dsn, application=login_name(), read_only=True) as connection:
            yield from _look_into(connection, dsn, settings)
    except StorageError as error:
        step = "start it, or set `database`" if settings.database else f"see {settings.state_directory}/postgres/log"
        yield broken("database", " ".join(str(error).split()), step)


def _resting(settings: Settings, embedded: Embedded) -> Finding:
    if running_farm(settings.run_file) is None:
        return ok("database", "embedded, starts with the master")
    return broken("database", "the embedded one is down, though its master runs", f"see {embedded.directory / 'log'}")


def _look_into(connection: Connection[Any], dsn: str, settings: Settings) -> Iterator[Finding]:
    version = connection.info.server_version
    where = f"{'given' if settings.database else 'embedded'}: PostgreSQL {version // 10000} {shown(dsn)}"
    if version < _LEAST_VERSION:
        yield broken("database", f"{where} is too old", "use PostgreSQL 15 or newer")
        return
    yield ok("database", where)
    yield from _clocks(connection)
    missing = pending_migrations(dsn)
    if missing:
        step = "buildd-master db migrate" if settings.database else "buildd-master up"
        yield broken("migrations", f"{counted(len(missing), 'migration')} missing, from {missing[0]} on", step)
        return
    yield ok("migrations", "all are there")
    yield from _rival(connection, settings)
    yield from _builders(connection)
    yield from _certificates(connection)


def _clocks(connection: Connection[Any]) -> Iterator[Finding]:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    apart = abs((row[0] - datetime.now(UTC)).total_seconds()) if row else 0.0
    if apart > _SKEW_SECONDS:
        found = f"the database's and this machine's are {apart:.0f} s apart"
        yield warning("clocks", found, "timedatectl set-ntp true, on both machines")
    else:
        yield ok("clocks", "the database's agrees with this machine's")


def _rival(connection: Connection[Any], settings: Settings) -> Iterator[Finding]:
    holder = master_of(connection)
    if holder and running_farm(settings.run_file) is None:
        yield warning(
            "rival", f"another master works on this database{holder}", "stop it before you start one here, or leave it"
        )


def _builders(connection: Connection[Any]) -> Iterator[Finding]:
    everybody = Builders(connection).all()
    for one in everybody:
        if not one.builderok:
            notes = " ".join(one.failnotes.split()) or "no reason is given"
            yield warning("builders", f"{one.name} is not ok: {notes}", f"buildd-master builder show {one.name}")
    well = sum(one.builderok for one in everybody)
    if not everybody:
        yield does_not_apply("builders", "none is registered: `buildd-master builder add --help`")
    elif well == len(everybody):
        yield ok("builders", f"all {well} are ok")


def _certificates(connection: Connection[Any]) -> Iterator[Finding]:
    now = datetime.now(UTC)
    every = Certificates(connection).all()
    late = expiring(every, now)
    for one in late:
        found, step, _ = expiry(one, now).split("`")
        yield warning("certificates", found.rstrip(": "), step)
    if not late and not every:
        yield does_not_apply("certificates", "none were issued: slaves are on this machine")
    elif not late:
        yield ok("certificates", f"{counted(len(in_force(every)), 'certificate')} valid for 30 days and more")

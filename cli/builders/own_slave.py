"""The builder that `buildd-master up --with-slave` has: a row for the slave on this machine."""

from __future__ import annotations

from actors.settings import Settings
from cli.farm import dsn_of
from cli.given import login_name
from cli.packages import host_apt
from storage.builders import Builders
from storage.database.connection import acting, connect
from storage.errors import UnknownBuilder
from storage.series import Series


def register(settings: Settings, name: str, url: str) -> None:
    """Register the slave as a builder of trusted code, or tell the builder where its slave is now."""
    who = login_name()
    with connect(dsn_of(settings), application=who) as connection, acting(connection, who, "up --with-slave"):
        builders = Builders(connection)
        try:
            if builders.get(name).url != url:
                builders.change(name, url=url)
        except UnknownBuilder:
            family = Series(connection).family_of(host_apt.architecture())
            builders.add(name, url, [family], trusted=True)

"""The farm's notifications: what changed, told by the database in the moment of the commit."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from cli.errors import NotReachable
from cli.farm import Farm
from cli.given import login_name
from storage.database.connection import CHANNEL, connect


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of one table changed."""

    table: str
    ids: frozenset[str] | None  #: as text; None: too many to name

    def concerns(self, table: str, row: int) -> bool:
        """Return whether that row of that table may have changed."""
        return self.table == table and (self.ids is None or str(row) in self.ids)


class Changes:
    """Notifications, on a connection that does nothing else (a query would swallow them)."""

    def __init__(self, connection: Connection[Any]) -> None:
        """Listen from now on."""
        self._connection = connection
        connection.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float | None) -> tuple[Change, ...]:
        """Wait until something changes, `seconds` at most (None: for ever).

        Raises:
            NotReachable: the database went away.
        """
        try:
            ready, _, _ = select.select([self._connection.fileno()], [], [], seconds)
            return tuple(_change(told.payload) for told in self._connection.notifies(timeout=0)) if ready else ()
        except psycopg.OperationalError as error:
            raise NotReachable("the farm's database went away; builds go on when the farm is up again") from error


@contextmanager
def changes(farm: Farm) -> Iterator[Changes]:
    """Listen to the farm for the length of the block."""
    with connect(farm.dsn, application=login_name(), read_only=True) as connection:
        yield Changes(connection)


def _change(payload: str) -> Change:
    told = json.loads(payload)
    ids = told["ids"]
    return Change(told["table"], None if ids is None else frozenset(map(str, ids)))

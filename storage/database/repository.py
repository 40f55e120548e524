"""The base of all repositories: run a named query, make records of its rows, put errors into the farm's words.

Transactions belong to the caller (`storage.database.connection.acting`): a repository never begins or ends one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import Connection

from storage.database.rows import record_row
from storage.errors import BadValue, DatabaseRefuses, DatabaseUnreachable, SchemaOutdated

R = TypeVar("R")

_AWAY = ("08", "57P")  #: SQLSTATE of broken connections and of a server that goes down or comes up
_MOST = 2**63 - 1  #: bigint's greatest
_AT_ONCE = 1000  #: rows that one statement changes: with events and jobs, a tenth of its time


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what the database says about itself or a value into the errors of `storage.errors`.

    Raises:
        DatabaseUnreachable: the connection is broken, or the server can't work (disk full, shutting down, a lock
            that is not given); the transaction is lost, and the same again later is right.
        BadValue: a constraint refuses a value, named by the constraint.
        DatabaseRefuses: the database's user lacks a right there.
        SchemaOutdated: a table, column or function is not there.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        away = error.sqlstate is None or error.sqlstate.startswith(_AWAY)
        said = "does not answer" if away else "can't do that now"
        raise DatabaseUnreachable(f"the database {said}: {_first_line(error)}") from error
    except (psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation) as error:
        raise BadValue(_first_line(error)) from error
    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.UniqueViolation) as error:
        raise BadValue(f"{_first_line(error)}: {error.diag.message_detail}") from error
    except psycopg.errors.NumericValueOutOfRange as error:
        raise BadValue(f"a number is beyond what the database can hold ({_first_line(error)})") from error
    except psycopg.DataError as error:
        raise BadValue(_first_line(error)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseRefuses(f"the database does not let its user do that: {_first_line(error)}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction) as error:
        raise SchemaOutdated(
            f"the database does not fit this version: {_first_line(error)}; run `buildd-master db migrate`"
        ) from error


class Repository:
    """What all repositories share: one connection, that the caller owns."""

    def __init__(self, conn: Connection[Any]) -> None:
        """Work on `conn`, in whatever transaction it is in."""
        self._conn = conn

    def _rows(self, record: type[R], query: bytes, **params: object) -> tuple[R, ...]:
        with in_words(), self._conn.cursor(row_factory=record_row(record)) as cursor:
            return tuple(cursor.execute(query, params).fetchall())

    def _row(self, record: type[R], query: bytes, **params: object) -> R | None:
        with in_words(), self._conn.cursor(row_factory=record_row(record)) as cursor:
            return cursor.execute(query, params).fetchone()

    def _values(self, query: bytes, **params: object) -> tuple[Any, ...]:
        """Return the first row as it comes; empty if there is none."""
        with in_words():
            return self._conn.execute(query, params).fetchone() or ()

    def _run(self, query: bytes, **params: object) -> int:
        """Return how many rows were touched."""
        with in_words():
            return self._conn.execute(query, params).rowcount


def possible(ids: Iterable[int]) -> list[int]:
    """Return those ids that a row could have; PostgreSQL refuses to look for others, which can't be there."""
    return [number for number in ids if 0 < number <= _MOST]


def portions(ids: Sequence[int]) -> Iterator[list[int]]:
    """Return ids in portions for one statement each: however many there are, none runs into the statement's time."""
    for start in range(0, len(ids), _AT_ONCE):
        yield list(ids[start : start + _AT_ONCE])


def _first_line(error: psycopg.Error) -> str:
    """Return the server's own sentence; its detail may show values and belongs in the log only."""
    said = error.diag.message_primary or str(error)
    return said.strip().splitlines()[0] if said.strip() else type(error).__name__

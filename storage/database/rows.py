"""Database rows as the frozen records of `storage.records`.

`psycopg.rows.class_row` fills a dataclass but leaves text where the record says enumeration and lists where it says
tuple; `record_row` is the same with that last step, decided once per record type and not per row.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from psycopg import Cursor
from psycopg.rows import RowFactory, RowMaker

R = TypeVar("R")

_known: dict[type[Any], dict[str, Callable[[Any], Any] | None]] = {}


def record_row(record: type[R]) -> RowFactory[R]:
    """Return a psycopg row factory that makes `record`s; the query's columns are named like its fields."""

    def factory(cursor: Cursor[Any]) -> RowMaker[R]:
        result = cursor.pgresult  # not `description`: its objects cost more than all the rest of a short query
        if result is None or not result.nfields:
            return lambda values: record(*values)
        names = tuple((result.fname(place) or b"").decode() for place in range(result.nfields))
        makers = _makers(record)
        lasting = tuple((name, makers[name]) for name in names)

        def make(values: Sequence[Any]) -> R:
            return record(
                **{
                    name: value if maker is None or value is None else maker(value)
                    for (name, maker), value in zip(lasting, values, strict=True)
                }
            )

        return make

    return factory


def _makers(record: type[Any]) -> dict[str, Callable[[Any], Any] | None]:
    """Return for each field of `record` what turns a column's value into it; None: it is right as it comes."""
    known = _known.get(record)
    if known is not None:
        return known
    hints = get_type_hints(record)
    return _known.setdefault(record, {field.name: _maker(hints[field.name]) for field in fields(record)})


def _maker(hint: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - a type hint is anything
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        inner = [one for one in get_args(hint) if one is not type(None)]
        return _maker(inner[0]) if len(inner) == 1 else None
    if origin is tuple:
        element = get_args(hint)[0]
        if isinstance(element, type) and is_dataclass(element):
            make = _from_json(element)
            return lambda rows: tuple(make(row) for row in rows)
        return _without_nulls
    if isinstance(hint, type) and is_dataclass(hint):
        return _from_json(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    return None


def _without_nulls(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return an array's values: PostgreSQL lets any array be written with nulls."""
    return tuple(value for value in values if value is not None)


def _from_json(record: type[Any]) -> Callable[[dict[str, Any]], Any]:
    """Return what makes a record of a JSON object: there, times are text."""
    times = [field.name for field in fields(record) if get_type_hints(record)[field.name] is datetime]

    def make(row: dict[str, Any]) -> Any:  # noqa: ANN401 - a record of any type
        return record(**(row | {name: datetime.fromisoformat(row[name]) for name in times}))

    return make if times else lambda row: record(**row)

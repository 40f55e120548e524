"""Messages as a person types them: `Cancel(builder="bob", generation=1, attempt="1b4e…")`.

Reads literals only, nothing is evaluated.  Enumerations are given by name, UUIDs and times as text, nested records as
`BuildOrder(…)`.  Every field is checked against its declared type; a refusal says which field, and why.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import math
import re
import types
from datetime import datetime
from enum import Enum
from inspect import cleandoc
from typing import Any, Final, NoReturn, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from actors import messages

_SHOWN: Final = 200  #: characters of what was typed that a refusal repeats


class BadMessage(Exception):
    """What was typed is no message; the text says why."""


def message_types() -> dict[str, type[Any]]:
    """Return every message an actor may be sent, by name."""
    return {
        name: thing
        for name, thing in vars(messages).items()
        if isinstance(thing, type) and dataclasses.is_dataclass(thing) and thing.__module__ == messages.__name__
    }


def read_message(text: str) -> object:
    """Return the message that `text` spells.

    Raises:
        BadMessage: it spells none.
    """
    try:
        return _message(text)
    except (MemoryError, RecursionError) as error:  # wherever it happens: reading, or saying what is wrong
        raise BadMessage("can't be read: it goes too deep") from error


def _message(text: str) -> object:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise BadMessage(f"can't be read: {_short(getattr(error, 'msg', None) or str(error))}") from error
    if not isinstance(tree, ast.Call):
        tree = ast.Call(func=tree, args=[], keywords=[])
    name = tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func)
    kinds = message_types()
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, n=1)
        raise BadMessage(
            f"no message {_short(repr(name))}" + (f"; did you mean {near[0]}?" if near else "; `help` lists them")
        )
    return _record(tree, kinds[name], name)


def spell(value: object) -> str:
    """Return a message, or what is in one, as a person would type it; what need not be given is left out."""
    match value:
        case Enum():
            return value.name
        case UUID():
            return f'"{value}"'
        case datetime():
            return f'"{value.isoformat()}"'
        case tuple() | list():
            inner = ", ".join(map(spell, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case bytes():
            return f"<{len(value)} bytes>"
        case str():
            return '"' + repr(value)[1:-1].replace('"', '\\"') + '"'
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            given = (field for field in _fields(type(value)) if getattr(value, field.name) != field.default)
            inner = ", ".join(f"{field.name}={spell(getattr(value, field.name))}" for field in given)
            return f"{type(value).__name__}({inner})"
        case _:
            return repr(value)


def describe_message(name: str) -> str:
    """Return the fields and the docstring of a message, for people.

    Raises:
        BadMessage: there is none of that name.
    """
    kind = message_types().get(name)
    if kind is None:
        raise BadMessage(f"no message {name!r}")
    hints = get_type_hints(kind)
    lines = [
        f"{name}(",
        *(f"    {field.name}: {_type_name(hints[field.name])}{_default(field)}" for field in _fields(kind)),
    ]
    return "\n".join([*lines, ")", cleandoc(kind.__doc__ or "")])


def _fields(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _default(field: dataclasses.Field[Any]) -> str:
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"


def _record(node: ast.Call, kind: type[Any], place: str) -> object:
    fields, hints = _fields(kind), get_type_hints(kind)
    names = [field.name for field in fields]
    if len(node.args) > len(names):
        raise BadMessage(f"{place}: {len(node.args)} values for {len(names)} fields")
    given = dict(zip(names, node.args, strict=False))
    for keyword in node.keywords:
        if keyword.arg not in names:
            raise BadMessage(f"{place}: no field {keyword.arg!r}; it has {', '.join(names) or 'none'}")
        if keyword.arg in given:
            raise BadMessage(f"{place}.{keyword.arg}: given twice")
        given[keyword.arg] = keyword.value
    missing = [field.name for field in fields if field.name not in given and field.default is dataclasses.MISSING]
    if missing:
        raise BadMessage(f"{place}: {', '.join(missing)} missing")
    values = {name: _value(value, hints[name], f"{place}.{name}") for name, value in given.items()}
    made: object = kind(**values)
    return made


def _value(node: ast.expr, kind: Any, place: str) -> object:  # noqa: ANN401 - any type that a field may have
    if get_origin(kind) in {Union, types.UnionType}:
        return _one_of(node, get_args(kind), kind, place)
    if get_origin(kind) is tuple:
        return _tuple(node, get_args(kind), place)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != kind.__name__:
            _refuse(node, kind, place)
        return _record(node, kind, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(node, kind, place)
    return _literal(node, kind, place)


def _one_of(node: ast.expr, kinds: tuple[Any, ...], whole: object, place: str) -> object:
    refusals = []
    for kind in kinds:
        try:
            return _value(node, kind, place)
        except BadMessage as refusal:
            refusals.append(refusal)
    telling = [refusal for refusal, kind in zip(refusals, kinds, strict=True) if kind is not types.NoneType]
    if len(telling) == 1:
        raise telling[0]
    return _refuse(node, whole, place)


def _tuple(node: ast.expr, kinds: tuple[Any, ...], place: str) -> tuple[object, ...]:
    if not isinstance(node, ast.Tuple | ast.List):
        _refuse(node, "tuple", place)
    if len(kinds) == 2 and kinds[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
        kinds = (kinds[0],) * len(node.elts)
    if len(kinds) != len(node.elts):
        raise BadMessage(f"{place}: {len(node.elts)} values instead of {len(kinds)}")
    return tuple(
        _value(one, kind, f"{place}[{number}]") for number, (one, kind) in enumerate(zip(node.elts, kinds, strict=True))
    )


def _member(node: ast.expr, kind: type[Enum], place: str) -> Enum:
    match node:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=kind.__name__), attr=name):
            pass
        case ast.Constant(value=str() as name):
            pass
        case _:
            _refuse(node, kind, place)
    for member in kind:
        if name in {member.name, member.value}:
            return member
    raise BadMessage(f"{place}: {name!r} is none of {', '.join(member.name for member in kind)}")


def _literal(node: ast.expr, kind: Any, place: str) -> object:  # noqa: ANN401
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        _refuse(node, kind, place)
    if kind is types.NoneType and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if kind in {UUID, datetime} and isinstance(value, str):
        try:
            value = UUID(value) if kind is UUID else datetime.fromisoformat(value)
        except ValueError:
            _refuse(node, kind, place)
    if type(value) is not kind or not _known_everywhere(value):
        _refuse(node, kind, place)
    checked: object = value
    return checked


def _known_everywhere(value: object) -> bool:
    """Return whether a value can be stored and compared wherever a message may take it."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
        case datetime():
            return value.tzinfo is not None
        case _:
            return True


def _refuse(node: ast.expr, kind: object, place: str) -> NoReturn:
    raise BadMessage(f"{place}: {_short(ast.unparse(node))} is no {_type_name(kind)}")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _type_name(kind: object) -> str:
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    return re.sub(r"\b(storage\.records|actors\.messages|uuid)\.([a-z]+\.)*", "", str(kind))

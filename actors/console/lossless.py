"""What cores hear, answer and know, as JSON and back without loss: the lines of a tap, and what `replay` reads.

Plain values stand for themselves.  Everything else is an object with one key that says what it is:

    {"tuple": […]} {"set": […]} {"frozenset": […]} {"map": [[key, value], …]} {"bytes": "base64"} {"uuid": "…"}
    {"time": "ISO 8601"} {"enum": "room.module.Name", "value": …} {"type": "room.module.Name"}
    {"is": "room.module.Name", "fields": {…}}    a record, an event, an order, a part of a core

Inside a core the same thing may be known in several places: what can change carries `"id"` where it stands first, and
is `{"same": id}` elsewhere.  Only classes of the pure rooms are ever made, and none of their code runs: a file can't do
anything but be wrong.  Never reads or writes a file.
"""

from __future__ import annotations

import base64
import importlib
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime, timedelta
from enum import Enum
from itertools import chain
from typing import Any, Final
from uuid import UUID

#: rooms without I/O: what may stand in a story
ROOMS: Final = ("actors.core.", "actors.messages", "certificates.identity", "protocol.", "storage.records")
_PLAIN: Final = (str, bool, int, float, type(None))
_FACTORIES: Final = {"set": set, "list": list, "int": int, "dict": dict}


class NotLossless(Exception):
    """It can't be written down, or what was read can't be understood; the text says what."""


class _Writer:
    """Writes one value down; the same thing twice, once."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._alive: list[object] = []  # or another thing might get the address of one that is gone

    def write(self, value: Any) -> Any:  # noqa: ANN401 - any value of a core
        kind = type(value)
        if kind in _PLAIN:
            return value
        leaf = _leaf(value)
        if leaf is not None:
            return leaf
        match value:
            case tuple() if kind is tuple:
                return {"tuple": [self.write(one) for one in value]}
            case frozenset():
                return {"frozenset": [self.write(one) for one in value]}
            case tuple() if hasattr(value, "_fields"):
                return {"is": _name(kind), "named": [self.write(one) for one in value]}
            case _:
                return self._changeable(value)

    def _changeable(self, value: Any) -> Any:  # noqa: ANN401
        if id(value) in self._ids:
            return {"same": self._ids[id(value)]}
        self._ids[id(value)] = number = len(self._ids) + 1
        self._alive.append(value)
        kind = type(value)
        if kind in {list, set, deque}:
            more = {"most": value.maxlen} if kind is deque else {}
            return {"id": number, kind.__name__: [self.write(one) for one in value], **more}
        if kind in {dict, defaultdict, Counter, OrderedDict}:
            pairs = [[self.write(key), self.write(one)] for key, one in value.items()]
            if kind is not defaultdict:
                return {"id": number, "map": pairs, "kind": kind.__name__}
            factory = next((name for name, made in _FACTORIES.items() if made is value.default_factory), None)
            if factory is None:
                raise NotLossless(f"a defaultdict of {value.default_factory} can't be written down")
            return {"id": number, "map": pairs, "kind": "defaultdict", "default": factory}
        name = _name(kind)
        return {"id": number, "is": name, "fields": {key: self.write(one) for key, one in _fields(value)}}


class _Reader:
    """Reads one value."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def read(self, written: Any) -> Any:  # noqa: ANN401, C901 - one line for each kind
        if type(written) in _PLAIN:
            return written
        match written:
            case {"same": number}:
                return self._made[number]
            case {"tuple": list(ones)}:
                return tuple(self.read(one) for one in ones)
            case {"frozenset": list(ones)}:
                return frozenset(self.read(one) for one in ones)
            case {"is": str(name), "named": list(ones)}:
                return _find(name, tuple)(*(self.read(one) for one in ones))
            case {"bytes": str(text)}:
                return base64.b64decode(text)
            case {"uuid": str(text)}:
                return UUID(text)
            case {"time": str(text)}:
                return datetime.fromisoformat(text)
            case {"seconds": float() | int() as seconds}:
                return timedelta(seconds=seconds)
            case {"enum": str(name), "value": value}:
                return _find(name, Enum)(value)
            case {"type": str(name)}:
                return _find(name)
            case {"id": number, "is": str(name), "fields": dict(fields)}:
                return self._fill(number, name, fields)
            case {"id": number, "list": list(ones)}:
                made: Any = self._made.setdefault(number, [])
                made.extend(self.read(one) for one in ones)
                return made
            case {"id": number, "deque": list(ones), "most": most}:
                made = self._made.setdefault(number, deque(maxlen=most))
                made.extend(self.read(one) for one in ones)
                return made
            case {"id": number, "set": list(ones)}:
                made = self._made.setdefault(number, set())
                made.update(self.read(one) for one in ones)
                return made
            case {"id": number, "map": list(pairs), "kind": str(kind)}:
                made = self._made.setdefault(number, _mapping(kind, written.get("default")))
                made.update({self.read(key): self.read(one) for key, one in pairs})
                return made
            case _:
                raise NotLossless(f"{str(written)[:80]} is nothing that a tap writes")

    def _fill(self, number: int, name: str, fields: dict[str, Any]) -> Any:  # noqa: ANN401
        kind = _find(name)
        made: Any = object.__new__(kind)
        self._made[number] = made
        for key, one in fields.items():
            object.__setattr__(made, key, self.read(one))
        return made


def written(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return `value` as JSON's types.

    Raises:
        NotLossless: something in it is no plain value and of no pure room.
    """
    try:
        return _Writer().write(value)
    except RecursionError as error:
        raise NotLossless("it goes too deep to be written down") from error


def read(value: Any) -> Any:  # noqa: ANN401 - JSON in, anything out
    """Return what `written` was given.

    Raises:
        NotLossless: it is not what this version of the program writes.
    """
    try:
        return _Reader().read(value)
    except RecursionError as error:
        raise NotLossless("it goes too deep") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NotLossless(f"not of this version: {type(error).__name__}: {error}") from error


def _leaf(value: object) -> dict[str, object] | None:
    match value:
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(bytes(value)).decode("ascii")}
        case UUID():
            return {"uuid": str(value)}
        case datetime():
            return {"time": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case Enum():
            return {"enum": _name(type(value)), "value": value.value}
        case type():
            return {"type": _name(value)}
        case _:
            return None


def _name(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not name.startswith(ROOMS):
        raise NotLossless(f"{name} can't be written down")
    return name


def _find(name: str, kind_of: type = object) -> Any:  # noqa: ANN401 - a class
    module, _, kind = name.rpartition(".")
    if not name.startswith(ROOMS) or not kind.isidentifier():
        raise NotLossless(f"{name!r} is no class that may stand in a story")
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError) as error:
        raise NotLossless(f"this version has no {name}") from error
    if not isinstance(found, type) or not issubclass(found, kind_of):
        raise NotLossless(f"{name} is not what stands there")
    return found


def _fields(value: object) -> list[tuple[str, object]]:
    """Return what an object holds, by attribute, whether in slots or not."""
    slots = chain.from_iterable(getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [*slots, *getattr(value, "__dict__", ())]
    return [(name, getattr(value, name)) for name in dict.fromkeys(names) if hasattr(value, name)]


def _mapping(kind: str, default: object) -> Any:  # noqa: ANN401
    if kind == "defaultdict" and isinstance(default, str):
        return defaultdict(_FACTORIES[default])
    return {"dict": dict, "Counter": Counter, "OrderedDict": OrderedDict}[kind]()

"""Messages to frames, and frames to messages.

A frame is 4 bytes of length (big-endian, at most `MAX_FRAME`) and one msgpack map: the key `message` names the class
in `protocol.messages`, the other keys are its fields; fields that have their default may be left out.  No code here
knows a single message: `_FIELDS` says what shape a field has, the dataclasses say which fields there are, and a field
without a shape fails at import.

Half of `protocol.connection`, which cuts the stream into frames and says who may send what when.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgpack

from protocol import messages, shapes
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import CHUNK, Message
from protocol.shapes import Misfit, Shape
from protocol.survey import MAX_BINARY, MAX_ENTRIES, MAX_STRING, survey

MAX_FRAME = 1024 * 1024  #: bytes of a frame without its length
MAX_ECHO = 64 * 1024  #: bytes of `Echo.data`

_KIND = "message"  #: the key that names the class

#: Shapes of strings, integers and bytes by the name of their field (`Class.field` goes first).  Booleans, floats,
#: enumerations, optional values, tuples, dicts and nested records follow from the type.
_FIELDS: dict[str, Shape] = {
    "Echo.data": shapes.content(MAX_ECHO),
    "EchoReply.data": shapes.content(MAX_ECHO),
    "Build.files": shapes.Mapping(shapes.NAME, shapes.SHA256),
    "Build.args": shapes.Mapping(shapes.TAG, shapes.ARGUMENT),
    "architectures": shapes.TAG,
    "attempt": shapes.UUID,
    "backend": shapes.TAG,
    "build_type": shapes.TAG,
    "build_types": shapes.TAG,
    "chroot": shapes.CHROOT,
    "data": shapes.content(CHUNK),
    "dependencies": shapes.TEXT,
    "epoch": shapes.COUNT,
    "farm": shapes.UUID,
    "free_disk": shapes.COUNT,
    "id": shapes.COUNT,
    "log_size": shapes.COUNT,
    "name": shapes.NAME,
    "offset": shapes.COUNT,
    "sha256": shapes.SHA256,
    "size": shapes.COUNT,
    "slave": shapes.TEXT,
    "text": shapes.TEXT,
    "token": shapes.SECRET,
    "version": shapes.count(65535),
    "versions": shapes.count(65535),
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    shape: Shape
    default: object  #: MISSING if it must be there


class _Record:
    """The shape of one dataclass, and of the map it travels as."""

    def __init__(self, of: type[Any]) -> None:
        """Compile the fields of `of`; a field without a shape is a TypeError."""
        hints = get_type_hints(of)
        self.of = of
        self.fields = tuple(_Field(f.name, _shape(of, f.name, hints[f.name]), f.default) for f in fields(of))
        self.names = {f.name for f in self.fields}

    def read(self, wire: object) -> Any:  # noqa: ANN401 - an instance of `of`
        """Return the record."""
        if not isinstance(wire, dict):
            raise Misfit(f"{shapes.brief(wire)} is no map")
        if not wire.keys() <= self.names:
            unknown = ", ".join(sorted(shapes.brief(key) for key in wire.keys() - self.names)[:3])
            raise Misfit(f"unknown field {unknown}")
        values = {}
        for field in self.fields:
            if field.name in wire:
                values[field.name] = _under(field.name, field.shape.read, wire[field.name])
            elif field.default is MISSING:
                raise Misfit("is missing", f".{field.name}")
        return _sensible(self.of(**values))

    def write(self, value: object) -> dict[str, object]:
        """Return the map, without what has its default."""
        if type(value) is not self.of:
            raise Misfit(f"{shapes.brief(value)} is no {self.of.__name__}")
        _sensible(value)
        wire = {}
        for field in self.fields:
            part = getattr(value, field.name)
            if field.default is MISSING or part != field.default:
                wire[field.name] = _under(field.name, field.shape.write, part)
        return wire


def _under(name: str, translate: Any, value: object) -> object:  # noqa: ANN401 - Shape.read or Shape.write
    try:
        return translate(value)
    except Misfit as misfit:
        raise misfit.under(f".{name}") from None


def _sensible(record: object) -> object:
    """Return `record`; raise `Misfit` where a `Status` contradicts itself: no core has to think of that again."""
    if isinstance(record, messages.Status):
        state = record.state
        if (record.attempt is None) != (state is messages.SlaveState.IDLE):
            raise Misfit(f"{state} {'without' if record.attempt is None else 'with'} an attempt")
        if (record.outcome is None) != (state is not messages.SlaveState.WAITING):
            raise Misfit(f"{state} {'without' if record.outcome is None else 'with'} an outcome")
    return record


def _shape(owner: type[Any], name: str, hint: Any) -> Shape:  # noqa: ANN401 - a table in the form of a match
    """Return the shape of a field from its type and `_FIELDS`."""
    if given := _FIELDS.get(f"{owner.__name__}.{name}"):
        return given
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType} and NoneType in parts:
        (rest,) = (part for part in parts if part is not NoneType)
        return shapes.Optional(_shape(owner, name, rest))
    if origin is tuple:
        return shapes.Sequence(_shape(owner, name, parts[0]))
    if hint is bool:
        return shapes.BOOLEAN
    if hint is float:
        return shapes.NUMBER
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return shapes.Choice(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _Record(hint)
    if name in _FIELDS:
        return _FIELDS[name]
    raise TypeError(f"{owner.__name__}.{name} has no shape in protocol.codec")


_RECORDS: dict[str, _Record] = {kind.__name__: _Record(kind) for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """Return the whole frame for `message`.

    Raises:
        LocalProtocolError: a field does not have its shape, or the frame would be too large.
    """
    kind = type(message).__name__
    record = _RECORDS.get(kind)
    if record is None:
        raise LocalProtocolError(f"{kind} is no message of the protocol")
    try:
        wire = record.write(message)
    except Misfit as misfit:
        raise LocalProtocolError(f"{kind}{misfit}") from None
    payload: bytes = msgpack.packb({_KIND: kind, **wire})
    if len(payload) > MAX_FRAME:
        raise LocalProtocolError(f"{kind} takes {len(payload)} bytes; a frame has at most {MAX_FRAME}")
    try:
        survey(payload)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"{kind}: {error}") from None
    return len(payload).to_bytes(4, "big") + payload


def decode(payload: bytes | memoryview) -> Message:
    """Return the message in `payload`, a frame without its length.

    Raises:
        RemoteProtocolError: whatever is wrong with the bytes; never takes more than 4 MiB to find out.
    """
    if len(payload) > MAX_FRAME:
        raise RemoteProtocolError(f"frame of {len(payload)} bytes; at most {MAX_FRAME}")
    survey(payload)
    try:
        wire = msgpack.unpackb(
            payload,
            object_pairs_hook=_unique,
            max_str_len=MAX_STRING,
            max_bin_len=MAX_BINARY,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_ext_len=0,
        )
    except (msgpack.UnpackException, ValueError) as error:
        raise RemoteProtocolError(f"the frame is no msgpack: {shapes.fit_text(str(error))[:200]}") from None
    except Misfit as misfit:
        raise RemoteProtocolError(misfit.words) from None
    kind = wire.pop(_KIND, None)
    record = _RECORDS.get(kind) if isinstance(kind, str) else None
    if record is None:
        raise RemoteProtocolError(f"unknown message {shapes.brief(kind)}")
    try:
        message: Message = record.read(wire)
    except Misfit as misfit:
        raise RemoteProtocolError(f"{kind}{misfit}") from None
    return message


def _unique(pairs: list[tuple[object, object]]) -> dict[object, object]:
    """Return the map; raise `Misfit` where a key comes twice, for two readers might believe different ones."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Misfit("a map has the same key twice")
    return out

"""Shapes of single fields: what a value must look like on either side of the wire.

A shape reads a wire value into a field and writes a field into a wire value, checking the same both ways; so whatever
we can send, we can read.  `protocol.codec` puts shapes together for each message; nothing here knows a message.
A `Misfit` says what was wrong; the codec turns it into the error of whoever is to blame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from protocol.survey import MAX_ENTRIES, MAX_STRING

TEXT_BYTES = MAX_STRING  #: UTF-8 bytes of a text for people, at most; senders cut theirs with `fit_text`
MAX_INTEGER = 2**63 - 1
NAME_BYTES = 255  #: of one path component, as file systems have it

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,63}")


class Misfit(Exception):
    """A value does not have the shape of its field."""

    def __init__(self, words: str, path: str = "") -> None:
        """Say what is wrong with the value at `path`, as `.files[3].name`."""
        super().__init__(f"{path}: {words}")
        self.words = words
        self.path = path

    def under(self, path: str) -> Misfit:
        """Return the same misfit as seen from one container further out."""
        return Misfit(self.words, path + self.path)


class Shape(Protocol):
    """Translates one field."""

    def read(self, wire: object) -> object:
        """Return the field's value; raise `Misfit`."""

    def write(self, value: object) -> object:
        """Return what msgpack packs; raise `Misfit`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A shape whose value is the same on both sides."""

    check: Callable[[object], object]  #: returns the value; raises `Misfit`

    def read(self, wire: object) -> object:
        """Return the value, checked."""
        return self.check(wire)

    def write(self, value: object) -> object:
        """Return the value, checked."""
        return self.check(value)


@dataclass(frozen=True, slots=True)
class Optional:
    """None, or the other shape."""

    of: Shape

    def read(self, wire: object) -> object:
        """Return None or the value."""
        return None if wire is None else self.of.read(wire)

    def write(self, value: object) -> object:
        """Return None or the value."""
        return None if value is None else self.of.write(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """A member of an enumeration, by its value."""

    of: type[StrEnum]

    def read(self, wire: object) -> object:
        """Return the member."""
        try:
            return self.of(_string(wire, MAX_STRING))
        except ValueError:
            known = ", ".join(self.of)
            raise Misfit(f"{brief(wire)} is none of {known}") from None

    def write(self, value: object) -> object:
        """Return the member's value."""
        if type(value) is not self.of:
            raise Misfit(f"{brief(value)} is no {self.of.__name__}")
        return value.value


@dataclass(frozen=True, slots=True)
class Sequence:
    """A tuple, all of one shape."""

    of: Shape

    def read(self, wire: object) -> object:
        """Return the tuple."""
        if not isinstance(wire, (list, tuple)):
            raise Misfit(f"{brief(wire)} is no list")
        return tuple(self._each(wire, self.of.read))

    def write(self, value: object) -> object:
        """Return the list."""
        if not isinstance(value, tuple):
            raise Misfit(f"{brief(value)} is no tuple")
        return self._each(value, self.of.write)

    def _each(self, values: list[object] | tuple[object, ...], translate: Callable[[object], object]) -> list[object]:
        if len(values) > MAX_ENTRIES:
            raise Misfit(f"{len(values)} entries; at most {MAX_ENTRIES}")
        out = []
        for number, value in enumerate(values):
            try:
                out.append(translate(value))
            except Misfit as misfit:
                raise misfit.under(f"[{number}]") from None
        return out


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dict with keys of one shape and values of another."""

    key: Shape
    of: Shape

    def read(self, wire: object) -> object:
        """Return the dict."""
        return self._each(wire, lambda shape, value: shape.read(value))

    def write(self, value: object) -> object:
        """Return the dict."""
        return self._each(value, lambda shape, part: shape.write(part))

    def _each(self, value: object, translate: Callable[[Shape, object], object]) -> dict[object, object]:
        if not isinstance(value, dict):
            raise Misfit(f"{brief(value)} is no map")
        if len(value) > MAX_ENTRIES:
            raise Misfit(f"{len(value)} entries; at most {MAX_ENTRIES}")
        out = {}
        for key, part in value.items():
            try:
                out[translate(self.key, key)] = translate(self.of, part)
            except Misfit as misfit:
                raise misfit.under(f"[{brief(key)}]") from None
        return out


class Argument:
    """A value of `Build.args`: string, integer, boolean or tuple of strings."""

    def read(self, wire: object) -> object:
        """Return the value."""
        return STRINGS.read(wire) if isinstance(wire, (list, tuple)) else self._single(wire)

    def write(self, value: object) -> object:
        """Return the value."""
        return STRINGS.write(value) if isinstance(value, tuple) else self._single(value)

    def _single(self, value: object) -> object:
        if isinstance(value, bool):
            return value
        if type(value) is int:
            return integer(value, -MAX_INTEGER, MAX_INTEGER)
        return _string(value, MAX_STRING)


def brief(value: object) -> str:
    """Return `value` in at most some 60 characters, for an error text."""
    if isinstance(value, (list, tuple, dict)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= 60 else f"{value[:40]!r}… of {len(value)}"  # noqa: PLR2004
    return repr(value)[:60]


def fit_text(text: str) -> str:
    """Return `text` as one printable line of at most `TEXT_BYTES`, so that it may be sent."""
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    encoded = line.encode()
    if len(encoded) <= TEXT_BYTES:
        return line
    return encoded[: TEXT_BYTES - 3].decode(errors="ignore") + "…"


def _string(value: object, limit: int) -> str:
    if not isinstance(value, str):
        raise Misfit(f"{brief(value)} is no string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Misfit(f"{brief(value)} is no Unicode text") from None
    if size > limit:
        raise Misfit(f"string of {size} bytes; at most {limit}")
    return str(value)


def integer(value: object, low: int, high: int) -> int:
    """Return `value` if it is an int (and no bool) from `low` to `high`; raise `Misfit`."""
    if type(value) is not int:
        raise Misfit(f"{brief(value)} is no integer")
    if not low <= value <= high:
        raise Misfit(f"{value} is not in {low}…{high}")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Leaf:
    def check(value: object) -> str:
        text = _string(value, MAX_STRING)
        if not pattern.fullmatch(text):
            raise Misfit(f"{brief(text)} is no {what}")
        return text

    return Leaf(check)


def _component(value: object) -> str:
    name = _string(value, NAME_BYTES)
    if not name or name in {".", ".."} or "/" in name or name.startswith("-") or not name.isprintable():
        raise Misfit(f"{brief(name)} is no name of a file (a single, printable path component)")
    return name


def _line(value: object) -> str:
    """Take one printable line: it goes to terminals, logs and the database, which takes no NUL; see `fit_text`."""
    text = _string(value, TEXT_BYTES)
    if not text.isprintable():
        raise Misfit(f"{brief(text)} is no printable line")
    return text


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_STRING or not value.isascii():
        raise Misfit("not an ASCII string of a sensible length (its value is not shown)")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Misfit(f"{brief(value)} is no boolean")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misfit(f"{brief(value)} is no number")
    if abs(value) > MAX_INTEGER or math.isnan(value):
        raise Misfit(f"{brief(value)} is not finite, or too large")
    return float(value)


def _chroot(value: object) -> object:
    return "" if value == "" else SHA256.read(value)


def count(high: int = MAX_INTEGER) -> Leaf:
    """Return the shape of a whole number from 0 to `high`."""
    return Leaf(lambda value: integer(value, 0, high))


def content(limit: int) -> Leaf:
    """Return the shape of at most `limit` bytes."""

    def check(value: object) -> bytes:
        if not isinstance(value, bytes):
            raise Misfit(f"{brief(value)} is not binary")
        if len(value) > limit:
            raise Misfit(f"{len(value)} bytes; at most {limit}")
        return value

    return Leaf(check)


SHA256 = _matching(_SHA256, "SHA-256 (64 lower-case hexadecimal digits)")
UUID = _matching(_UUID, "UUID (36 characters, lower case)")
TAG = _matching(_TAG, "tag (lower-case letters, digits, `_.+-`; at most 64)")
NAME = Leaf(_component)
TEXT = Leaf(_line)
SECRET = Leaf(_secret)
BOOLEAN = Leaf(_boolean)
NUMBER = Leaf(_number)
COUNT = count()
CHROOT = Leaf(_chroot)
STRINGS = Sequence(Leaf(lambda value: _string(value, MAX_STRING)))
ARGUMENT = Argument()

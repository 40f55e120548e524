"""What a builder's core was told lately and what it answered, for whoever must understand an `ImpossibleStep`.

A line is put into words when somebody reads it: a busy builder has fifty a build, and nearly all are never read.  Keeps
types only, never what came with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import overload

_Kind = tuple[type, type | None]  #: of an event or order, and of the message in it
_Line = tuple[float | tuple[StrEnum, ...], tuple[_Kind, ...]]  #: when, or what was being done, and the events or orders


class Story(Sequence[str]):
    """The last lines."""

    def __init__(self, length: int) -> None:
        """Remember so many lines."""
        self._lines: deque[_Line] = deque(maxlen=length)

    def heard(self, at: float, event: object) -> None:
        """Note an event."""
        message = getattr(event, "message", None)
        self._lines.append((at, ((type(event), None if message is None else type(message)),)))

    def answered(self, doing: tuple[StrEnum, ...], orders: Iterable[object]) -> None:
        """Note the orders that an event called for, and what the core is about since."""
        self._lines.append((doing, tuple(map(_kind, orders))))

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        """Return a line, or some, in words."""
        if isinstance(place, slice):
            return [_words(line) for line in tuple(self._lines)[place]]
        return _words(self._lines[place])


def _kind(thing: object) -> _Kind:
    message = getattr(thing, "message", None)
    return type(thing), None if message is None else type(message)


def _words(line: _Line) -> str:
    when, kinds = line
    names = ", ".join(
        kind.__name__ if message is None else f"{kind.__name__}({message.__name__})" for kind, message in kinds
    )
    if isinstance(when, tuple):
        return f"{'':8}{'/'.join(one.value for one in when)} → {names}"
    return f"{when:.3f} {names}"

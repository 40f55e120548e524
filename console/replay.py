"""`replay FILE`: a tapped story into a fresh core.  The same orders, or the first difference.

Needs no farm.  A core is made from its `opening`, and is handed what the tapped one heard; where lines were lost, the
story breaks off and goes on with the next opening.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.console.lossless import NotLossless, read
from actors.console.message_text import spell
from console.line import BadCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Who = tuple[str, int, str]  # actor, generation, core


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a fresh core answers otherwise."""

    line: int  #: of the file
    who: str
    event: str
    told: tuple[str, ...]  #: orders of the story
    now: tuple[str, ...]  #: orders of the fresh core

    def words(self) -> str:
        """For people."""
        return (
            f"line {self.line}: {self.who} heard {self.event}\n"
            f"  then: {', '.join(self.told) or 'nothing'}\n"
            f"  now:  {', '.join(self.now) or 'nothing'}"
        )


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    events: dict[str, int] = field(default_factory=dict)  #: that were handed over, by core
    skipped: int = 0  #: events before any opening, or after lost lines
    difference: Difference | None = None


def replay(path: Path) -> Replayed:
    """Replay every core's story in a file, up to the first difference.

    Raises:
        BadCommand: it is no story, or of another version.
    """
    done, cores = Replayed(), dict[_Who, Any]()
    for number, line in _lines(path):
        try:
            done.difference = _take(line, number, cores, done)
        except RecursionError as error:
            raise BadCommand(f"line {number} can't be replayed: it goes too deep") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadCommand(f"line {number} can't be replayed: {type(error).__name__}: {error}") from error
        if done.difference is not None:
            return done
    if not done.events:
        raise BadCommand(f"{path} has no story of a core: make one with `tap NAME --to FILE`")
    return done


def _take(line: dict[str, Any], number: int, cores: dict[_Who, Any], done: Replayed) -> Difference | None:
    """Do what a line says; return where the core answers otherwise than it did.

    A line that a tap did not write may raise anything that comes of missing or wrong values.
    """
    who = (str(line.get("actor")), int(line.get("generation") or 0), str(line.get("core")))
    match line.get("kind"):
        case "opening":
            cores[who] = _read(line.get("state"), number)
        case "event" if who in cores:
            name = f"{who[0]}, generation {who[1]}, {who[2]}"
            done.events[name] = done.events.get(name, 0) + len(line["events"])
            return _hand_over(cores[who], line, number, who)
        case "event":
            done.skipped += len(line["events"])
        case "lost":
            for one in [one for one in cores if one[:2] == who[:2]]:
                del cores[one]
        case _:
            pass
    return None


def _hand_over(core: Any, line: dict[str, Any], number: int, who: _Who) -> Difference | None:  # noqa: ANN401
    events = [_read(event, number) for event in line["events"]]
    told = line["error"] if "error" in line else tuple(_read(order, number) for order in line["orders"])
    now: object
    try:
        now = tuple(core.handle(*events))
    except Exception as error:  # noqa: BLE001 - whatever the core does now is compared with what it did then
        now = f"{type(error).__name__}: {error}"
    if now == told:
        return None
    heard = ", ".join(map(spell, events))
    return Difference(number, f"{who[0]}'s {who[2]}", heard, _spelt(told), _spelt(now))


def _spelt(orders: object) -> tuple[str, ...]:
    return tuple(map(spell, orders)) if isinstance(orders, tuple) else (f"it raised {orders}",)


def _read(value: object, number: int) -> Any:  # noqa: ANN401
    try:
        return read(value)
    except NotLossless as error:
        raise BadCommand(f"line {number} can't be replayed: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise BadCommand(f"line {number} of {path} is not of a tap")
                yield number, line
    except OSError as error:
        raise BadCommand(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadCommand(f"{path} is not of a tap: {error}") from error

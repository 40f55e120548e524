"""The shapes in `docs/commands.md`: names and types of what each command prints with `--json`, read off real answers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "commands.md"
BEGIN, END = "<!-- shapes: made by `make commands` -->", "<!-- shapes: end -->"

#: what several commands speak of → fields by which it is known; its own are those that it has wherever it is shown
RECORDS: Final[Mapping[str, frozenset[str]]] = {
    "BUILD": frozenset({"arch_indep", "dependencies"}),
    "ATTEMPT": frozenset({"builder_induced"}),
    "JOB": frozenset({"score_parts"}),
    "REASON": frozenset({"code", "words"}),
    "EVENT": frozenset({"subject", "what"}),
    "BUILDER": frozenset({"builderok"}),
    "FARM": frozenset({"minimum_score"}),
    "FILE": frozenset({"sha256", "mimetype"}),
    "CHROOT": frozenset({"held_back"}),
    "SERIES": frozenset({"nominated_archindep"}),
    "ARCHIVE": frozenset({"relative_score"}),
    "PUBLICATION": frozenset({"component", "since"}),
    "PERSON": frozenset({"name", "teams"}),
    "TEAM": frozenset({"name", "members"}),
    "TOKEN": frozenset({"label"}),
    "CERTIFICATE": frozenset({"serial", "role"}),
}
#: objects whose keys are names of the farm's own things, as families, and no fields
NAMED: Final = frozenset({"states", "stuck", "families", "family_scores", "refused", "outcomes"})
ANYTHING: Final = frozenset({"limits", "facts", "before", "after", "limits_from"})  #: names with values of all kinds
_WIDE: Final = 116  #: columns
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def record_of(value: Mapping[str, object]) -> str:
    """Return which of the records a document is; empty: none."""
    return next((name for name, telling in RECORDS.items() if telling <= value.keys()), "")


@dataclass
class Shape:
    """Everything that was seen in one place."""

    scalars: set[str] = field(default_factory=set)
    objects: dict[str, dict[str, Shape]] = field(default_factory=dict)  #: record, or nothing → fields beside its own
    items: Shape | None = None

    def __str__(self) -> str:
        """Return it as the page has it."""
        kinds = []
        for record, fields in self.objects.items():
            inside = [*filter(None, [record]), *(f"{key}: {one}" for key, one in fields.items())]
            kinds.append(record if inside == [record] else f"{{{', '.join(inside)}}}")
        if self.items is not None:
            kinds.append(f"[{self.items}]")
        return " | ".join([*kinds, *sorted(self.scalars, key=lambda one: (one == "null", one))])


@dataclass
class Shapes:
    """The shapes of many answers, by command; what the same record is in one and another is put together."""

    answers: list[tuple[str, Any]] = field(default_factory=list)

    def page(self) -> str:
        """Return what stands between the marks of the page."""
        own: dict[str, set[str]] = {}
        for value in _objects(answer for _, answer in self.answers):
            name = record_of(value)
            if name:
                own[name] = own.get(name, set(value)) & set(value)
        records: dict[str, dict[str, Shape]] = {name: {} for name in RECORDS}
        commands: dict[str, Shape] = {}
        for command, answer in self.answers:
            self._see(commands.setdefault(command, Shape()), answer, "", records, own)
        lines = ["```"]
        for name, shape in [*((name, Shape(objects={"": one})) for name, one in records.items()), *commands.items()]:
            lines += [name, *textwrap.wrap(str(shape), _WIDE, initial_indent="  ", subsequent_indent="    ")]
        return "\n".join([*lines, "```\n"])

    def _see(
        self,
        shape: Shape,
        value: object,
        name: str,
        records: Mapping[str, dict[str, Shape]],
        own: Mapping[str, set[str]],
    ) -> None:
        """Add what `value`, of the field `name`, is made of to `shape`."""
        match value:
            case Mapping() if name in ANYTHING:
                shape.objects[""] = {"NAME": Shape({"any"})}
            case Mapping():
                record = record_of(value)
                beside = shape.objects.setdefault(record, {})
                for key, inner in value.items():
                    there = records[record] if record and key in own[record] else beside
                    self._see(there.setdefault("NAME" if name in NAMED else key, Shape()), inner, key, records, own)
            case list():
                shape.items = Shape() if shape.items is None else shape.items
                for inner in value:
                    self._see(shape.items, inner, "", records, own)
            case _:
                shape.scalars.add(_scalar(value))


def _objects(values: Iterable[object]) -> Iterator[Mapping[str, object]]:
    for value in values:
        if isinstance(value, Mapping):
            yield value
            yield from _objects(inner for key, inner in value.items() if key not in ANYTHING)
        elif isinstance(value, list):
            yield from _objects(value)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true/false"
        case int() | float():
            return "number"
        case str() if _TIME.fullmatch(value):
            return "time"
        case _:
            return "text"

"""`replay` of files that no tap wrote: each is refused in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from console.line import BadCommand
from console.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

CORE = {"kind": "opening", "actor": "bob", "generation": 1, "core": "builder", "state": {"id": 1, "list": []}}
EVENT = {"kind": "event", "actor": "bob", "generation": 1, "core": "builder", "events": [], "orders": []}
EMPTY = {"id": 1, "is": "actors.core.builder.events.TimeCame", "fields": {}}
ITSELF = {"id": 1, "list": [{"same": 1}]}


def without(line: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != key}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{**CORE, "generation": "one"}], "line 1 can't be replayed: ValueError"),
        ([{**CORE, "generation": [1]}], "line 1 can't be replayed: TypeError"),
        (['{"kind": "lost", "generation": Infinity}'], "line 1 can't be replayed: OverflowError"),
        ([CORE, without(EVENT, "events")], "line 2 can't be replayed: KeyError: 'events'"),
        ([CORE, without(EVENT, "orders")], "line 2 can't be replayed: KeyError: 'orders'"),
        ([CORE, {**EVENT, "orders": 5}], "line 2 can't be replayed: TypeError"),
        ([{**EVENT, "events": 5}], "line 1 can't be replayed: TypeError"),
        ([CORE, {**EVENT, "events": [EMPTY]}], "line 2 can't be replayed: AttributeError"),
        ([CORE, {**EVENT, "events": [ITSELF]}], "line 2 can't be replayed: it goes too deep"),
        ([{**CORE, "state": {"seconds": 1e300}}], "line 1 can't be replayed: not of this version: OverflowError"),
        (["[" * 100_000], "is not of a tap"),
        (["[]"], "line 1 of .* is not of a tap"),
        ([""], "is not of a tap"),
    ],
)
def test_what_no_tap_wrote_is_refused_with_its_line(tmp_path: Path, lines: list[Any], reason: str) -> None:
    story = tmp_path / "story"
    story.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    with pytest.raises(BadCommand, match=reason):
        replay(story)

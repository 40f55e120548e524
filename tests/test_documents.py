"""What the documents say about settings is what the code has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from actors.core.timers import Timers
from actors.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"


def rows_of_settings() -> Iterator[tuple[str, str]]:
    for row in (DOCS / "settings.md").read_text().splitlines():
        if row.startswith("| `"):
            name, default, _meaning = (cell.strip().strip("`") for cell in row.strip("|").split("|"))
            yield name, default


def test_every_setting_stands_in_the_documents_with_its_default() -> None:
    documented = dict(rows_of_settings())
    timers = {one.name: str(one.default) for one in fields(Timers)}
    others = {name: str(one.default) for name, one in Settings.model_fields.items() if name != "timers"}
    others["state_directory"] = "/var/lib/buildd-master"  # who we are decides; root's is documented
    assert documented == others | timers

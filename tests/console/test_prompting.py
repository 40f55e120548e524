"""What the prompt completes, and what it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from console.prompting import Completions, _history

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_small_farm import SmallFarm


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("", {"actors", "show", "freeze", "quit"}),
        ("fre", {"freeze"}),
        ("show to", {"toad"}),
        ("tap bob fr", {"frog"}),
        ("kill nurs", {"nursery-1", "nursery-2"}),
        ("help Canc", {"Cancel"}),
        ("help thaw", {"thaw"}),
        ("actors ", set()),
        ("send bob Adop", {"AdoptionWanted(", "Adopt("}),
        ("send bob Cancel(", {"builder=", "generation=", "attempt="}),
        ('ask bob Cancel(builder="bob", ', {"generation=", "attempt="}),
        ('send queue Finished(builder="bob", outcome=BUI', {"BUILDERFAIL"}),
        ("send queue Finished(slave_usable=", {"True", "False"}),
        ("send queue Finished(log=", {"None"}),
        ("send queue Finished(text=", set()),
        ("send queue Nonsense(", set()),
        ("send queue Describe()", set()),
    ],
)
def test_what_may_come_next_is_completed(small_farm: SmallFarm, typed: str, completed: set[str]) -> None:
    found = Completions(small_farm.attached).get_completions(Document(typed), CompleteEvent())
    texts = {one.text for one in found}
    assert texts >= completed
    assert bool(texts) == bool(completed)


def test_lines_are_remembered_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "console-history"
    assert isinstance(_history(file), FileHistory)
    assert file.stat().st_mode & 0o777 == 0o600
    assert isinstance(_history(tmp_path / "nowhere" / "x"), InMemoryHistory)


def test_a_link_in_the_place_of_that_file_is_not_followed(tmp_path: Path) -> None:
    important = tmp_path / "important"
    important.write_text("as it was")
    important.chmod(0o644)
    (tmp_path / "console-history").symlink_to(important)
    assert isinstance(_history(tmp_path / "console-history"), InMemoryHistory)
    assert (important.read_text(), important.stat().st_mode & 0o777) == ("as it was", 0o644)

"""What the console prints on terminals of different widths, and into a pipe."""

from __future__ import annotations

import io

import pytest

from console.screen import Screen


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


ROWS = (("NAME", "GENERATION", "LAST MESSAGE"), ("bob", "12", "BuilderChanged"))


@pytest.mark.parametrize(
    ("columns", "headings"),
    [(80, "NAME  GENERATION  LAST MESSAGE"), (31, "NAME  LAST MESSAGE"), (10, "NAME")],
)
def test_a_table_leaves_out_what_a_terminal_has_no_room_for(
    columns: int, headings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    Screen(out, person=True).print_table(ROWS, ("GENERATION", "LAST MESSAGE"))
    assert out.getvalue().splitlines()[0] == headings


def test_into_a_pipe_goes_the_whole_table() -> None:
    out = io.StringIO()
    Screen(out, person=False).print_table(ROWS, ("GENERATION", "LAST MESSAGE"))
    assert out.getvalue() == "NAME  GENERATION  LAST MESSAGE\nbob   12          BuilderChanged\n"

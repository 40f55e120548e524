"""Nothing that a stranger wrote steers the terminal of who reads it, wherever it is printed."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.text import Text

from cli.terminal import output
from cli.terminal.output import print_json
from cli.terminal.tables import Facts, Rows
from cli.terminal.visible import visible
from console.screen import Screen

RED = "\x1b[31mred"
HOSTILE = f"{RED}\x1b]0;title\x07\x9b2J\x85\u202egnp.exe\u2028\x7f"
HARMLESS = "\\u001b[31mred\\u001b]0;title\\u0007\\u009b2J\\u0085\\u202egnp.exe\\u2028\\u007f"  # as JSON writes it, too


def rows(text: Any) -> None:
    table = Rows("WHAT", "WHY", fold=("WHY",))
    table.add(text, "x")
    table.show()


def facts(text: Any) -> None:
    told = Facts()
    told.add("what", text)
    told.show()


PRINTS: dict[str, Callable[[str], object]] = {
    "say": output.say,
    "note": output.note,
    "warn": output.warn,
    "rows": rows,
    "rows of Text": lambda text: rows(Text(text)),
    "facts": facts,
    "facts of Text": lambda text: facts(Text(text)),
    "print": lambda text: output.console().print(Text(text), soft_wrap=True),
}


@pytest.mark.parametrize("how", PRINTS)
@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_printed_steers_no_terminal(
    how: str, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    PRINTS[how](HOSTILE)
    said = "".join(capsys.readouterr())
    assert "[31mred" in said
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.replace(RED, "not harmless"))  # colours of our own
    assert "not harmless" not in plain
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", plain)


def test_json_says_the_same_with_every_character_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE})
    said = capsys.readouterr().out
    assert HARMLESS in said
    assert json.loads(said) == {"text": HOSTILE}


def test_the_debug_console_prints_nothing_that_steers_a_terminal() -> None:
    out = io.StringIO()
    screen = Screen(out, person=True)
    screen.say(f"one\n\ttwo {HOSTILE}")
    screen.print_json({"text": HOSTILE})
    said, document = out.getvalue().rstrip("\n").rsplit("\n", 1)
    assert said == f"one\n\ttwo {HARMLESS}"
    assert json.loads(document) == {"text": HOSTILE}
    assert document.count(HARMLESS) == 1


def test_what_people_write_stays_as_it_is() -> None:
    text = "Grüße, 日本語, \t\N{WOMAN}\u200d\N{PERSONAL COMPUTER}\nनमस्ते"
    assert visible(text) == text

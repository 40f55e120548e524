"""A debug console on a terminal, at a farm under test."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect

from tests.fix_farm import PROJECT, FarmUnderTest

PROMPT = "farm> "


def command(farm: FarmUnderTest, *words: str, state_directory: Path | None = None) -> list[str]:
    where = str(state_directory or farm.settings.state_directory)
    return [sys.executable, "-m", "buildd_master", "--state-directory", where, "--database", farm.database, *words]


class Terminal:
    """A console on a terminal."""

    def __init__(self, farm: FarmUnderTest, *options: str) -> None:
        words = command(farm, "console", *options)
        environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "dumb"}
        environment |= {
            "COLUMNS": "150",
            "LINES": "60",
        }  # both: a dumb terminal has 80 columns, says rich, if it must guess
        self._child = pexpect.spawn(
            words[0], words[1:], cwd=PROJECT, env=environment, encoding="utf-8", timeout=30, dimensions=(60, 250)
        )
        self._child.expect(PROMPT)

    def says(self, line: str, why: str = "") -> str:
        """Type a line, and the reason if it is asked for; return what is printed until the next prompt."""
        self._child.send(f"{line}\r")
        if why:
            self._child.expect(r"why\? ")
            self._child.send(f"{why}\r")
        self._child.expect(re.escape(why or line))
        self._child.expect(PROMPT)
        lines = str(self._child.before).replace("\r", "").strip("\n").splitlines(keepends=True)
        # What is typed before the prompt is there is echoed twice, by the terminal and by the prompt.
        return "".join(lines[1:] if lines and lines[0].strip() == (why or line).strip() else lines)

    def begins(self, line: str, sign: str) -> None:
        """Type a line that goes on, and wait until it has printed `sign`."""
        self._child.send(f"{line}\r")
        self._child.expect(sign)

    def expect(self, sign: str) -> str:
        self._child.expect(sign)
        return str(self._child.match.group(0))

    def interrupt(self) -> None:
        self._child.sendintr()
        self._child.expect(PROMPT)

    def leave(self) -> None:
        self._child.send("quit\r")
        self._child.expect(pexpect.EOF)

    def close(self) -> None:
        self._child.close()


@contextmanager
def on_a_terminal(farm: FarmUnderTest, *options: str) -> Iterator[Terminal]:
    terminal = Terminal(farm, *options)
    try:
        yield terminal
        terminal.leave()
    finally:
        terminal.close()

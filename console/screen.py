"""What the console prints: lines and tables for people, or JSON, one document a line."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, TextIO

from cli.terminal.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.line import Line


class Screen:
    """Where answers go."""

    def __init__(self, out: TextIO, *, person: bool) -> None:
        """Print on `out`; `person`: somebody sits there and can end what has no end."""
        self.out = out
        self.person = person

    def say(self, text: str) -> None:
        """Print a line, which steers no terminal; what the terminal can't show becomes a question mark."""
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        self.out.write(visible(text).encode(encoding, "replace").decode(encoding) + "\n")
        self.out.flush()

    def print_json(self, document: object) -> None:
        """Print one document on one line."""
        self.say(json.dumps(document, ensure_ascii=False))

    def print_table(self, rows: Sequence[Sequence[str]], less: Sequence[str] = ()) -> None:
        """Print rows of as many cells, the first one the headings.

        Args:
            rows: all of them.
            less: headings of columns that are left out on a narrow terminal, the first one first.
        """
        columns = list(zip(*rows, strict=True))
        for heading in less:
            if sum(max(map(len, column)) + 2 for column in columns) - 2 <= self._width():
                break
            columns = [column for column in columns if column[0] != heading]
        widths = [max(map(len, column)) for column in columns]
        for row in zip(*columns, strict=True):
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _width(self) -> float:
        """Return how many characters stand in a line."""
        return shutil.get_terminal_size((0, 0)).columns or math.inf if self.out.isatty() else math.inf

    def report(self, line: Line, words: str, **facts: object) -> None:
        """Print what was done."""
        if line.as_json:
            self.print_json({"done": words, **facts})
        else:
            self.say(words)

"""Tables that fit: on a terminal columns of lesser weight give way, into a pipe goes one uncut line a row."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from cli.terminal.output import console, note
from cli.terminal.visible import visible

_GAP = 2  #: blanks between columns
_LEAST = 24  #: columns that a folded text wants for itself

Cell = str | Text


class Rows:
    """A table in the making."""

    def __init__(
        self, *columns: str, right: Sequence[str] = (), fold: Sequence[str] = (), less: Sequence[str] = ()
    ) -> None:
        """Name the columns.

        Args:
            columns: their headings, left to right.
            right: the headings of numbers.
            fold: the headings of texts that are wrapped; all others keep to one line.
            less: the headings of columns that are left out on a narrow terminal, the first one first.
        """
        self._columns, self._right, self._fold, self._less = columns, set(right), set(fold), list(less)
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, *cells: Cell) -> None:
        """Add a row; one cell a column."""
        self._rows.append(tuple(visible(cell) if isinstance(cell, str) else cell for cell in cells))

    def show(self, empty: str = "") -> None:
        """Print the table, or the line `empty` if it has no rows."""
        if not self._rows:
            if empty:
                note(empty)
            return
        out = console()
        if out.is_terminal:
            out.print(self._table(self._fitting(out.width)))
            return
        sys.stdout.write("".join(f"{line}\n" for line in self._lines()))

    def _lines(self) -> Iterator[str]:
        """Return the rows as uncut lines; thirty times as fast as a table of `rich` for ten thousand of them."""
        rows = [self._columns, *(tuple(_plain(cell).replace("\n", "; ") for cell in row) for row in self._rows)]
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        right = [heading in self._right for heading in self._columns]
        for row in rows:
            cells = []
            for cell, width, to_right in zip(row, widths, right, strict=True):
                blanks = " " * (width - cell_len(cell))
                cells.append(blanks + cell if to_right else cell + blanks)
            yield (" " * _GAP).join(cells).rstrip()

    def _fitting(self, width: int) -> tuple[str, ...]:
        """Return the columns that are shown in so many characters."""
        left = list(self._columns)
        for heading in self._less:
            if sum(self._width(one) + _GAP for one in left) - _GAP <= width:
                break
            left.remove(heading)
        return tuple(left)

    def _width(self, heading: str) -> int:
        place = self._columns.index(heading)
        widest = max((max(map(len, str(row[place]).split("\n"))) for row in self._rows), default=0)
        return min(max(widest, len(heading)), _LEAST) if heading in self._fold else max(widest, len(heading))

    def _table(self, columns: Sequence[str]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
        for heading in columns:
            table.add_column(
                heading,
                justify="right" if heading in self._right else "left",
                overflow="fold" if heading in self._fold else "ellipsis",
                no_wrap=heading not in self._fold,
            )
        places = [self._columns.index(heading) for heading in columns]
        for row in self._rows:
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in (row[place] for place in places)))
        return table


def _plain(cell: Cell) -> str:
    """Return a cell without colours."""
    return cell if isinstance(cell, str) else visible(cell.plain)


class Facts:
    """Names and values of one thing, below each other."""

    def __init__(self) -> None:
        """Begin with none."""
        self._facts: list[tuple[str, Cell]] = []

    def add(self, name: str, value: Cell) -> None:
        """Add one."""
        self._facts.append((name, visible(value) if isinstance(value, str) else value))

    def show(self) -> None:
        """Print them."""
        out = console()
        width = max(len(name) for name, _ in self._facts) + _GAP
        table = Table.grid(padding=(0, 0))
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in self._facts:
            table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
        if out.is_terminal:
            out.print(table)
            return
        with out.capture() as capture:
            out.print(table)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

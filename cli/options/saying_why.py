"""The option `--why`: what a person says of a change, for whoever looks at it later."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.errors import BadInput


def one_line(text: str | None) -> str | None:
    """Return what was given after `--why`, as one line.

    Raises:
        BadInput: it says nothing.
    """
    if text is None:
        return None
    line = " ".join(text.split())
    if not line or not line.isprintable():
        raise BadInput(f"--why {text!r} says nothing that a person can read")
    return line


Why = Annotated[
    str | None,
    typer.Option("--why", metavar="TEXT", help="Stands in the event log.", show_default=False, callback=one_line),
]

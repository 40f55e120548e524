"""What every command has, wherever it is defined: an example at the end of its help, and `--utc`."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cli.options import examples
from cli.terminal.output import show_times_in

UTC_VARIABLE: Final = "BUILDD_MASTER_UTC"


def _in_utc(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        show_times_in(UTC)


def _with_utc(
    _utc: Annotated[
        bool, typer.Option("--utc", callback=_in_utc, expose_value=False, help="Times in UTC, not local ones.")
    ] = False,
) -> None:
    """Be read for its option alone."""


def finish(program: TyperGroup) -> TyperGroup:
    """Give every command of `program` its example and `--utc`, and return it."""
    reader = typer.Typer(add_completion=False)
    reader.command()(_with_utc)
    (utc,) = get_command(reader).params

    for name, command in commands(program).items():
        command.params.append(utc)
        command.epilog = examples.shown(name) or command.epilog
    return program


def commands(program: TyperGroup) -> dict[str, TyperCommand]:
    """Return every command of `program` by what one types for it, as `builder add`."""
    found: dict[str, TyperCommand] = {}

    def walk(group: TyperGroup, path: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                walk(command, f"{path}{name} ")
            else:
                found[path + name] = cast("TyperCommand", command)

    walk(program, "")
    return found

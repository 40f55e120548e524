"""Options for what a build may take, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from cli.errors import BadInput
from storage.errors import BadValue
from storage.limits import check_limits, parse, said, shown
from storage.records import Limits

TAKE_BACK = "default"  #: the word that takes back what was said before

Wall = Annotated[
    str | None,
    typer.Option("--wall", metavar="TIME", help="Limit of the whole build, as 8h or 90m.", show_default=False),
]
Silent = Annotated[
    str | None,
    typer.Option("--silent", metavar="TIME", help="Limit of printing nothing, as 30m.", show_default=False),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Limit of all processes together, as 4G.", show_default=False),
]
Processes = Annotated[
    str | None,
    typer.Option("--processes", metavar="N", help="Limit of processes and threads at once.", show_default=False),
]
FileSize = Annotated[
    str | None,
    typer.Option("--file-size", metavar="SIZE", help="Limit of one file, as 2G.", show_default=False),
]
LogSize = Annotated[
    str | None,
    typer.Option("--log-size", metavar="SIZE", help="Limit of the log, as 20M.", show_default=False),
]
Disk = Annotated[
    str | None,
    typer.Option("--disk", metavar="SIZE", help="Limit of what it writes, as 20G.", show_default=False),
]


def changes(
    *,
    wall: str | None,
    silent: str | None,
    memory: str | None,
    processes: str | None,
    file_size: str | None,
    log_size: str | None,
    disk: str | None,
) -> Mapping[str, int | None]:
    """Return what the options say of limits, by name; None takes one back.

    Raises:
        BadInput: names the option.
    """
    given = {
        "wall_seconds": ("--wall", wall),
        "silent_seconds": ("--silent", silent),
        "memory_bytes": ("--memory", memory),
        "processes": ("--processes", processes),
        "file_bytes": ("--file-size", file_size),
        "log_bytes": ("--log-size", log_size),
        "disk_bytes": ("--disk", disk),
    }
    found: dict[str, int | None] = {}
    for name, (option, text) in given.items():
        if text is None:
            continue
        try:
            found[name] = None if text == TAKE_BACK else parse(name, text, bare=False)
            check_limits({name: found[name]})
        except BadValue as wrong:
            raise BadInput(f"{option} {text}: {wrong} ({TAKE_BACK!r} takes back what was said before)") from wrong
    return found


def words(limits: Limits, origins: tuple[str, ...] = ()) -> str:
    """Return limits as people read them, one a line, with who said those that are not from the settings.

    Args:
        limits: those that are said.
        origins: as `Attempt.limits_from`.
    """
    of = dict(origin.split("=") for origin in origins)
    return "\n".join(
        f"{name.partition('_')[0]} {shown(name, value)}{f' (of the {of[name]})' if name in of else ''}"
        for name, value in said(limits).items()
    )

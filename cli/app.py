"""The commands of `buildd-master`, put together; each concept has a room of its own beside this module.

A command's module is loaded only where the command is meant: all of them together take longer than most commands.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from buildd_master import __version__
from cli.given import TOKEN_VARIABLE, Given, Shown
from cli.options.every_command import UTC_VARIABLE
from cli.terminal.output import show_times_in

#: command → module and function, in the order of the help
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("cli.whole_farm.up", "up"),
    "doctor": ("cli.whole_farm.doctor", "doctor"),
    "status": ("cli.whole_farm.status", "status"),
    "submit": ("cli.builds.submit", "submit"),
    "queue": ("cli.jobs.queue", "queue"),
    "explain": ("cli.jobs.queue", "explain_job"),
    "events": ("cli.whole_farm.events", "events"),
    "check": ("cli.whole_farm.status", "check"),
    "simulate": ("cli.whole_farm.simulate", "simulate"),
    "console": ("console.command", "console"),
}
#: group of commands → module, which has them as `app`
GROUPS: Mapping[str, str] = {
    "build": "cli.builds.commands",
    "builder": "cli.builders.commands",
    "farm": "cli.whole_farm.dispatch",
    "chroot": "cli.chroots.commands",
    "series": "cli.archives.series",
    "archive": "cli.archives.commands",
    "person": "cli.people.persons",
    "team": "cli.people.teams",
    "token": "cli.people.tokens",
    "ca": "cli.builders.certificates",
    "db": "cli.whole_farm.database",
}


def meant(arguments: Iterable[str]) -> frozenset[str]:
    """Return the commands and groups that an argument may name; all of them if none does."""
    everything = frozenset(COMMANDS) | frozenset(GROUPS)
    return everything.intersection(arguments) or everything


def command_line(names: frozenset[str]) -> typer.Typer:
    """Return the command line with the commands and groups of these names."""
    app = typer.Typer(
        name="buildd-master",
        help="Run a package build farm: queue, builders, chroots, results.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain and dense; boxes eat half the lines
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done, 1 what was asked for failed, 2 bad usage, bad input or a missing role (nothing was changed), "
        "3 farm, database or a tool of this machine not reachable, 130 interrupted.",
    )
    app.callback(no_args_is_help=True)(_begin)
    for name, (module, function) in COMMANDS.items():
        if name in names:
            app.command(name)(getattr(importlib.import_module(module), function))
    for name, module in GROUPS.items():
        if name in names:
            app.add_typer(importlib.import_module(module).app, name=name)
    return app


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"buildd-master {__version__}")
        raise typer.Exit


def _persons(context: typer.Context, incomplete: str) -> list[str]:
    from cli.options import completing  # noqa: PLC0415 - for those who press Tab

    return completing.persons(context, incomplete)


def _begin(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings (TOML).", show_default=False)
    ] = None,
    state_directory: Annotated[
        Path | None,
        # Whom it is closed to is told by what needs it, with the way out.
        typer.Option(
            "--state-directory",
            metavar="DIR",
            help="Where the farm keeps its state.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    database_dsn: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="DSN",
            help="PostgreSQL of the farm; else embedded in the state directory.",
            show_default=False,
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="PERSON",
            help="Act with the roles of this person, and no others.",
            autocompletion=_persons,
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help=f"Act as the person whose token is in it (mode 600); else {TOKEN_VARIABLE}.",
            show_default=False,
        ),
    ] = None,
    utc: Annotated[
        bool,
        typer.Option("--utc", envvar=UTC_VARIABLE, help="Times in UTC, not local ones; also behind the command."),
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Remember which farm is meant, and who acts."""
    show_times_in(UTC if utc else None)
    context.obj = Given(config, state_directory, database_dsn, Shown.of(person, token_file))

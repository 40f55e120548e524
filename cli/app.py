"""The commands of `buildd-master`, put together; each concept has a module of its own beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from buildd_master import __version__
from cli import archives, builders, builds, chroots, database, series, status, submit, up
from cli.farm import Given, settings_of

app = typer.Typer(
    name="buildd-master",
    help="Run a package build farm: queue, builders, chroots, results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain and dense; boxes eat half the lines
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 what was asked for failed, 2 bad usage or input (nothing was changed), "
    "3 farm, database or a tool of this machine not reachable, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"buildd-master {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _begin(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings (TOML).", show_default=False)
    ] = None,
    state_directory: Annotated[
        Path | None,
        typer.Option("--state-directory", metavar="DIR", help="Where the farm keeps its state.", show_default=False),
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
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Remember which farm is meant."""
    context.obj = Given(config, state_directory, database_dsn)


app.command("up")(up.up)
app.command("status")(status.status)
app.command("submit")(submit.submit)
app.command("queue")(status.queue)
app.command("explain")(status.explain_job)
app.command("check")(status.check)
app.add_typer(builds.app, name="build")
app.add_typer(builders.app, name="builder")
app.add_typer(chroots.app, name="chroot")
app.add_typer(series.app, name="series")
app.add_typer(archives.app, name="archive")
app.add_typer(database.app, name="db")


@app.command("console")
def _console(
    context: typer.Context,
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="One command; else a prompt, or stdin.", show_default=False)
    ] = None,
) -> None:
    """Look at the actors of the running farm.

    For debugging: `actors`, `show NAME`, `send NAME Message(…)`; `help` tells more.
    """
    from actors.console import run_console  # noqa: PLC0415 - the actor system's modules slow down every other command

    raise typer.Exit(run_console(settings_of(context), command))

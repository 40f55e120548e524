"""`buildd-master db`: the farm's database itself."""

from __future__ import annotations

import typer

from cli.farm import dsn_of
from cli.given import operators_only, settings_of
from cli.terminal.output import AsJson, counted, print_json, say
from storage.database.migration import migrate

app = typer.Typer(help="The farm's database.", no_args_is_help=True)


@app.command("migrate")
def migrate_database(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the database up to this version; `up` does it by itself for the embedded one."""
    operators_only(context, "db migrate")
    applied = migrate(dsn_of(settings_of(context)))
    if as_json:
        print_json({"applied": applied})
    elif applied:
        say(f"applied {counted(len(applied), 'migration')}: {', '.join(applied)}")
    else:
        say("the database is up to date")

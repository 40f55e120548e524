"""`buildd-master chroot`: the base systems that builds run in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.chroots.registering import PocketOption, document, register
from cli.chroots.tarball import check_tarball
from cli.chroots.verbs import make_chroot, update_chroots
from cli.errors import BadInput
from cli.farm import open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say, since, size
from cli.terminal.tables import Rows
from storage.chroots import Chroots
from storage.records import Pocket
from storage.series import Series

app = typer.Typer(help="The base systems that builds run in.", no_args_is_help=True)


@app.command("list")
def list_chroots(context: typer.Context, as_json: AsJson = False) -> None:
    """List the registered chroots."""
    with open_farm(context) as farm:
        chroots = Chroots(farm.connection).all()
    if as_json:
        print_json({"chroots": [document(one) for one in chroots]})
        return
    rows = Rows("SERIES", "POCKET", "SIZE", "AGE", "STATE", "FILE", "SHA256", right=("SIZE",), less=("SHA256", "FILE"))
    for one in chroots:
        rows.add(
            one.distroarchseries,
            one.pocket.value,
            size(one.size),
            since(one.created),
            f"HELD BACK: {one.held_back}" if one.held_back else "used",
            one.filename,
            one.sha256[:12],
        )
    rows.show("no chroots: make one with `buildd-master chroot make`")


app.command("make")(make_chroot)  # here, for the order is that of the help
app.command("update")(update_chroots)


@app.command("add")
def add_chroot(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="DISTRIBUTION/SERIES/ARCH",
            help="As debian/bookworm/amd64.",
            autocompletion=completing.distroarchseries,
            show_default=False,
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tarball of a base system.", show_default=False)],
    pocket: PocketOption = Pocket.RELEASE,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Register a tarball as a chroot.

    The farm must have the series; a chroot that it has is replaced.
    """
    parts = name.split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004
        raise BadInput(
            f"{name!r} names no architecture of a series: write DISTRIBUTION/SERIES/ARCH, as debian/bookworm/amd64"
        )
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_ARCHIVES)
        Series(farm.connection).named(name)
        check_tarball(file)
        register(farm, (parts[0], parts[1], parts[2]), file, pocket, as_json=as_json, why=why)


@app.command("use")
def use_chroot(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="DISTRIBUTION/SERIES/ARCH",
            help="As debian/bookworm/amd64.",
            autocompletion=completing.distroarchseries,
            show_default=False,
        ),
    ],
    pocket: PocketOption = Pocket.RELEASE,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Build in a chroot again that was held back because it failed on two builders."""
    with open_farm(context) as farm, farm.acting(why or f"chroot use {name} {pocket}", Action.CHANGE_ARCHIVES):
        chroots = Chroots(farm.connection)
        place = Series(farm.connection).named(name)
        there = {(one.distroarchseries, one.pocket): one for one in chroots.all()}
        before = there.get((name, pocket))
        if before is None:
            raise BadInput(f"{name} has no chroot of its own for {pocket}: `buildd-master chroot list` shows all")
        chroot = chroots.use(place.id, pocket)
    if as_json:
        print_json(document(chroot))
    else:
        was = f"held back before: {before.held_back}" if before.held_back else "it was not held back"
        say(f"chroot {name} {pocket} is used ({was})")


@app.command("remove")
def remove_chroot(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="DISTRIBUTION/SERIES/ARCH",
            help="As debian/bookworm/amd64.",
            autocompletion=completing.distroarchseries,
            show_default=False,
        ),
    ],
    pocket: PocketOption = Pocket.RELEASE,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Forget a chroot: builds for its series and pocket wait until there is another.

    A pocket without a chroot of its own uses RELEASE's.  One that running builds use is not removed.
    """
    with open_farm(context) as farm, farm.acting(why or f"chroot remove {name} {pocket}", Action.CHANGE_ARCHIVES):
        chroots = Chroots(farm.connection)
        place = Series(farm.connection).named(name)
        if (name, pocket) not in {(one.distroarchseries, one.pocket) for one in chroots.all()}:
            raise BadInput(f"{name} has no chroot of its own for {pocket}: `buildd-master chroot list` shows all")
        removed = chroots.remove(place.id, pocket)
    if as_json:
        print_json({"removed": document(removed)})
    else:
        say(f"removed chroot {name} {pocket}: {removed.filename}, {size(removed.size)}")

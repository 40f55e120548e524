"""`buildd-master chroot`: the base systems that builds run in."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from cli import host_apt
from cli.chroot_tarball import Recipe, made
from cli.errors import BadInput, NotReachable
from cli.farm import Farm, open_farm
from cli.output import AsJson, print_json, say, since, size, when
from cli.progress import steps, transferring
from cli.series import ensure
from cli.tables import Rows
from cli.tarball import check_tarball
from storage.archives import Archives
from storage.library import Library
from storage.records import Chroot, Pocket

app = typer.Typer(help="The base systems that builds run in.", no_args_is_help=True)

#: beside the variant's packages: `dpkg-buildpackage` wants it for every source that does not say it needs no root
_ALWAYS = ("fakeroot",)

PocketOption = Annotated[Pocket, typer.Option(case_sensitive=False, help="The pocket that it is for.")]


@app.command("list")
def list_chroots(context: typer.Context, as_json: AsJson = False) -> None:
    """List the registered chroots."""
    with open_farm(context) as farm:
        chroots = Archives(farm.connection).chroots()
    if as_json:
        print_json({"chroots": [_document(one) for one in chroots]})
        return
    rows = Rows("SERIES", "POCKET", "SIZE", "AGE", "FILE", "SHA256", right=("SIZE",), less=("SHA256", "FILE"))
    for one in chroots:
        rows.add(
            one.distroarchseries, one.pocket.value, size(one.size), since(one.created), one.filename, one.sha256[:12]
        )
    rows.show("no chroots: make one with `buildd-master chroot make`")


@app.command("make")
def make_chroot(
    context: typer.Context,
    suite: Annotated[
        str | None,
        typer.Argument(help="Series of this machine's distribution; else the one it runs.", show_default=False),
    ] = None,
    arch: Annotated[
        str | None, typer.Option(metavar="ARCH", help="Architecture tag; else this machine's.", show_default=False)
    ] = None,
    variant: Annotated[str, typer.Option(help="Set of packages, as mmdebstrap names them.")] = "buildd",
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGES", help="More packages, separated by commas; may be repeated.", show_default=False
        ),
    ] = None,
    pocket: PocketOption = Pocket.RELEASE,
    as_json: AsJson = False,
) -> None:
    """Make a chroot from this machine's own mirrors.

    It is registered, and so is its series, if that is new.
    """
    suite = suite or host_apt.codename()
    if not suite:
        raise BadInput("this machine does not say which series it runs: name one")
    words = [word for text in include or [] for word in text.replace(",", " ").split()]
    recipe = Recipe(suite, arch or host_apt.architecture(), variant, tuple(dict.fromkeys([*_ALWAYS, *words])))
    recipe.check()
    with open_farm(context) as farm:
        Archives(farm.connection).family_of(recipe.architecture)
        series = (host_apt.distribution(), suite, recipe.architecture)
        with ExitStack() as stack:
            with steps(f"chroot {suite}/{recipe.architecture}") as step:
                tarball = stack.enter_context(made(recipe, farm.settings.state_directory / "apt", step))
            _register(farm, series, tarball, pocket, as_json=as_json)


@app.command("add")
def add_chroot(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="DISTRIBUTION/SERIES/ARCH", help="As debian/bookworm/amd64.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(help="Tarball of a base system.", show_default=False)],
    pocket: PocketOption = Pocket.RELEASE,
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
        Archives(farm.connection).distroarchseries(name)
        check_tarball(file)
        _register(farm, (parts[0], parts[1], parts[2]), file, pocket, as_json=as_json)


def _register(farm: Farm, series: tuple[str, str, str], tarball: Path, pocket: Pocket, *, as_json: bool) -> None:
    """Put a tarball into the librarian, then its rows into the database, in one transaction."""
    name = "/".join(series)
    try:
        with transferring(f"storing {tarball.name}", tarball.stat().st_size) as progress:
            stored = farm.librarian.add_file(tarball, progress=progress)
    except OSError as error:
        raise NotReachable(f"can't read {tarball}: {error.strerror}") from error
    with farm.acting(f"chroot of {name} {pocket}"):
        place, new = ensure(farm, *series)
        alias = Library(farm.connection).add(stored, tarball.name)
        chroot = Archives(farm.connection).set_chroot(place.id, pocket, alias.id)
    if as_json:
        print_json({**_document(chroot), "registered": new})
        return
    for line in new:
        say(line)
    say(f"registered chroot {name} {pocket}: {tarball.name}, {size(stored.size)}, {when(chroot.created)}")


def _document(one: Chroot) -> dict[str, object]:
    return {
        "distroarchseries": one.distroarchseries,
        "pocket": one.pocket,
        "filename": one.filename,
        "sha256": one.sha256,
        "size": one.size,
        "created": one.created,
    }

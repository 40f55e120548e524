"""`buildd-master series`: the distributions, their series, and the architectures of these."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.errors import BadInput
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.names import split_series
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say
from cli.terminal.tables import Rows
from storage.archives import Archives
from storage.chroots import Chroots
from storage.errors import UnknownArchive
from storage.records import ArchivePurpose, DistroArchSeries, SeriesStatus
from storage.series import Series

app = typer.Typer(help="Distributions, their series and architectures.", no_args_is_help=True)

PRIMARY = "primary"  #: name of a distribution's own archive

Name = Annotated[
    str,
    typer.Argument(
        metavar="DISTRIBUTION/SERIES",
        help="As debian/bookworm.",
        autocompletion=completing.series,
        show_default=False,
    ),
]
Status = Annotated[
    SeriesStatus | None,
    typer.Option(
        case_sensitive=False, help="Where it is in its life: which pockets are open to uploads.", show_default=False
    ),
]
AptSources = Annotated[
    list[str] | None,
    typer.Option(
        "--apt-source",
        metavar="LINE",
        help="For launchpad-buildd slaves: a line of their sources.list, instead of those before; may be repeated.",
        show_default=False,
    ),
]
Ppas = Annotated[
    bool | None, typer.Option("--ppas/--no-ppas", help="Whether sources in PPAs are built for it.", show_default=False)
]


def ensure(farm: Farm, distribution: str, series: str, architecture: str) -> tuple[DistroArchSeries, list[str]]:
    """Register what is missing of a series, and its distribution's primary archive; within the caller's transaction.

    Returns:
        The architecture of the series, and one line for each thing that was made.
    """
    every, made = Series(farm.connection), []
    mine = [one for one in every.all() if (one.distribution, one.series) == (distribution, series)]
    if architecture not in {one.architecture for one in mine}:
        nominated = next((one.architecture for one in mine if one.nominated_archindep), architecture)
        family = every.family_of(architecture)
        every.add(distribution, series, {architecture: family}, nominated_archindep=nominated)
        made.append(f"registered the series {distribution}/{series}/{architecture} (processor family {family})")
    made += ensure_primary(farm, distribution)
    return every.named(f"{distribution}/{series}/{architecture}"), made


def ensure_primary(farm: Farm, distribution: str) -> list[str]:
    """Register the distribution's primary archive unless it is there; return a line if it was made."""
    try:
        Archives(farm.connection).get(distribution, PRIMARY)
    except UnknownArchive:
        Archives(farm.connection).add(PRIMARY, distribution, ArchivePurpose.PRIMARY)
        return [f"registered the archive {distribution}/{PRIMARY}"]
    return []


@app.command("list")
def list_series(context: typer.Context, as_json: AsJson = False) -> None:
    """List the series, their status and architectures, and which of these have chroots."""
    with open_farm(context) as farm:
        series = Series(farm.connection).all()
        pockets = _pockets(farm)
    if as_json:
        print_json({"series": [_document(one, pockets[str(one)]) for one in series]})
        return
    rows = Rows("SERIES", "STATUS", "FAMILY", "ARCH-INDEP", "PPAS", "CHROOTS", less=("FAMILY", "PPAS"))
    for one in series:
        rows.add(
            str(one),
            one.status.value,
            one.family,
            "yes" if one.nominated_archindep else "",
            "yes" if one.ppas else "no",
            " ".join(pockets[str(one)]) or "none",
        )
    rows.show("no series: `buildd-master chroot make` registers this machine's, `buildd-master series add` any other")


@app.command("add")
def add_series(
    context: typer.Context,
    name: Name,
    arch: Annotated[list[str], typer.Option("--arch", metavar="ARCH", help="Architecture tag; may be repeated.")],
    archindep: Annotated[
        str | None,
        typer.Option(
            metavar="ARCH", help="The architecture that builds arch-indep packages; else the first.", show_default=False
        ),
    ] = None,
    status: Status = None,
    ppas: Ppas = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Register a series, or add architectures to one.

    A new series is in DEVELOPMENT, and its architectures build sources in PPAs, unless told otherwise.
    """
    distribution, series = split_series(name)
    with open_farm(context) as farm, farm.acting(why or f"series add {name}", Action.CHANGE_ARCHIVES):
        every = Series(farm.connection)
        families = {tag: every.family_of(tag) for tag in arch}
        there = (one for one in every.all() if (one.distribution, one.series) == (distribution, series))
        nominated = archindep or next((one.architecture for one in there if one.nominated_archindep), arch[0])
        every.add(distribution, series, families, nominated_archindep=nominated)
        added = every.change(distribution, series, status=status, ppas=ppas, architectures=arch)
        made = ensure_primary(farm, distribution)
        pockets = _pockets(farm)
    if as_json:
        print_json({"series": [_document(one, pockets[str(one)]) for one in added]})
        return
    say(f"registered {name}: {', '.join(one.architecture for one in added)}")
    for line in made:
        say(line)


@app.command("set")
def set_series(
    context: typer.Context,
    name: Name,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARCH",
            help="The architecture whose --ppas is meant, else all; may be repeated.",
            show_default=False,
        ),
    ] = None,
    status: Status = None,
    ppas: Ppas = None,
    apt_source: AptSources = None,
    no_apt_sources: Annotated[
        bool, typer.Option("--no-apt-sources", help="Those slaves use what the chroot has.")
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change the status of a series, which of its architectures build sources in PPAs, or its apt sources."""
    distribution, series = split_series(name)
    if apt_source and no_apt_sources:
        raise BadInput("--apt-source and --no-apt-sources exclude each other")
    lines = () if no_apt_sources else apt_source
    if status is None and ppas is None and lines is None:
        raise BadInput("nothing to change: see `buildd-master series set --help`; `series list` shows what is set")
    if arch and ppas is None:
        raise BadInput("the status is the whole series': --arch goes with --ppas or --no-ppas")
    with open_farm(context) as farm, farm.acting(why or f"series set {name}", Action.CHANGE_ARCHIVES):
        changed = Series(farm.connection).change(
            distribution, series, status=status, ppas=ppas, architectures=arch or (), apt_sources=lines
        )
        pockets = _pockets(farm)
    if as_json:
        print_json({"series": [_document(one, pockets[str(one)]) for one in changed]})
        return
    done = [] if status is None else [status.value]
    if ppas is not None:
        tags = " ".join(one.architecture for one in changed if not arch or one.architecture in arch)
        done.append(f"{tags} {'build' if ppas else 'build no'} sources in PPAs")
    if lines is not None:
        done.append(f"{len(lines)} apt sources" if lines else "no apt sources of its own")
    say(f"changed {name}: {'; '.join(done)}")


@app.command("remove")
def remove_series(context: typer.Context, name: Name, why: Why = None, as_json: AsJson = False) -> None:
    """Forget a series that has no builds, sources, packages and chroots, as one that was misspelt.

    One that had some is closed by `series set --status obsolete`: its history stays.
    """
    distribution, series = split_series(name)
    with open_farm(context) as farm, farm.acting(why or f"series remove {name}", Action.CHANGE_ARCHIVES):
        removed = Series(farm.connection).remove(distribution, series)
    if as_json:
        print_json({"removed": [_document(one, []) for one in removed]})
    else:
        say(f"removed series {name}: {', '.join(one.architecture for one in removed)}")


def _pockets(farm: Farm) -> defaultdict[str, list[str]]:
    """Return for which pockets there are chroots, by architecture of a series."""
    pockets: defaultdict[str, list[str]] = defaultdict(list)
    for chroot in Chroots(farm.connection).all():
        pockets[chroot.distroarchseries].append(chroot.pocket.value)
    return pockets


def _document(one: DistroArchSeries, pockets: list[str]) -> dict[str, object]:
    return {
        "name": str(one),
        "distribution": one.distribution,
        "series": one.series,
        "architecture": one.architecture,
        "family": one.family,
        "nominated_archindep": one.nominated_archindep,
        "status": one.status,
        "ppas": one.ppas,
        "apt_sources": one.apt_sources,
        "chroots": pockets,
    }

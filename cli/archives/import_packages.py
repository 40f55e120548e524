"""`buildd-master archive import-packages`: what is published outside the farm, for builds that wait for it.

Registered by `cli.archives.commands`; the index is read by `cli.packages.index`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actors.core.people.roles import Action
from cli.errors import BadInput
from cli.farm import open_farm
from cli.options import completing
from cli.options.names import split_archive
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say, warn

if TYPE_CHECKING:
    from cli.packages.index import Index


def import_packages(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="DISTRIBUTION/ARCHIVE",
            help="As debian/primary.",
            autocompletion=completing.archives,
            show_default=False,
        ),
    ],
    index: Annotated[
        Path,
        typer.Argument(
            metavar="PACKAGES",
            help="An archive's `Packages`, also as .gz, .xz, .zst or .bz2; - is stdin.",
            show_default=False,
        ),
    ],
    series: Annotated[
        str,
        typer.Option(
            "--series",
            metavar="SERIES",
            help="As bookworm.",
            autocompletion=completing.series_alone,
            show_default=False,
        ),
    ],
    architecture: Annotated[
        str | None,
        typer.Option(
            "--arch", metavar="ARCH", help="That the index is for; else what its packages say.", show_default=False
        ),
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Say what binary packages an archive has that come from outside the farm.

    Replaces the former import for the same archive, series and architecture.  Builds in MANUALDEPWAIT that waited for
    something in it are queued again within seconds.
    """
    from cli.packages.index import choose_architecture, some  # noqa: PLC0415 - parsers, for nobody else
    from storage.archives import Archives  # noqa: PLC0415
    from storage.binary_packages import BinaryPackages  # noqa: PLC0415

    distribution, archive_name = split_archive(name)
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_ARCHIVES)
        archive = Archives(farm.connection).get(distribution, archive_name)
        found = _read(index)
        arch, packages = choose_architecture(found, architecture, index.name)
        with farm.acting(
            why or f"archive import-packages {name} --series {series} --arch {arch}", Action.CHANGE_ARCHIVES
        ):
            done = BinaryPackages(farm.connection).import_index(archive, series, arch, packages)
    if found.left_out:
        warn(f"{len(found.left_out)} stanzas of {index.name} are no packages and left out: {some(found.left_out)}")
    if as_json:
        document = {"archive": name, "series": series, "architecture": arch, "left_out": found.left_out}
        print_json({**document, "added": done.added, "removed": done.removed, "kept": done.kept})
        return
    say(
        f"{name} {series} {arch}: {done.added + done.kept} packages from outside;"
        f" {done.added} are new, {done.removed} are gone"
    )


def _read(index: Path) -> Index:
    from cli.packages.index import read_index  # noqa: PLC0415

    if str(index) == "-":
        return read_index(sys.stdin.buffer, "stdin")
    try:
        with index.open("rb") as file:
            return read_index(file, index.name)
    except OSError as error:
        raise BadInput(f"{index} can't be read: {error.strerror}") from error

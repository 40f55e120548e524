"""How archives and series are named on a command line; which are meant, `cli.options.finding` asks the database."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.errors import BadInput
from cli.options import completing

ArchiveName = Annotated[
    str,
    typer.Argument(
        metavar="DISTRIBUTION/ARCHIVE",
        help="As debian/primary; a PPA as ubuntu/cprov/ppa.",
        autocompletion=completing.archives,
        show_default=False,
    ),
]


def split_archive(text: str) -> tuple[str, str]:
    """Return distribution and archive of `ubuntu/cprov/ppa`.

    Raises:
        BadInput: it is not of that form.
    """
    distribution, slash, archive = text.partition("/")
    if not slash or not distribution or not archive:
        raise BadInput(f"{text!r} names no archive: write DISTRIBUTION/ARCHIVE, as debian/primary or ubuntu/cprov/ppa")
    return distribution, archive


def split_series(text: str) -> tuple[str, str]:
    """Return distribution and series of `debian/bookworm`.

    Raises:
        BadInput: it is not of that form.
    """
    distribution, slash, series = text.partition("/")
    if not slash or not distribution or not series or "/" in series:
        raise BadInput(f"{text!r} names no series: write DISTRIBUTION/SERIES, as debian/bookworm")
    return distribution, series

"""`buildd-master submit`: a source package goes into the farm.

Everything is verified before anything is stored; then all files go into the librarian; then one transaction makes
source, publication, builds and jobs.  The running farm is told by the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli import host_apt
from cli.builds import copy_files, document, end_words, failure, print_files, wait_with_words
from cli.errors import BadInput
from cli.farm import Farm, open_farm
from cli.output import AsJson, console, note, print_json, say
from cli.private_apt import PrivateApt
from cli.progress import percent, transferring
from cli.series import PRIMARY
from cli.source_package import SourcePackage, read
from cli.targets import Target, choose_series, wanted_builds, with_chroot
from storage.archives import Archives
from storage.builds import Builds
from storage.librarian import ContentMismatch
from storage.library import Library
from storage.records import Archive, Build, BuildState, DistroArchSeries, NamedFile, NewSource, Pocket, Urgency


def submit(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE-OR-FILE.dsc",
            help="A package of this machine's distribution, by name; or a .dsc with its files beside it.",
            show_default=False,
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Show the log, wait for the end; exit code 1 if it fails.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy the results there (waits).", file_okay=False, show_default=False),
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="SERIES", help="As bookworm; else the only one with a chroot.", show_default=False)
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(metavar="ARCH", help="Only this architecture; may be repeated.", show_default=False),
    ] = None,
    archive: Annotated[str, typer.Option(metavar="ARCHIVE", help="Archive of the distribution.")] = PRIMARY,
    pocket: Annotated[Pocket, typer.Option(case_sensitive=False, help="Pocket of the series.")] = Pocket.RELEASE,
    component: Annotated[
        str | None, typer.Option(metavar="COMPONENT", help="Else as its section says, or main.", show_default=False)
    ] = None,
    urgency: Annotated[Urgency, typer.Option(case_sensitive=False, help="Urgency of the upload.")] = Urgency.MEDIUM,
    again: Annotated[bool, typer.Option("--again", help="Build it once more, though it was built already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a source package: `submit hello`, or `submit ./hello_2.10-3.dsc`."""
    wait = wait or output is not None
    with open_farm(context) as farm:
        place = _place(farm, series, archive, pocket)
        with _source(farm, what, place.series) as dsc:
            package = _read(dsc)
            targets = wanted_builds(package.name, package.architectures, place.ready, arch or [])
            source = NewSource(
                name=package.name,
                version=package.version,
                component=component or _component(package),
                urgency=urgency,
                architectures=package.architectures,
                files=_store(farm, package),
            )
        builds = _queue(farm, source, place, targets, again=again)
        _say_queued(builds, quiet=as_json)
        ended = wait_with_words(farm, [one.id for one in builds], log=True, quiet=as_json) if wait else builds
        files = {one.id: Builds(farm.connection).files(one.id) for one in ended}
        paths = {one.id: copy_files(farm, files[one.id], output) for one in ended if output is not None}
    if as_json:
        names = {build: [{"filename": f.filename, "sha256": f.sha256, "size": f.size} for f in found] for build, found in files.items()}
        shown = [{**document(one), "files": [{**f, "path": paths.get(one.id, {}).get(str(f["filename"]))} for f in names[one.id]]} for one in ended]
        print_json({"source": package.name, "version": package.version, "builds": shown})
    elif wait:
        for one in ended:
            console().print(end_words(one), soft_wrap=True)
            if files[one.id]:
                print_files(files[one.id], output)
    error = failure(ended) if wait else None
    if error is not None:
        raise error

"""`buildd-master archive publications` and `unpublish`: the sources that are published in an archive, and out of it again.

How they get there is in `cli.builds.submit`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.archives.submitted import places, publication_document, waiting
from cli.farm import open_farm
from cli.options import completing
from cli.options.finding import find_archive
from cli.options.names import ArchiveName, split_archive
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, print_json, say, when
from cli.terminal.tables import Rows
from publishing.stores import stores_on
from publishing.withdrawal import unpublish
from storage.publications import Publications
from storage.records import Pocket, PublishingStatus

app = typer.Typer()


@app.command("publications")
def list_publications(
    context: typer.Context,
    name: ArchiveName,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only sources of this name.", show_default=False)
    ] = None,
    history: Annotated[
        bool, typer.Option("--all", help="Those too that were superseded or deleted, and count no more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the sources that are published in an archive."""
    with open_farm(context) as farm:
        archive = find_archive(farm, *split_archive(name))
        farm.require(Action.READ_FILES, archive)
        publications = Publications(farm.connection).all(archive.id, source, live=not history)
    if as_json:
        print_json({"archive": name, "publications": [publication_document(one) for one in publications]})
        return
    rows = Rows("SOURCE", "VERSION", "SERIES", "POCKET", "COMPONENT", "STATUS", "SINCE", less=("SINCE", "COMPONENT"))
    for one in publications:
        rows.add(
            one.source, one.version, one.series, one.pocket.value, one.component, one.status.value, when(one.created)
        )
    if source is not None:
        rows.show(
            f"no source {source!r} in {name}: `buildd-master archive publications {name} --all` lists what there is and was"
        )
    else:
        rows.show(f"nothing is published in {name}: `buildd-master submit PACKAGE --archive {name}` does that")


@app.command("unpublish")
def unpublish_source(
    context: typer.Context,
    name: ArchiveName,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source package.", show_default=False)],
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Only this version.", show_default=False)
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERIES",
            help="Only in this series, as bookworm; may be repeated.",
            autocompletion=completing.series_alone,
            show_default=False,
        ),
    ] = None,
    pocket: Annotated[
        Pocket | None, typer.Option(case_sensitive=False, help="Only in this pocket.", show_default=False)
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Take a source out of an archive again: what waits to be built of it is not built.

    What was built stays, and an older version that it had superseded stays so; submit that one again.
    """
    distribution, archive_name = split_archive(name)
    where = {one.removeprefix(f"{distribution}/") for one in series or ()}
    with open_farm(context) as farm:
        archive = find_archive(farm, distribution, archive_name)
        with farm.acting(why or f"archive unpublish {name} {source}", Action.CHANGE_BUILDS, archive):
            done = unpublish(stores_on(farm.connection), archive, source, version=version, series=where, pocket=pocket)
    if as_json:
        shown = [publication_document(replace(one, status=PublishingStatus.DELETED)) for one in done.publications]
        print_json({"archive": name, "unpublished": shown, "superseded_builds": done.waiting})
    else:
        say(f"unpublished {places(done.publications)}; {waiting(done.waiting)}")

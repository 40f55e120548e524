"""`buildd-master archive`: where sources come from and results go."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.core.people.private import seen_archives
from actors.core.people.roles import Action
from cli.archives import publications
from cli.archives.import_packages import import_packages
from cli.errors import BadInput
from cli.farm import open_farm
from cli.options.finding import find_archive
from cli.options.limits import Disk, FileSize, LogSize, Memory, Processes, Silent, Wall, changes, words
from cli.options.names import ArchiveName, split_archive
from cli.options.saying_why import Why
from cli.options.tags import AskedTags, NoTags, chosen
from cli.terminal.output import AsJson, plain, print_json, say
from cli.terminal.stories import LAST, print_story
from cli.terminal.tables import Facts, Rows
from storage.archives import Archives
from storage.events.log import Events
from storage.limits import said
from storage.publications import Publications
from storage.records import Archive, ArchivePurpose

app = typer.Typer(help="Where sources come from and results go.", no_args_is_help=True)
app.command("import-packages")(import_packages)
app.add_typer(publications.app)

Private = Annotated[
    bool | None, typer.Option("--private/--public", help="Private archives are built first.", show_default=False)
]
Score = Annotated[
    int | None, typer.Option("--score", metavar="N", help="Added to the score of its builds.", show_default=False)
]


@app.command("list")
def list_archives(context: typer.Context, as_json: AsJson = False) -> None:
    """List the archives."""
    with open_farm(context) as farm:
        archives = seen_archives(farm.caller, Archives(farm.connection).all())
    if as_json:
        print_json({"archives": [_document(one) for one in archives]})
        return
    rows = Rows(
        "ARCHIVE",
        "PURPOSE",
        "TRUST",
        "OWNER",
        "SCORE",
        "STATE",
        "TAGS",
        "LIMITS",
        right=("SCORE",),
        less=("LIMITS", "TAGS"),
    )
    for one in archives:
        rows.add(
            f"{one.distribution}/{one.name}",
            one.purpose.value,
            _trust(one),
            one.owner or "",
            f"{one.relative_score:+d}",
            " ".join(filter(None, ("enabled" if one.enabled else "DISABLED", "private" if one.private else ""))),
            " ".join(one.tags),
            words(one.limits).replace("\n", ", "),
        )
    rows.show("no archives: `buildd-master chroot make` registers the distribution's own, `archive add` any other")


@app.command("show")
def show_archive(context: typer.Context, name: ArchiveName, as_json: AsJson = False) -> None:
    """Show all that is known of an archive, and what happened to it last."""
    with open_farm(context) as farm:
        one = find_archive(farm, *split_archive(name))
        farm.require(Action.READ_FILES, one)
        published = len(Publications(farm.connection).all(one.id, None, live=True))
        story = Events(farm.connection).story(f"archive:{one.id}")[-LAST:]
    if as_json:
        print_json({**_document(one), "published": published, "events": plain(story)})
        return
    facts = Facts()
    facts.add("archive", f"{one.distribution}/{one.name}")
    facts.add("purpose", f"{one.purpose}: its builds are {_trust(one)}")
    facts.add("state", "enabled" if one.enabled else "DISABLED: nothing of it is dispatched")
    facts.add("private", "yes" if one.private else "no")
    if one.owner:
        facts.add("owner", one.owner)
    facts.add("score", f"{one.relative_score:+d}")
    facts.add("tags", " ".join(one.tags) or "none")
    facts.add("limits", words(one.limits).replace("\n", ", ") or "those of the settings")
    facts.add("publications", f"{published}: `buildd-master archive publications {name}` lists them")
    facts.show()
    print_story(story)


@app.command("add")
def add_archive(
    context: typer.Context,
    name: ArchiveName,
    purpose: Annotated[
        ArchivePurpose, typer.Option(case_sensitive=False, help="A PPA's builds are untrusted, all others' trusted.")
    ] = ArchivePurpose.PPA,
    private: Private = None,
    score: Score = None,
    tag: AskedTags = None,
    wall: Wall = None,
    silent: Silent = None,
    memory: Memory = None,
    processes: Processes = None,
    file_size: FileSize = None,
    log_size: LogSize = None,
    disk: Disk = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Register an archive.

    The owner of a PPA is the first part of its name.
    """
    distribution, archive = split_archive(name)
    owner = archive.partition("/")[0] if purpose is ArchivePurpose.PPA else None
    if purpose is ArchivePurpose.PPA and "/" not in archive:
        raise BadInput(f"a PPA is named by its owner: write {distribution}/OWNER/{archive}, or another --purpose")
    tags = chosen(tag, no_tags=False)
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    with open_farm(context) as farm, farm.acting(why or f"archive add {name}", Action.CHANGE_ARCHIVES):
        added = Archives(farm.connection).add(
            archive,
            distribution,
            purpose,
            owner=owner,
            private=bool(private),
            relative_score=score or 0,
            limits=limits,
            tags=tags or (),
        )
    if as_json:
        print_json(_document(added))
    else:
        say(f"registered archive {added.distribution}/{added.name}: {added.purpose}, its builds are {_trust(added)}")


@app.command("set")
def set_archive(
    context: typer.Context,
    name: ArchiveName,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Nothing of a disabled archive is dispatched.", show_default=False),
    ] = None,
    private: Private = None,
    score: Score = None,
    tag: AskedTags = None,
    no_tags: NoTags = False,
    wall: Wall = None,
    silent: Silent = None,
    memory: Memory = None,
    processes: Processes = None,
    file_size: FileSize = None,
    log_size: LogSize = None,
    disk: Disk = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change an archive; its purpose, and so its trust, never changes."""
    distribution, archive = split_archive(name)
    tags = chosen(tag, no_tags)
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    if enabled is None and private is None and score is None and tags is None and not limits:
        raise BadInput("nothing to change: see `buildd-master archive set --help`")
    with open_farm(context) as farm, farm.acting(why or f"archive set {name}", Action.CHANGE_ARCHIVES):
        changed = Archives(farm.connection).change(
            distribution, archive, enabled=enabled, private=private, relative_score=score, limits=limits, tags=tags
        )
    if as_json:
        print_json(_document(changed))
    else:
        say(f"changed archive {changed.distribution}/{changed.name}")


def _trust(one: Archive) -> str:
    return "untrusted" if one.purpose is ArchivePurpose.PPA else "trusted"


def _document(one: Archive) -> dict[str, object]:
    return {
        "name": one.name,
        "distribution": one.distribution,
        "purpose": one.purpose,
        "trusted": one.purpose is not ArchivePurpose.PPA,
        "owner": one.owner,
        "private": one.private,
        "enabled": one.enabled,
        "relative_score": one.relative_score,
        "tags": one.tags,
        "limits": said(one.limits),
    }

"""`buildd-master archive`: where sources come from and results go."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.core.private import seen_archives
from actors.core.roles import Action
from cli.errors import BadInput
from cli.farm import open_farm
from cli.import_packages import import_packages
from cli.limits import Disk, FileSize, LogSize, Memory, Processes, Silent, Wall, changes, words
from cli.output import AsJson, print_json, say
from cli.tables import Rows
from storage.archives import Archives
from storage.limits import said
from storage.records import Archive, ArchivePurpose

app = typer.Typer(help="Where sources come from and results go.", no_args_is_help=True)
app.command("import-packages")(import_packages)

Name = Annotated[
    str,
    typer.Argument(
        metavar="DISTRIBUTION/ARCHIVE", help="As debian/primary; a PPA as ubuntu/cprov/ppa.", show_default=False
    ),
]
Private = Annotated[
    bool | None, typer.Option("--private/--public", help="Private archives are built first.", show_default=False)
]
Score = Annotated[
    int | None, typer.Option("--score", metavar="N", help="Added to the score of its builds.", show_default=False)
]


def split(text: str) -> tuple[str, str]:
    """Return distribution and archive of `ubuntu/cprov/ppa`.

    Raises:
        BadInput: it is not of that form.
    """
    distribution, slash, archive = text.partition("/")
    if not slash or not distribution or not archive:
        raise BadInput(f"{text!r} names no archive: write DISTRIBUTION/ARCHIVE, as debian/primary or ubuntu/cprov/ppa")
    return distribution, archive


@app.command("list")
def list_archives(context: typer.Context, as_json: AsJson = False) -> None:
    """List the archives."""
    with open_farm(context) as farm:
        archives = seen_archives(farm.caller, Archives(farm.connection).archives())
    if as_json:
        print_json({"archives": [_document(one) for one in archives]})
        return
    rows = Rows("ARCHIVE", "PURPOSE", "TRUST", "OWNER", "SCORE", "STATE", "LIMITS", right=("SCORE",), less=("LIMITS",))
    for one in archives:
        rows.add(
            f"{one.distribution}/{one.name}",
            one.purpose.value,
            "untrusted" if one.purpose is ArchivePurpose.PPA else "trusted",
            one.owner or "",
            f"{one.relative_score:+d}",
            " ".join(filter(None, ("enabled" if one.enabled else "DISABLED", "private" if one.private else ""))),
            words(one.limits).replace("\n", ", "),
        )
    rows.show("no archives: `buildd-master chroot make` registers the distribution's own, `archive add` any other")


@app.command("add")
def add_archive(
    context: typer.Context,
    name: Name,
    purpose: Annotated[
        ArchivePurpose, typer.Option(case_sensitive=False, help="A PPA's builds are untrusted, all others' trusted.")
    ] = ArchivePurpose.PPA,
    private: Private = None,
    score: Score = None,
    wall: Wall = None,
    silent: Silent = None,
    memory: Memory = None,
    processes: Processes = None,
    file_size: FileSize = None,
    log_size: LogSize = None,
    disk: Disk = None,
    as_json: AsJson = False,
) -> None:
    """Register an archive.

    The owner of a PPA is the first part of its name.
    """
    distribution, archive = split(name)
    owner = archive.partition("/")[0] if purpose is ArchivePurpose.PPA else None
    if purpose is ArchivePurpose.PPA and "/" not in archive:
        raise BadInput(f"a PPA is named by its owner: write {distribution}/OWNER/{archive}, or another --purpose")
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    with open_farm(context) as farm, farm.acting(f"archive add {name}", Action.CHANGE_ARCHIVES):
        added = Archives(farm.connection).add_archive(
            archive,
            distribution,
            purpose,
            owner=owner,
            private=bool(private),
            relative_score=score or 0,
            limits=limits,
        )
    if as_json:
        print_json(_document(added))
    else:
        trust = "untrusted" if added.purpose is ArchivePurpose.PPA else "trusted"
        say(f"registered archive {added.distribution}/{added.name}: {added.purpose}, its builds are {trust}")


@app.command("set")
def set_archive(
    context: typer.Context,
    name: Name,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Nothing of a disabled archive is dispatched.", show_default=False),
    ] = None,
    private: Private = None,
    score: Score = None,
    wall: Wall = None,
    silent: Silent = None,
    memory: Memory = None,
    processes: Processes = None,
    file_size: FileSize = None,
    log_size: LogSize = None,
    disk: Disk = None,
    as_json: AsJson = False,
) -> None:
    """Change an archive; its purpose, and so its trust, never changes."""
    distribution, archive = split(name)
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    if enabled is None and private is None and score is None and not limits:
        raise BadInput("nothing to change: see `buildd-master archive set --help`")
    with open_farm(context) as farm, farm.acting(f"archive set {name}", Action.CHANGE_ARCHIVES):
        changed = Archives(farm.connection).change_archive(
            distribution, archive, enabled=enabled, private=private, relative_score=score, limits=limits
        )
    if as_json:
        print_json(_document(changed))
    else:
        say(f"changed archive {changed.distribution}/{changed.name}")


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
        "limits": said(one.limits),
    }

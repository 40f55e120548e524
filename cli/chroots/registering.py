"""A tarball becomes a chroot of the farm: into the librarian first, then into the database; and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.archives.series import ensure
from cli.errors import NotReachable
from cli.farm import Farm
from cli.terminal.output import print_json, say, size, when
from cli.terminal.progress import transferring
from storage.chroots import Chroots
from storage.files.library import Library
from storage.records import Chroot, Pocket
from storage.series import Series

PocketOption = Annotated[Pocket, typer.Option(case_sensitive=False, help="The pocket that it is for.")]


def register(
    farm: Farm,
    series: tuple[str, str, str],
    tarball: Path,
    pocket: Pocket,
    *,
    as_json: bool,
    why: str | None,
    apt_sources: Sequence[str] = (),
) -> None:
    """Store and register a tarball, and say so.

    Args:
        farm: whose it becomes.
        series: distribution, series and architecture.
        tarball: the file.
        pocket: that it is for.
        as_json: what is said is for programs.
        why: stands in the event log; None: what is done.
        apt_sources: the series gets these, unless it has some.
    """
    chroot, new = store(farm, series, tarball, pocket, apt_sources, why=why)
    if as_json:
        print_json({**document(chroot), "registered": new})
        return
    for line in new:
        say(line)
    say(
        f"registered chroot {chroot.distroarchseries} {pocket}: {tarball.name}, "
        f"{size(chroot.size)}, {when(chroot.created)}"
    )


def store(
    farm: Farm,
    series: tuple[str, str, str],
    tarball: Path,
    pocket: Pocket,
    apt_sources: Sequence[str] = (),
    *,
    why: str | None,
) -> tuple[Chroot, list[str]]:
    """Put a tarball into the librarian, then its rows into the database, in one transaction.

    Returns:
        The chroot, and one line for each thing that was new.

    Raises:
        NotReachable: the tarball can't be read; nothing was changed.
    """
    try:
        with transferring(f"storing {tarball.name}", tarball.stat().st_size) as progress:
            content = farm.librarian.add_file(tarball, progress=progress)
    except OSError as error:
        raise NotReachable(f"can't read {tarball}: {error.strerror}") from error
    with farm.acting(why or f"chroot of {'/'.join(series)} {pocket}", Action.CHANGE_ARCHIVES):
        place, new = ensure(farm, *series)
        if apt_sources and not place.apt_sources:
            Series(farm.connection).change(place.distribution, place.series, apt_sources=apt_sources)
            new.append(
                f"{place.distribution}/{place.series} has {len(apt_sources)} apt sources now: `series set` changes them"
            )
        alias = Library(farm.connection).add(content, tarball.name)
        return Chroots(farm.connection).set(place.id, pocket, alias.id), new


def document(one: Chroot) -> dict[str, object]:
    """Return a chroot as `--json` shows it."""
    return {
        "distroarchseries": one.distroarchseries,
        "pocket": one.pocket,
        "filename": one.filename,
        "sha256": one.sha256,
        "size": one.size,
        "created": one.created,
        "held_back": one.held_back,
    }

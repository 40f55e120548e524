"""`buildd-master chroot make` and `update`: base systems that this machine makes, or brings up to date.

How a tarball is made is in `cli.chroots.making`, how it is brought up to date in `cli.chroots.update`; where both go, in
`cli.chroots.registering`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.chroots.launchpad import Ids, apt_lines, read_ids, reshape
from cli.chroots.making import Recipe, made, own_sources
from cli.chroots.registering import PocketOption, document, register, store
from cli.chroots.tarball import for_launchpad_buildd
from cli.chroots.update import updated
from cli.errors import BadInput, CommandError, Failed, NotReachable
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.saying_why import Why
from cli.packages import host_apt
from cli.terminal.output import AsJson, note, print_json, say, size, when
from cli.terminal.progress import steps
from storage.chroots import Chroots
from storage.errors import StorageError
from storage.records import Chroot, Pocket
from storage.series import Series

#: Beside the variant's packages: `dpkg-buildpackage` wants fakeroot for every source that does not say it needs no root;
#: with eatmydata the slave spares dpkg its waiting for the disk.
_ALWAYS = ("fakeroot", "eatmydata")


class Shape(StrEnum):
    """Whose slaves take a chroot's tarball."""

    BUILDD_SLAVE = "buildd-slave"
    LAUNCHPAD_BUILDD = "launchpad-buildd"


def make_chroot(
    context: typer.Context,
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE", help="Series of this machine's distribution; else the one it runs.", show_default=False
        ),
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
    shape: Annotated[
        Shape,
        typer.Option("--for", case_sensitive=False, help="Whose slaves it is for: each takes its own shape only."),
    ] = Shape.BUILDD_SLAVE,
    buildd_ids: Annotated[
        str | None,
        typer.Option(
            metavar="UID:GID",
            help="For launchpad-buildd: what the user buildd has on its slaves; else as on this machine.",
            show_default=False,
        ),
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Make a chroot from this machine's own mirrors.

    It is registered, and so is its series, if that is new.  One for launchpad-buildd brings its series the apt sources that
    it was made from, unless that has some.
    """
    if buildd_ids is not None and shape is not Shape.LAUNCHPAD_BUILDD:
        raise BadInput("--buildd-ids goes with --for launchpad-buildd")
    ids = read_ids(buildd_ids) if shape is Shape.LAUNCHPAD_BUILDD else None
    suite = suite or host_apt.codename()
    if not suite:
        raise BadInput("this machine does not say which series it runs: name one")
    words = [word for text in include or [] for word in text.replace(",", " ").split()]
    recipe = Recipe(suite, arch or host_apt.architecture(), variant, tuple(dict.fromkeys([*_ALWAYS, *words])))
    recipe.check()
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_ARCHIVES)
        Series(farm.connection).family_of(recipe.architecture)
        series = (host_apt.distribution(), suite, recipe.architecture)
        with ExitStack() as stack:
            with steps(f"chroot {suite}/{recipe.architecture}") as step:
                tarball = stack.enter_context(made(recipe, farm.settings.state_directory / "apt", step))
                if ids is not None:
                    step("packing it anew for launchpad-buildd", 0.99)
                    tarball = _reshaped(tarball, ids)
            lines = apt_lines(own_sources(suite)) if ids is not None else ()
            register(farm, series, tarball, pocket, as_json=as_json, why=why, apt_sources=lines)


def update_chroots(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SERIES[/ARCH]",
            help="As bookworm, bookworm/arm64; else all.",
            autocompletion=completing.series_alone,
            show_default=False,
        ),
    ] = None,
    pocket: Annotated[
        Pocket | None, typer.Option(case_sensitive=False, help="Only those for this pocket.", show_default=False)
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Bring chroots up to date with their own apt.

    A chroot stays registered until its newer one is stored; one that can't be updated stays as it is.
    """
    documents: list[dict[str, object]] = []
    failures: list[CommandError | StorageError] = []
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_ARCHIVES)
        chosen = _chosen(Chroots(farm.connection).all(), names or [], pocket)
        for one in chosen:
            try:
                documents.append(_update(farm, one, as_json=as_json, why=why))
            except (CommandError, StorageError) as error:
                failures.append(error)
                if len(chosen) > 1:
                    note(f"{one.distroarchseries} {one.pocket}: {error}")
                documents.append({**document(one), "updated": False, "error": str(error)})
    if as_json and len(failures) < len(chosen):
        print_json({"chroots": documents})
    if failures and len(chosen) == 1:
        raise failures[0]
    if failures:
        words = f"{len(failures)} of {len(chosen)} chroots could not be updated, and stay as they are"
        raise Failed(words, answered=len(failures) < len(chosen))


def _chosen(chroots: Sequence[Chroot], names: Sequence[str], pocket: Pocket | None) -> list[Chroot]:
    """Return the chroots that are meant, each once.

    Raises:
        BadInput: there is none of that name, or none at all.
    """
    of_pocket = [one for one in chroots if pocket in {None, one.pocket}]
    chosen: dict[tuple[str, Pocket], Chroot] = {}
    for name in names or [""]:
        found = [one for one in of_pocket if not name or name in _spellings(one)]
        if not found:
            there = ", ".join(one.distroarchseries for one in of_pocket)
            raise BadInput(
                f"there is no chroot of {name} (there are: {there})"
                if name and there
                else "there is no chroot yet: make one with `buildd-master chroot make`"
            )
        chosen |= {(one.distroarchseries, one.pocket): one for one in found}
    return list(chosen.values())


def _spellings(one: Chroot) -> set[str]:
    distribution, series, tag = one.distroarchseries.split("/")
    return {one.distroarchseries, f"{series}/{tag}", series, f"{distribution}/{series}"}


def _update(farm: Farm, one: Chroot, *, as_json: bool, why: str | None) -> dict[str, object]:
    """Update one chroot, and return what there is of it then."""
    distribution, series, tag = one.distroarchseries.split("/")
    with ExitStack() as stack:
        with steps(f"chroot {series}/{tag}") as step:
            old = farm.librarian.path(one.sha256)
            if for_launchpad_buildd(old):
                raise Failed(
                    f"chroot {one.distroarchseries} {one.pocket} is one for launchpad-buildd: it is not updated but made anew,"
                    " by `buildd-master chroot make --for launchpad-buildd`"
                )
            directory = farm.settings.state_directory / "apt"
            newer = stack.enter_context(updated(old, f"{series}-{tag}", directory, step))
        if newer is None:
            if not as_json:
                say(f"chroot {one.distroarchseries} {one.pocket} is up to date, as of {when(one.created)}")
            return {**document(one), "updated": False}
        if one.sha256 not in {now.sha256 for now in Chroots(farm.connection).all()}:
            raise Failed(f"chroot {one.distroarchseries} {one.pocket} was replaced while it was updated: it is left so")
        chroot, _ = store(farm, (distribution, series, tag), newer.tarball, one.pocket, why=why)
    if not as_json:
        say(
            f"updated chroot {one.distroarchseries} {one.pocket}: {newer.upgraded} packages upgraded, "
            f"{newer.added} new; {size(chroot.size)}, {when(chroot.created)}"
        )
    return {**document(chroot), "updated": True, "upgraded": newer.upgraded, "added": newer.added}


def _reshaped(tarball: Path, ids: Ids) -> Path:
    """Return the tarball as launchpad-buildd takes it, beside the one that it was."""
    anew = tarball.with_name(f"{tarball.name.removesuffix('.tar.zst')}-launchpad-buildd.tar.gz")
    try:
        reshape(tarball, anew, ids)
    except OSError as error:
        raise NotReachable(f"can't write {anew}: {error.strerror}") from error
    return anew

"""`buildd-master chroot`: the base systems that builds run in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from cli.archives.series import ensure
from cli.chroots.launchpad import Ids, apt_lines, read_ids, reshape
from cli.chroots.making import Recipe, made, own_sources
from cli.chroots.tarball import check_tarball, for_launchpad_buildd
from cli.chroots.update import updated
from cli.errors import BadInput, CommandError, Failed, NotReachable
from cli.farm import Farm, open_farm
from cli.packages import host_apt
from cli.terminal.output import AsJson, note, print_json, say, since, size, when
from cli.terminal.progress import steps, transferring
from cli.terminal.tables import Rows
from storage.archives import Archives
from storage.errors import StorageError
from storage.files.library import Library
from storage.records import Chroot, Pocket

app = typer.Typer(help="The base systems that builds run in.", no_args_is_help=True)

#: Beside the variant's packages: `dpkg-buildpackage` wants fakeroot for every source that does not say it needs no root;
#: with eatmydata the slave spares dpkg its waiting for the disk.
_ALWAYS = ("fakeroot", "eatmydata")


class Shape(StrEnum):
    """Whose slaves take a chroot's tarball."""

    BUILDD_SLAVE = "buildd-slave"
    LAUNCHPAD_BUILDD = "launchpad-buildd"


PocketOption = Annotated[Pocket, typer.Option(case_sensitive=False, help="The pocket that it is for.")]


@app.command("list")
def list_chroots(context: typer.Context, as_json: AsJson = False) -> None:
    """List the registered chroots."""
    with open_farm(context) as farm:
        chroots = Archives(farm.connection).chroots()
    if as_json:
        print_json({"chroots": [_document(one) for one in chroots]})
        return
    rows = Rows("SERIES", "POCKET", "SIZE", "AGE", "STATE", "FILE", "SHA256", right=("SIZE",), less=("SHA256", "FILE"))
    for one in chroots:
        rows.add(
            one.distroarchseries,
            one.pocket.value,
            size(one.size),
            since(one.created),
            f"HELD BACK: {one.held_back}" if one.held_back else "used",
            one.filename,
            one.sha256[:12],
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
        Archives(farm.connection).family_of(recipe.architecture)
        series = (host_apt.distribution(), suite, recipe.architecture)
        with ExitStack() as stack:
            with steps(f"chroot {suite}/{recipe.architecture}") as step:
                tarball = stack.enter_context(made(recipe, farm.settings.state_directory / "apt", step))
                if ids is not None:
                    step("packing it anew for launchpad-buildd", 0.99)
                    tarball = _reshaped(tarball, ids)
            lines = apt_lines(own_sources(suite)) if ids is not None else ()
            _register(farm, series, tarball, pocket, as_json=as_json, apt_sources=lines)


@app.command("update")
def update_chroots(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERIES[/ARCH]]…", help="As bookworm, bookworm/arm64; else all.", show_default=False),
    ] = None,
    pocket: Annotated[
        Pocket | None, typer.Option(case_sensitive=False, help="Only those for this pocket.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring chroots up to date with their own apt.

    A chroot stays registered until its newer one is stored; one that can't be updated stays as it is.
    """
    documents: list[dict[str, object]] = []
    failures: list[CommandError | StorageError] = []
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_ARCHIVES)
        chosen = _chosen(Archives(farm.connection).chroots(), names or [], pocket)
        for one in chosen:
            try:
                documents.append(_update(farm, one, as_json=as_json))
            except (CommandError, StorageError) as error:
                failures.append(error)
                if len(chosen) > 1:
                    note(f"{one.distroarchseries} {one.pocket}: {error}")
                documents.append({**_document(one), "updated": False, "error": str(error)})
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


def _update(farm: Farm, one: Chroot, *, as_json: bool) -> dict[str, object]:
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
            return {**_document(one), "updated": False}
        if one.sha256 not in {now.sha256 for now in Archives(farm.connection).chroots()}:
            raise Failed(f"chroot {one.distroarchseries} {one.pocket} was replaced while it was updated: it is left so")
        chroot, _ = _stored(farm, (distribution, series, tag), newer.tarball, one.pocket)
    if not as_json:
        say(
            f"updated chroot {one.distroarchseries} {one.pocket}: {newer.upgraded} packages upgraded, "
            f"{newer.added} new; {size(chroot.size)}, {when(chroot.created)}"
        )
    return {**_document(chroot), "updated": True, "upgraded": newer.upgraded, "added": newer.added}


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
        farm.require(Action.CHANGE_ARCHIVES)
        Archives(farm.connection).distroarchseries(name)
        check_tarball(file)
        _register(farm, (parts[0], parts[1], parts[2]), file, pocket, as_json=as_json)


@app.command("use")
def use_chroot(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="DISTRIBUTION/SERIES/ARCH", help="As debian/bookworm/amd64.", show_default=False)
    ],
    pocket: PocketOption = Pocket.RELEASE,
    as_json: AsJson = False,
) -> None:
    """Build in a chroot again that was held back because it failed on two builders."""
    with open_farm(context) as farm, farm.acting(f"chroot use {name} {pocket}", Action.CHANGE_ARCHIVES):
        archives = Archives(farm.connection)
        place = archives.distroarchseries(name)
        there = {(one.distroarchseries, one.pocket): one for one in archives.chroots()}
        before = there.get((name, pocket))
        if before is None:
            raise BadInput(f"{name} has no chroot of its own for {pocket}: `buildd-master chroot list` shows all")
        chroot = archives.use_chroot(place.id, pocket)
    if as_json:
        print_json(_document(chroot))
    else:
        was = f"held back before: {before.held_back}" if before.held_back else "it was not held back"
        say(f"chroot {name} {pocket} is used ({was})")


@app.command("remove")
def remove_chroot(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="DISTRIBUTION/SERIES/ARCH", help="As debian/bookworm/amd64.", show_default=False)
    ],
    pocket: PocketOption = Pocket.RELEASE,
    as_json: AsJson = False,
) -> None:
    """Forget a chroot: builds for its series and pocket wait until there is another.

    A pocket without a chroot of its own uses RELEASE's.  One that running builds use is not removed.
    """
    with open_farm(context) as farm, farm.acting(f"chroot remove {name} {pocket}", Action.CHANGE_ARCHIVES):
        archives = Archives(farm.connection)
        place = archives.distroarchseries(name)
        if (name, pocket) not in {(one.distroarchseries, one.pocket) for one in archives.chroots()}:
            raise BadInput(f"{name} has no chroot of its own for {pocket}: `buildd-master chroot list` shows all")
        removed = archives.remove_chroot(place.id, pocket)
    if as_json:
        print_json({"removed": _document(removed)})
    else:
        say(f"removed chroot {name} {pocket}: {removed.filename}, {size(removed.size)}")


def _reshaped(tarball: Path, ids: Ids) -> Path:
    """Return the tarball as launchpad-buildd takes it, beside the one that it was."""
    anew = tarball.with_name(f"{tarball.name.removesuffix('.tar.zst')}-launchpad-buildd.tar.gz")
    try:
        reshape(tarball, anew, ids)
    except OSError as error:
        raise NotReachable(f"can't write {anew}: {error.strerror}") from error
    return anew


def _register(
    farm: Farm,
    series: tuple[str, str, str],
    tarball: Path,
    pocket: Pocket,
    *,
    as_json: bool,
    apt_sources: Sequence[str] = (),
) -> None:
    """Store and register a tarball, and say so.

    Args:
        farm: whose it becomes.
        series: distribution, series and architecture.
        tarball: the file.
        pocket: that it is for.
        as_json: what is said is for programs.
        apt_sources: the series gets these, unless it has some.
    """
    chroot, new = _stored(farm, series, tarball, pocket, apt_sources)
    if as_json:
        print_json({**_document(chroot), "registered": new})
        return
    for line in new:
        say(line)
    say(
        f"registered chroot {chroot.distroarchseries} {pocket}: {tarball.name}, "
        f"{size(chroot.size)}, {when(chroot.created)}"
    )


def _stored(
    farm: Farm, series: tuple[str, str, str], tarball: Path, pocket: Pocket, apt_sources: Sequence[str] = ()
) -> tuple[Chroot, list[str]]:
    """Put a tarball into the librarian, then its rows into the database, in one transaction."""
    try:
        with transferring(f"storing {tarball.name}", tarball.stat().st_size) as progress:
            stored = farm.librarian.add_file(tarball, progress=progress)
    except OSError as error:
        raise NotReachable(f"can't read {tarball}: {error.strerror}") from error
    with farm.acting(f"chroot of {'/'.join(series)} {pocket}", Action.CHANGE_ARCHIVES):
        place, new = ensure(farm, *series)
        if apt_sources and not place.apt_sources:
            Archives(farm.connection).change_series(place.distribution, place.series, apt_sources=apt_sources)
            new.append(
                f"{place.distribution}/{place.series} has {len(apt_sources)} apt sources now: `series set` changes them"
            )
        alias = Library(farm.connection).add(stored, tarball.name)
        return Archives(farm.connection).set_chroot(place.id, pocket, alias.id), new


def _document(one: Chroot) -> dict[str, object]:
    return {
        "distroarchseries": one.distroarchseries,
        "pocket": one.pocket,
        "filename": one.filename,
        "sha256": one.sha256,
        "size": one.size,
        "created": one.created,
        "held_back": one.held_back,
    }

"""`buildd-master submit`: a source package goes into the farm.

Everything is verified before anything is stored; then all files go into the librarian; then one transaction makes
source, publication, builds and jobs.  The running farm is told by the commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from glob import escape as glob_escape
from pathlib import Path
from typing import Annotated

import typer

from actors.core.roles import Action
from cli.builds import document, end_words, failure, wait_with_words
from cli.errors import BadInput
from cli.farm import Farm, open_farm
from cli.finding import find_archive
from cli.limits import Disk, FileSize, LogSize, Memory, Processes, Silent, Wall, changes
from cli.output import AsJson, console, note, print_json
from cli.private_apt import PACKAGE, PrivateApt
from cli.progress import percent, transferring
from cli.results import check_output, copy_files, files_document, print_files
from cli.series import PRIMARY
from cli.source_package import SourcePackage, read
from cli.targets import Target, choose_series, wanted_builds, with_chroot
from storage.archives import Archives
from storage.builds import Builds
from storage.library import Library
from storage.records import (
    Archive,
    Build,
    BuildState,
    DistroArchSeries,
    NamedFile,
    NewSource,
    Pocket,
    StoredFile,
    Urgency,
)


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
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the log, wait for the end; exit code 1 if it fails.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy the results there (waits).", file_okay=False, show_default=False),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(metavar="SERIES", help="As bookworm; else the only one with a chroot.", show_default=False),
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
    wall: Wall = None,
    silent: Silent = None,
    memory: Memory = None,
    processes: Processes = None,
    file_size: FileSize = None,
    log_size: LogSize = None,
    disk: Disk = None,
    as_json: AsJson = False,
) -> None:
    """Build a source package, as `submit hello` or `submit ./hello_2.10-3.dsc`."""
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    check_output(output)
    with open_farm(context) as farm:
        place = _place(farm, series, archive, pocket)
        farm.require(Action.CHANGE_BUILDS, place.archive)
        if limits:
            farm.require(Action.CHANGE_LIMITS)
        with _dsc(farm, what, place.series) as dsc:
            package = _verified(dsc)
            targets = wanted_builds(package.name, package.architectures, place.ready, arch or [])
            stored = _store(farm, package)
        source = NewSource(
            name=package.name,
            version=package.version,
            component=component or _component(package),
            urgency=urgency,
            architectures=package.architectures,
            files=tuple(NamedFile(name, content.sha256, content.size) for name, content in stored.items()),
        )
        builds = _queue(farm, source, stored, place, targets, again=again, limits=limits)
        if wait or output is not None:
            builds = wait_with_words(farm, [one.id for one in builds], log=True, quiet=as_json)
        results = {one.id: Builds(farm.connection).files(one.id) for one in builds}
        copies = {one.id: copy_files(farm, results[one.id], output) for one in builds} if output is not None else {}
    if as_json:
        shown = [{**document(one), "files": files_document(results[one.id], copies.get(one.id))} for one in builds]
        print_json({"source": package.name, "version": package.version, "builds": shown})
    elif wait or output is not None:
        for one in builds:
            console().print(end_words(one), soft_wrap=True)
            if results[one.id]:
                print_files(results[one.id], output)
    else:
        note("follow it with `buildd-master build log -f " + str(builds[0].id) + "`")
    error = failure(builds) if wait or output is not None else None
    if error is not None:
        raise error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a source goes."""

    archive: Archive
    series: str
    pocket: Pocket
    ready: tuple[DistroArchSeries, ...]  #: the architectures of the series that have a chroot


def _place(farm: Farm, series: str | None, archive: str, pocket: Pocket) -> _Place:
    archives = Archives(farm.connection)
    ready = with_chroot(archives.series(), archives.chroots(), pocket)
    distribution, name = choose_series(ready, series)
    mine = tuple(one for one in ready if (one.distribution, one.series) == (distribution, name))
    return _Place(find_archive(farm, distribution, archive.removeprefix(f"{distribution}/")), name, pocket, mine)


@contextmanager
def _dsc(farm: Farm, what: str, series: str) -> Iterator[Path]:
    """Give the `.dsc` that is meant: a file, or one that apt fetches for the length of the block."""
    path = Path(what)
    if "/" in what or what.endswith(".dsc") or path.is_file():
        yield path
        return
    if not PACKAGE.fullmatch(what):
        raise BadInput(f"{what!r} is neither a .dsc file nor the name of a package")
    apt = PrivateApt(farm.settings.state_directory / "apt", series)
    started = time.monotonic()
    with ExitStack() as fetched:
        with percent(f"fetching the source of {what}") as progress:
            apt.prepare()
            apt.update(progress)
            dsc = fetched.enter_context(apt.source(what, progress))
        note(f"{dsc.stem.replace('_', ' ')}: fetched by apt in {time.monotonic() - started:.1f} s")
        yield dsc


def _verified(dsc: Path) -> SourcePackage:
    """Read a source package, showing how far its verification is."""
    done = 0
    with transferring(f"verifying {dsc.name}", _octets_beside(dsc)) as progress:

        def advance(octets: int) -> None:
            nonlocal done
            done += octets
            progress(done)

        return read(dsc, advance)


def _octets_beside(dsc: Path) -> int:
    """Return roughly how much there is to read: for a progress bar only."""
    stem = dsc.name.partition("_")[0]
    with suppress(OSError):
        return sum(one.stat().st_size for one in dsc.parent.glob(f"{glob_escape(stem)}_*") if one.is_file())
    return 0


def _store(farm: Farm, package: SourcePackage) -> dict[str, StoredFile]:
    """Put all files into the librarian, and see that they are what was verified; return them by filename.

    Raises:
        BadInput: a file was changed in the meantime.
    """
    stored = {}
    for file in package.everything:
        with transferring(f"storing {file.filename}", file.size) as progress:
            content = farm.librarian.add_file(file.path, progress=progress)
        if content.sha256 != file.sha256:
            raise BadInput(f"{file.path} was changed while it was read: submit it again")
        stored[file.filename] = content
    return stored


def _queue(
    farm: Farm,
    source: NewSource,
    stored: Mapping[str, StoredFile],
    place: _Place,
    targets: Sequence[Target],
    *,
    again: bool,
    limits: Mapping[str, int | None],
) -> tuple[Build, ...]:
    """Make aliases, source, publication, builds and jobs, in one transaction."""
    archives, builds = Archives(farm.connection), Builds(farm.connection)
    queued, words = [], []
    also = [Action.CHANGE_LIMITS] if limits else []
    with farm.acting(f"submit {source.name} {source.version}", Action.CHANGE_BUILDS, place.archive, also=also):
        for filename, content in stored.items():
            Library(farm.connection).add(content, filename)
        release = archives.add_source(source)
        archives.publish(release, place.archive.id, place.series, place.pocket, source.component)
        for target in targets:
            build = builds.find(release, target.distroarchseries.id, place.archive.id)
            ids = (release, target.distroarchseries.id, place.archive.id, place.pocket)
            if build is None:
                build, word = builds.create(*ids, arch_indep=target.arch_indep), "queued"
            elif build.state is BuildState.FULLYBUILT and again:
                build, word = builds.create(*ids, arch_indep=target.arch_indep, again=True), "queued once more"
            elif build.state is BuildState.FULLYBUILT:
                word = "was built already (--again builds it once more)"
            elif build.state.final:
                word = f"was {build.state} and is queued again"
            else:
                word = f"is {build.state} already"
            if build.pocket is not place.pocket:
                word += f" for the pocket {build.pocket}, and stays there"
            if build.state is not BuildState.FULLYBUILT:
                builds.change_limits(build.id, limits)
                builds.queue(build.id)
            queued.append(builds.get(build.id))
            words.append(word)
    for build, word in zip(queued, words, strict=True):
        note(f"build {build.id}: {build.source} {build.version} for {build.distroarchseries} {word}")
    return tuple(queued)


def _component(package: SourcePackage) -> str:
    """Return the component that the section names (`contrib/misc`), else main."""
    component, slash, _ = package.section.partition("/")
    return component if slash else "main"

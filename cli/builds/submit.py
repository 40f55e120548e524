"""`buildd-master submit`: a source package goes into the farm.

Everything is verified and decided before anything is stored; then all files go into the librarian; then one transaction
of `publishing.submission` makes sources, publications, builds and jobs.  The running farm is told by the commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape as glob_escape
from pathlib import Path
from typing import Annotated

import typer

from actors.core.people.roles import Action
from actors.core.sources.making import ArchitectureTable
from actors.core.sources.places import Places, Wish
from cli.archives.series import PRIMARY
from cli.archives.submitted import done_document, lines
from cli.builds.in_words import document, end_words, failure, wait_with_words
from cli.builds.results import check_output, copy_files, files_document, print_files
from cli.errors import BadInput, NotReachable
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.limits import Disk, FileSize, LogSize, Memory, Processes, Silent, Wall, changes
from cli.options.saying_why import Why
from cli.options.tags import AskedTags, NoTags, chosen
from cli.packages.private_apt import PACKAGE, PrivateApt
from cli.packages.source import SourcePackage, read
from cli.terminal.output import AsJson, console, note, print_json, warn
from cli.terminal.progress import percent, transferring
from publishing.architectures import architecture_table
from publishing.stores import Stores, stores_on
from publishing.submission import Plan, Submission, Submitted, choose_places, plan
from publishing.submission import submit as submit_source
from storage.builds import Builds
from storage.errors import UnknownComponent
from storage.records import NamedFile, NewSource, Pocket, StoredFile, Urgency


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
        list[str] | None,
        typer.Option(
            metavar="SERIES",
            autocompletion=completing.series_alone,
            help="As bookworm; may be repeated; all: each that has a chroot. Else the only one with a chroot.",
            show_default=False,
        ),
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARCH",
            help="Only this architecture; may be repeated.",
            autocompletion=completing.architectures,
            show_default=False,
        ),
    ] = None,
    archive: Annotated[
        str,
        typer.Option(metavar="ARCHIVE", help="Archive of the distribution.", autocompletion=completing.archives),
    ] = PRIMARY,
    pocket: Annotated[Pocket, typer.Option(case_sensitive=False, help="Pocket of the series.")] = Pocket.RELEASE,
    component: Annotated[
        str | None, typer.Option(metavar="COMPONENT", help="Else as its section says, or main.", show_default=False)
    ] = None,
    tag: AskedTags = None,
    no_tags: NoTags = False,
    urgency: Annotated[Urgency, typer.Option(case_sensitive=False, help="Urgency of the upload.")] = Urgency.MEDIUM,
    again: Annotated[bool, typer.Option("--again", help="Build it once more, though it was built already.")] = False,
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
    """Build a source package, as `submit hello` or `submit ./hello_2.10-3.dsc`.

    All or nothing: either every build is queued that it asks for, or nothing is changed. Older versions of the source
    are superseded where it is published.
    """
    limits = changes(
        wall=wall,
        silent=silent,
        memory=memory,
        processes=processes,
        file_size=file_size,
        log_size=log_size,
        disk=disk,
    )
    tags = chosen(tag, no_tags)
    check_output(output)
    waits = wait or output is not None
    with open_farm(context) as farm:
        stores = stores_on(farm.connection)
        places = choose_places(stores, Wish(archive, tuple(series or ()), tuple(arch or ()), pocket), farm.caller)
        farm.require(Action.CHANGE_BUILDS, places.archive)
        if limits:
            farm.require(Action.CHANGE_LIMITS)
        with _dsc(farm, what, places) as dsc:
            package = _verified(dsc)
            own = _component(stores, package, component)
            planned = plan(stores, places, package.name, package.version, hints=package.architectures, table=_table())
            stored = _store(farm, package)
        source = NewSource(
            name=package.name,
            version=package.version,
            component=own,
            urgency=urgency,
            architectures=package.architectures,
            files=tuple(NamedFile(name, content.sha256, content.size) for name, content in stored.items()),
        )
        submission = Submission(source, stored, component, tags, limits, again)
        done = _queue(farm, planned, submission, why)
        builds = tuple(one.build for one in done.taken)
        if waits:
            builds = wait_with_words(farm, [one.id for one in builds], log=True, quiet=as_json)
        # What never began has no files.
        results = {one.id: Builds(farm.connection).files(one.id) if one.started else () for one in builds}
        copies = {one.id: copy_files(farm, results[one.id], output) for one in builds} if output is not None else {}
    if as_json:
        shown = [{**document(one), "files": files_document(results[one.id], copies.get(one.id))} for one in builds]
        print_json({**done_document(planned, submission, done), "builds": shown})
    elif waits:
        for one in builds:
            console().print(end_words(one), soft_wrap=True)
            if results[one.id]:
                print_files(results[one.id], output)
    else:
        note("follow it with `buildd-master build log -f " + str(builds[0].id) + "`")
    error = failure(builds) if waits else None
    if error is not None:
        raise error


def _queue(farm: Farm, planned: Plan, submission: Submission, why: str | None) -> Submitted:
    """Make everything in one transaction, and say what was made."""
    source, archive = submission.source, planned.places.archive
    also = (Action.CHANGE_LIMITS,) if submission.limits else ()
    with farm.acting(why or f"submit {source.name} {source.version}", Action.CHANGE_BUILDS, archive, also=also):
        done = submit_source(stores_on(farm.connection), planned, submission)
    for line in lines(done, planned.places.pocket):
        note(line)
    for line in planned.remarks:
        warn(line)
    return done


@contextmanager
def _dsc(farm: Farm, what: str, places: Places) -> Iterator[Path]:
    """Give the `.dsc` that is meant: a file, or one that apt fetches for the length of the block."""
    path = Path(what)
    if "/" in what or what.endswith(".dsc") or path.is_file():
        yield path
        return
    if not PACKAGE.fullmatch(what):
        raise BadInput(f"{what!r} is neither a .dsc file nor the name of a package")
    if len(places.series) > 1:
        raise BadInput(
            f"a package by name comes from one series: name one, or fetch {what} and give its .dsc to build it in"
            f" {len(places.series)} series"
        )
    apt = PrivateApt(farm.settings.state_directory / "apt", places.series[0][0].series)
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


def _component(stores: Stores, package: SourcePackage, said: str | None) -> str:
    """Return the component that the section names (`contrib/misc`), else main; one that the farm has.

    Raises:
        BadInput: it has not what the section names, and the person has said no other.
        UnknownComponent: it has not what the person has said.
    """
    if said is not None:
        stores.sources.check_component(said)
    component, slash, _ = package.section.partition("/")
    component = component if slash else "main"
    try:
        stores.sources.check_component(component)
    except UnknownComponent as unknown:
        if said is None:
            raise BadInput(
                f"the section of {package.name} is {package.section}: {unknown}; say --component"
            ) from unknown
        return said
    return component


def _table() -> ArchitectureTable:
    try:
        return architecture_table()
    except OSError as error:
        raise NotReachable(f"can't read dpkg's table of architectures: {error}: install the package dpkg") from error

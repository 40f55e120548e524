"""`buildd-master build cancel`, `retry`, `give-back`, `set-state`: what people do to builds, several at once.

What a command does to several builds it first tries with each, and takes back: if one is refused, nothing is changed.
Then each is a transaction of its own, because the running farm waits for rows that a long one holds.  What people say
of jobs (`rescore`, `assign`) is in `cli.jobs.verbs`, how builds are looked at in `cli.builds.commands`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import typer

from actors.core.dispatch.pair_rules import capable
from actors.core.people.roles import Action
from cli.errors import BadInput, Failed
from cli.farm import Farm, open_farm
from cli.options import completing
from cli.options.finding import find_archive, find_builds
from cli.options.names import split_archive, split_series
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, counted, note, print_json, say
from storage.builders import Builders
from storage.builds import Builds
from storage.errors import StorageError
from storage.records import Build, BuildState, Job
from storage.series import Series

app = typer.Typer()

T = TypeVar("T")

_MOST_LISTED = 20  #: builds of a kind that are told one by one

Ids = Annotated[list[int], typer.Argument(metavar="BUILD", help="Numbers of builds.", show_default=False)]
SomeIds = Annotated[list[int] | None, typer.Argument(metavar="BUILD", help="Numbers of builds.", show_default=False)]


def each(
    farm: Farm, builds: Sequence[Build], why: str, action: Action, verb: Callable[[int], T], *, sure: bool = False
) -> list[T]:
    """Do something to each of `builds`, in a transaction of its own; with several, only what all of them allow.

    Args:
        farm: that is open.
        builds: to which it is done.
        why: stands with the events.
        action: what it is, for the roles it needs.
        verb: does it to the build of this number.
        sure: the builds were chosen so that it is allowed.

    Raises:
        Failed: one of several is refused, so that nothing was changed; or somebody else was quicker, so that only
            those were changed that the text names.
    """
    subjects = [build if action is Action.CHANGE_BUILDS else None for build in builds]
    if len(builds) > 1 and not sure:
        for build, subject in zip(builds, subjects, strict=True):
            try:
                with farm.acting(why, action, subject) as connection, connection.transaction(force_rollback=True):
                    verb(build.id)
            except StorageError as error:
                raise Failed(f"{_line(error)} (nothing was changed, of the other builds neither)") from error
    done: list[T] = []
    for build, subject in zip(builds, subjects, strict=True):
        try:
            with farm.acting(why, action, subject):
                done.append(verb(build.id))
        except StorageError as error:
            if not done:
                raise
            changed = ", ".join(str(one.id) for one in builds[: len(done)])
            raise Failed(f"{_line(error)} (changed before that, and only those: builds {changed})") from error
    return done


def _line(error: StorageError) -> str:
    return str(error).partition("\n")[0]


def numbers(builds: Sequence[Build]) -> str:
    """Return the numbers of builds as they are typed."""
    return " ".join(str(build.id) for build in builds)


@app.command("cancel")
def cancel_builds(context: typer.Context, build: Ids, why: Why = None, as_json: AsJson = False) -> None:
    """Cancel builds.

    At once if they wait; if they run, their slaves are told to abort.
    """
    with open_farm(context) as farm:
        builds = find_builds(farm, build)
        told = why or f"build cancel {numbers(builds)}"
        states = each(
            farm, builds, told, Action.CHANGE_BUILDS, lambda one: Builds(farm.connection).cancel(one, why or "")
        )
    if as_json:
        print_json({"builds": [{"build": one.id, "state": now} for one, now in zip(builds, states, strict=True)]})
        return
    for one, now in zip(builds, states, strict=True):
        if now is BuildState.CANCELLING:
            say(f"build {one.id} is being cancelled: its slave was told to abort (70 s at most)")
        else:
            say(f"build {one.id} is cancelled")


@app.command("retry")
def retry_builds(
    context: typer.Context,
    build: SomeIds = None,
    in_state: Annotated[
        BuildState | None,
        typer.Option(
            "--state",
            metavar="STATE",
            case_sensitive=False,
            help="All that are in this state, as CHROOTWAIT.",
            show_default=False,
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="DISTRIBUTION/ARCHIVE",
            help="With --state: only of this archive.",
            autocompletion=completing.archives,
            show_default=False,
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="DISTRIBUTION/SERIES",
            help="With --state: only for this series.",
            autocompletion=completing.series,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which builds are meant.")] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Try builds again that ended without packages.

    They queue up at the end, for any builder.  One that waits already keeps its place, and waits no longer for what
    went wrong before.
    """
    if bool(build) == (in_state is not None):
        raise BadInput("retry what? give the numbers of builds, or --state with one in which they ended")
    if in_state is None and (archive or series):
        raise BadInput("--archive and --series go with --state: they choose among all the builds in a state")
    if in_state is not None and (not in_state.final or in_state is BuildState.FULLYBUILT):
        states = ", ".join(one for one in BuildState if one.final and one is not BuildState.FULLYBUILT)
        raise BadInput(f"builds that are {in_state} are not retried: --state takes one of {states}")
    with open_farm(context) as farm:
        builds = _of_kind(farm, in_state, archive, series) if in_state else find_builds(farm, build or [])
        for one in builds:
            farm.require(Action.CHANGE_BUILDS, one)
        told = why or (f"build retry --state {in_state}" if in_state else f"build retry {numbers(builds)}")
        jobs: list[Job] = []
        if not dry_run:
            jobs = each(
                farm, builds, told, Action.CHANGE_BUILDS, Builds(farm.connection).retry, sure=in_state is not None
            )
    if as_json:
        retried = {job.build: job.id for job in jobs}
        print_json(
            {
                "builds": [{"build": one.id, "was": one.state, "job": retried.get(one.id)} for one in builds],
                "dry_run": dry_run,
            }
        )
        return
    for one in builds[: _MOST_LISTED if in_state else None]:
        say(_retried(one, next((job for job in jobs if job.build == one.id), None)))
    if len(builds) > _MOST_LISTED and in_state:
        say(f"and {len(builds) - _MOST_LISTED} more")
    if in_state:
        note(f"{_count(builds)} {'would be queued' if dry_run else 'queued'} again")


def _of_kind(farm: Farm, state: BuildState, archive: str | None, series: str | None) -> tuple[Build, ...]:
    wanted_archive, wanted_series = None, None
    if archive is not None:
        wanted_archive = find_archive(farm, *split_archive(archive)).id
    if series is not None:
        wanted_series = split_series(series)
        there = sorted({(one.distribution, one.series) for one in Series(farm.connection).all()})
        if wanted_series not in there:
            shown = ", ".join("/".join(one) for one in there)
            raise BadInput(f"no series {series!r} here (there are: {shown or 'none'})")
    return Builds(farm.connection).of_kind(state, archive=wanted_archive, series=wanted_series)


def _retried(build: Build, job: Job | None) -> str:
    what = f"build {build.id} ({build.source} {build.version} for {build.distroarchseries})"
    if job is None:
        return f"{what} is {build.state}"
    if build.state.final:
        return f"{what} was {build.state} and is queued again: job {job.id}"
    return f"{what} waits already, as job {job.id}; no longer for what went wrong before"


def _count(builds: Sequence[Build]) -> str:
    return counted(len(builds), "build")


@app.command("give-back")
def give_builds_back(
    context: typer.Context,
    build: Ids,
    exclude: Annotated[
        bool,
        typer.Option(
            "--exclude", help="Not there again for an hour (setting pair_exclusion), unless it is the only one."
        ),
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Take running builds from their builders.

    Nobody is blamed, and they wait again in their place.
    """
    with open_farm(context) as farm:
        builds = find_builds(farm, build)
        seconds = farm.settings.verdicts.pair_exclusion if exclude else None
        told = why or f"build give-back {numbers(builds)}"
        jobs = each(
            farm,
            builds,
            told,
            Action.CHANGE_BUILDS,
            lambda one: Builds(farm.connection).give_back(one, why or "", exclude_seconds=seconds),
        )
        every = Builders(farm.connection).all()
    if as_json:
        taken = zip(builds, jobs, strict=True)
        print_json(
            {
                "builds": [
                    {"build": one.id, "builder": one.builder, "job": job.id, "excluded": exclude} for one, job in taken
                ]
            }
        )
        return
    for one, job in zip(builds, jobs, strict=True):
        say(f"build {one.id} was taken from {one.builder} and waits, as job {job.id}")
        if exclude and [builder.name for builder in every if capable(job, builder)] == [one.builder]:
            note(f"{one.builder} is the only builder that could have it, and so may get it again")


@app.command("set-state")
def set_states(
    context: typer.Context,
    build: Ids,
    state: Annotated[
        BuildState,
        typer.Argument(
            metavar="STATE", case_sensitive=False, help="What they become, as FAILEDTOBUILD.", show_default=False
        ),
    ],
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Set the state of builds by hand.

    An open attempt is closed and nobody blamed; NEEDSBUILD queues a build.
    """
    with open_farm(context) as farm:
        builds = find_builds(farm, build)
        told = why or f"build set-state {numbers(builds)} {state}"
        each(
            farm, builds, told, Action.SET_STATES, lambda one: Builds(farm.connection).set_state(one, state, why or "")
        )
    if as_json:
        print_json({"builds": [{"build": one.id, "was": one.state, "state": state} for one in builds]})
        return
    for one in builds:
        fenced = f"; it ran on {one.builder}, which aborts it" if one.builder else ""
        say(f"build {one.id} is {state} (was {one.state}){fenced}")

"""`buildd-master build list`, `show`, `log`, `files`: what is to be built, is being built, and was.

What people do to builds is in `cli.builds.verbs` and `cli.jobs.verbs`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from actors.core.people.private import readable, seen_attempts, seen_build
from actors.core.people.roles import Action
from cli.builds import verbs as build_verbs
from cli.builds.attempts import attempt_document, job_words, print_attempts
from cli.builds.following import log_path
from cli.builds.in_words import document, end_words, failure, took, wait_with_words
from cli.builds.log_reading import LiveLog, kept_log
from cli.builds.results import check_output, copy_files, files_document, print_files
from cli.builds.screen import log_text, write_log
from cli.errors import Failed
from cli.farm import Farm, open_farm
from cli.jobs import verbs as job_verbs
from cli.jobs.lacking import lack_of
from cli.options.finding import find_build
from cli.options.limits import words
from cli.terminal.output import AsJson, ago, console, note, plain, print_json, since, state, when
from cli.terminal.stories import LAST, print_story
from cli.terminal.tables import Facts, Rows
from storage.builds import Builds
from storage.errors import NotQueued
from storage.events.log import Events
from storage.files.library import Library
from storage.records import Build, BuildState, Event, Limits

app = typer.Typer(help="What is to be built, is being built, and was.", no_args_is_help=True)

_SAID: Final = frozenset({"assigned", "manual_score"})  #: columns of a job that only people set
_MOST_SAID: Final = 1000  #: events of a build's jobs that are looked through for these
for verbs in (build_verbs, job_verbs):
    app.add_typer(verbs.app)

Id = Annotated[int, typer.Argument(metavar="BUILD", help="Number of the build.", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Copy the results there.", file_okay=False, show_default=False),
]


@app.command("list")
def list_builds(
    context: typer.Context,
    in_state: Annotated[
        BuildState | None,
        typer.Option(
            "--state", metavar="STATE", case_sensitive=False, help="Only these, as FAILEDTOBUILD.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest builds, newest first."""
    with open_farm(context) as farm:
        builds = [seen_build(farm.caller, one) for one in Builds(farm.connection).list(in_state, limit)]
    if as_json:
        print_json({"builds": [document(one) for one in builds]})
        return
    rows = Rows(
        "BUILD",
        "SOURCE",
        "FOR",
        "ARCHIVE",
        "STATE",
        "BUILDER",
        "TOOK",
        "WHEN",
        right=("BUILD",),
        less=("ARCHIVE", "BUILDER", "WHEN", "TOOK"),
    )
    for one in builds:
        rows.add(
            str(one.id),
            f"{one.source} {one.version}".rstrip(),
            one.distroarchseries,
            one.archive,
            state(one.state),
            one.builder or "",
            took(one),
            ago(one.ended or one.started or one.created),
        )
    rows.show("no builds: `buildd-master submit PACKAGE` makes some" if in_state is None else f"no build is {in_state}")


@app.command("show")
def show_build(context: typer.Context, build: Id, as_json: AsJson = False) -> None:
    """Show all that is known of a build: state, why, attempts, files."""
    with open_farm(context) as farm:
        builds = Builds(farm.connection)
        whole = find_build(farm, build)
        one, attempts = seen_build(farm.caller, whole), seen_attempts(farm.caller, whole, builds.attempts(build))
        open_to = readable(farm.caller, whole)
        files = builds.files(build) if open_to else ()
        story = _story(Events(farm.connection), build) if open_to else ()
        lack = lack_of(farm, whole)
        job = None
        with suppress(NotQueued):
            job = builds.job(build)
    if as_json:
        print_json(
            {
                **document(one),
                "job": job and {"id": job.id, "manual_score": job.manual_score, "assigned": job.assigned},
                "attempts": [attempt_document(each) for each in attempts],
                "files": files_document(files),
                "lacks": [] if lack is None else lack.documents,
                "events": plain(story),
            }
        )
        return
    facts = Facts()
    facts.add("build", f"{one.id}: {one.source} {one.version}".rstrip())
    facts.add("for", f"{one.distroarchseries} {one.pocket}{', arch-indep packages too' if one.arch_indep else ''}")
    facts.add("archive", _place(one))
    facts.add("state", state(one.state))
    if one.why:
        facts.add("why", one.why)
    if not one.state.final:
        facts.add("job", job_words(one, job))
    if lack is not None:
        facts.add("waits for", lack.words)
    facts.add("created", f"{when(one.created)} ({since(one.created)} ago)")
    if one.builder:
        facts.add("builder", one.builder)
    if one.limits != Limits():
        facts.add("own limits", words(one.limits))
    if attempts:
        facts.add("limits", words(attempts[-1].limits, attempts[-1].limits_from))
    if one.ended:
        facts.add("ended", when(one.ended) + (f", took {took(one)}" if one.started else ""))
    facts.show()
    print_attempts(attempts)
    if files:
        console().print()
        print_files(files, None)
    print_story(story)


def _story(log: Events, build: int) -> tuple[Event, ...]:
    """Return what happened to a build last, what people said of its jobs (score, assignment) included."""
    jobs = [one for one in log.about_build(build) if one.startswith("job:")]
    said = (one for one in log.latest(_MOST_SAID, subjects=jobs) if _SAID.intersection(one.what.split(", ")))
    return tuple(sorted((*log.story(f"build:{build}"), *said), key=lambda one: one.id))[-LAST:]


@app.command("log")
def show_log(
    context: typer.Context,
    build: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the build has ended.")] = False,
) -> None:
    """Print a build's log; with --follow, as it is written.

    With --follow the exit code is 1 if the build fails.
    """
    with open_farm(context) as farm:
        one = find_build(farm, build)
        farm.require(Action.READ_FILES, one)
        if follow and not one.state.final:
            _say_end(wait_with_words(farm, [build], log=True, quiet=False))
            return
        octets = _whole_log(farm, one)
    if console().is_terminal:
        console().print(log_text(octets), soft_wrap=True)
    else:
        write_log(octets, sys.stdout)


@app.command("files")
def list_files(context: typer.Context, build: Id, output: Output = None, as_json: AsJson = False) -> None:
    """List a build's results, or copy them out."""
    check_output(output)
    with open_farm(context) as farm:
        one = find_build(farm, build)
        farm.require(Action.READ_FILES, one)
        files = Builds(farm.connection).files(build)
        if output is not None and not files:
            raise Failed(f"build {build} has no files: it is {one.state}; `buildd-master build show {build}` says why")
        paths = copy_files(farm, files, output) if output is not None else {}
    if as_json:
        print_json({"build": build, "state": one.state, "files": files_document(files, paths)})
    elif files:
        print_files(files, output)
    else:
        note(f"build {build} has no files: it is {one.state}")


def _place(one: Build) -> str:
    """Return where a build's source is published, and what it asks for."""
    trust = "trusted" if one.trusted else "untrusted"
    asks = f", asks for {' '.join(one.tags)}" if one.tags else ""
    return f"{one.archive} ({trust}), {one.component}, {one.urgency}{asks}"


def _whole_log(farm: Farm, build: Build) -> bytes:
    """Return the log of the newest attempt that has one: live, or the librarian's.

    Raises:
        Failed: there is none.
    """
    attempts = Builds(farm.connection).attempts(build.id)
    for attempt in reversed(attempts):
        if attempt.log is not None:
            return kept_log(farm.librarian, Library(farm.connection).alias(attempt.log))
        with LiveLog(log_path(farm, attempt.id)) as reader:
            octets = b"".join(iter(reader.more, b""))
        if octets:
            return octets
    why = "it has not begun" if not attempts else "no attempt left one"
    raise Failed(f"build {build.id} has no log: {why}; it is {build.state}")


def _say_end(ended: tuple[Build, ...]) -> None:
    for one in ended:
        console(err=True).print(end_words(one), soft_wrap=True)
    error = failure(ended)
    if error is not None:
        raise error

"""`buildd-master build rescore` and `assign`: what an operator says of the job of a build, as long as that lives."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from actors.core.dispatch.pair_rules import incapable
from actors.core.dispatch.score import score as score_of
from actors.core.people.roles import Action
from cli.errors import BadInput
from cli.farm import open_farm
from cli.jobs.explaining import why_waiting
from cli.options import completing
from cli.options.finding import find_build
from cli.options.saying_why import Why
from cli.terminal.output import AsJson, note, print_json, say
from storage.builders import Builders
from storage.builds import Builds

app = typer.Typer()

Id = Annotated[int, typer.Argument(metavar="BUILD", help="Number of the build.", show_default=False)]


@app.command("rescore", context_settings={"ignore_unknown_options": True})  # a score may be negative
def rescore_build(
    context: typer.Context,
    build: Id,
    score: Annotated[
        int | None, typer.Argument(metavar="SCORE", help="Instead of its own, before age.", show_default=False)
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Its own score again.")] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Give the job of a build another score.

    It stands until the build ends, or --default takes it back.
    """
    if (score is None) != default:
        raise BadInput("which score? give a number, or --default for its own")
    with open_farm(context) as farm:
        one = find_build(farm, build)
        with farm.acting(why or f"build rescore {build} {'--default' if default else score}", Action.CHANGE_SCORES):
            job = Builds(farm.connection).rescore(one.id, score)
        own = score_of(replace(job, manual_score=None))
    if as_json:
        print_json({"build": build, "job": job.id, "score": score_of(job).base, "manual": job.manual_score is not None})
    elif default:
        say(f"build {build} (job {job.id}) has its own score again: {own}")
    else:
        say(f"build {build} (job {job.id}) has score {score} instead of its own ({own})")


@app.command("assign")
def assign_build(
    context: typer.Context,
    build: Id,
    builder: Annotated[
        str | None,
        typer.Argument(
            metavar="BUILDER",
            help="The only one that may have it.",
            autocompletion=completing.builders,
            show_default=False,
        ),
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Whoever may have it, as without an assignment.")] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Let only one builder have a build, in manual mode or not.

    It stands until the build ends, or --nobody takes it back.
    """
    if (builder is None) != nobody:
        raise BadInput("to whom? give the name of a builder, or --nobody")
    with open_farm(context) as farm:
        farm.require(Action.CHANGE_SCORES)
        one = find_build(farm, build)
        if builder is not None:
            could = incapable(
                replace(Builds(farm.connection).job(one.id), assigned=None), Builders(farm.connection).get(builder)
            )
            if could is not None:
                raise BadInput(f"builder {builder} could never build it: it {could.words} ({could.code})")
        with farm.acting(why or f"build assign {build} {builder or '--nobody'}", Action.CHANGE_SCORES):
            job = Builds(farm.connection).assign(one.id, builder)
        waits = why_waiting(farm, one.id)
    if as_json:
        print_json({"build": build, "job": job.id, "assigned": job.assigned, "builder": job.builder})
        return
    say(f"build {build} (job {job.id}) " + (f"goes to {builder} only" if builder else "goes to whoever may have it"))
    if waits:
        note(waits)
    elif job.builder not in {None, builder} and builder:
        note(f"it goes on on {job.builder}: `buildd-master build give-back {build}` takes it from there")

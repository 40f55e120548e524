"""`buildd-master queue` and `explain`: what waits, and why; the answers are `actors.core.dispatch.explain`'s."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from actors.core.dispatch.explain import BuilderExplanation, Explanation
from actors.core.dispatch.reasons import Reason
from actors.core.people.private import seen_explanation
from cli.errors import BadInput
from cli.farm import open_farm
from cli.jobs.explaining import in_short, snapshot
from cli.jobs.lacking import Lack, lack_behind, show_lack
from cli.options import completing
from cli.terminal.output import AsJson, console, counted, in_local_time, note, print_json, say, since, state
from cli.terminal.tables import Rows
from storage.errors import UnknownBuilder, UnknownJob
from storage.records import Job


def queue(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List the jobs that run and wait, and why they wait.

    Waiting jobs stand in the order they will be dispatched.
    """
    with open_farm(context) as farm:
        seen = snapshot(farm)
    total = len(seen.in_order)
    found = (seen.explain(job.id) for job in seen.in_order[:limit])
    told = [seen_explanation(farm.caller, one) for one in found if one is not None]
    if as_json:
        print_json({"jobs": [_job_document(one) for one in told], "total": total})
        return
    rows = Rows(
        *("POS", "JOB", "BUILD", "SOURCE", "FOR", "SCORE", "SINCE", "WHERE, OR WHY NOT"),
        right=("POS", "JOB", "BUILD", "SCORE"),
        fold=("WHERE, OR WHY NOT",),
        less=("SINCE", "SCORE", "BUILD"),
    )
    for one in told:
        job = one.job
        begun = job.buildstart or job.created
        where = (
            Text(in_short(one)) if one.position is not None else Text.assemble(state(job.state), f" on {job.builder}")
        )
        rows.add(
            str(one.position or ""),
            str(job.id),
            str(job.build),
            f"{job.source} {job.version}".rstrip(),
            job.distroarchseries,
            str(one.score.base),
            since(begun),
            where,
        )
    rows.show("the queue is empty")
    if total > limit:
        note(f"{total - limit} more jobs: --limit shows them")


def explain_job(
    context: typer.Context,
    job: Annotated[
        int | None, typer.Argument(metavar="JOB", help="Number of the job, as `queue` shows it.", show_default=False)
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            "--builder",
            metavar="NAME",
            help="Why this builder is idle instead.",
            autocompletion=completing.builders,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say why a job is not building, or why a builder is idle.

    Of a job: its place in the queue, its own reason, and one line for each builder; of one that is gone because its
    build waits for dependencies, which they are.  Of a builder: what keeps it from work, and what it could take.
    """
    if (job is None) == (builder is None):
        raise BadInput("explain what? give the number of a job, or --builder NAME")
    with open_farm(context) as farm:
        seen = snapshot(farm)
        found = None if job is None else seen.explain(job)
        lack = lack_behind(farm, job) if job is not None and found is None else None
    if builder is not None:
        idle = seen.explain_builder(builder)
        if idle is None:
            raise UnknownBuilder(builder)
        _show_builder(idle, as_json=as_json)
    elif job is not None:
        if lack is not None:
            _show_lack(lack, as_json=as_json)
            return
        if found is None:
            raise _gone(seen.jobs, job)
        _show_job(seen_explanation(farm.caller, found), as_json=as_json)


def _show_lack(lack: Lack, *, as_json: bool) -> None:
    if as_json:
        one = lack.build
        print_json({"job": None, "build": one.id, "state": one.state, "why": one.why, "lacks": lack.documents})
    else:
        show_lack(lack)


def _show_job(found: Explanation, *, as_json: bool) -> None:
    if as_json:
        print_json(_job_document(found))
        return
    it = found.job
    console().print(
        Text.assemble(
            (f"job {it.id}", "bold"),
            f": build {it.build}, {f'{it.source} {it.version}'.rstrip()} for {it.distroarchseries} {it.pocket}",
        )
    )
    say(
        f"{'trusted' if it.trusted else 'untrusted'}, {it.archive}, waiting since {since(it.created)}; score {found.score}"
    )
    if found.position is None:
        console().print(Text.assemble("it does not wait: ", state(it.state), f" on {it.builder}"))
        return
    say(f"position {found.position} of {found.queue_length} for {it.family}")
    if found.job_reason is not None:
        say(f"not dispatched to anybody: {in_local_time(found.job_reason.words)} ({found.job_reason.code})")
    elif found.eligible_now is not None:
        say(f"goes to {found.eligible_now} now")
    rows = Rows("BUILDER", "REASON", "IN WORDS", fold=("IN WORDS",))
    for answer in found.builders:
        why = answer.reason
        words = in_local_time(why.words) if why else "would take it now"
        rows.add(answer.builder, why.code.value if why else "none", words)
    rows.show("no builders are registered")


_MOST_SHOWN = 10  #: jobs that a builder could take


def _show_builder(idle: BuilderExplanation, *, as_json: bool) -> None:
    builder = idle.view.builder
    if as_json:
        print_json(
            {
                "builder": builder.name,
                "state": idle.view.state,
                "job": idle.view.job,
                "reason": _reason(idle.reason),
                "gets": idle.gets and idle.gets.id,
                "could_take": [job.id for job in idle.could_take],
                "refused": dict(idle.refused),
            }
        )
        return
    serves = f"{' '.join(builder.families)}, {'trusted' if builder.trusted else 'untrusted'} code only"
    tags = [*builder.tags, *(f"{tag} (restricted)" for tag in builder.restricted_tags)]
    console().print(
        Text.assemble((f"builder {builder.name}", "bold"), f": {serves}{', tags ' if tags else ''}{', '.join(tags)}")
    )
    if idle.gets is not None:
        say(f"gets job {idle.gets.id} now: {idle.gets.source} {idle.gets.version}".rstrip())
    elif idle.reason is not None:
        say(f"gets nothing: {in_local_time(idle.reason.words)} ({idle.reason.code})")
    elif idle.could_take:
        say("is ready")
    else:
        say("is ready, and nothing waits that it could take")
    if idle.could_take:
        say(f"could take {_jobs(len(idle.could_take))}, best first:")
        rows = Rows("JOB", "BUILD", "SOURCE", "FOR", right=("JOB", "BUILD"))
        for job in idle.could_take[:_MOST_SHOWN]:
            rows.add(str(job.id), str(job.build), f"{job.source} {job.version}".rstrip(), job.distroarchseries)
        rows.show("")
    for code, number in idle.refused:
        say(f"can't take {_jobs(number)}: {code}")


def _jobs(number: int) -> str:
    return counted(number, "waiting job")


def _gone(jobs: tuple[Job, ...], job: int) -> UnknownJob | BadInput:
    """Return the error for a job that is not in the queue; it may be a build's number."""
    mine = next((one for one in jobs if one.build == job), None)
    if mine is not None:
        return BadInput(f"no job {job}, but build {job} has job {mine.id}: `buildd-master explain {mine.id}`")
    return UnknownJob(job)


def _job_document(one: Explanation) -> dict[str, object]:
    job = one.job
    return {
        "job": job.id,
        "build": job.build,
        "source": job.source,
        "version": job.version,
        "distroarchseries": job.distroarchseries,
        "pocket": job.pocket,
        "archive": job.archive,
        "family": job.family,
        "trusted": job.trusted,
        "private": job.private,
        "tags": job.tags,
        "assigned": job.assigned,
        "state": job.state,
        "builder": job.builder,
        "created": job.created,
        "buildstart": job.buildstart,
        "position": one.position,
        "queue_length": one.queue_length,
        "score": one.score.base,
        "score_parts": str(one.score),
        "reason": _reason(one.job_reason),
        "eligible_now": one.eligible_now,
        "builders": [{"builder": each.builder, "reason": _reason(each.reason)} for each in one.builders],
    }


def _reason(reason: Reason | None) -> dict[str, object] | None:
    return None if reason is None else {"code": reason.code, "words": reason.words, "facts": dict(reason.facts)}

"""`buildd-master status`, `queue`, `explain`, `check`: is the farm healthy, what is stuck, and why."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.text import Text

from actors.core.explain import Explanation, explain
from actors.core.reasons import BuilderView, Reason
from actors.settings import Settings
from cli.builders import state_of
from cli.errors import Failed
from cli.explaining import in_short, snapshot, unexplained
from cli.farm import Farm, open_farm
from cli.output import AsJson, console, note, plain, print_json, say, since, state, warn
from cli.tables import Facts, Rows
from storage.builders import Builders
from storage.certificates import Certificates, expiring, warning
from storage.check import check as check_invariants
from storage.errors import UnknownJob
from storage.records import Job

_MOST_LISTED = 20  #: jobs that `status` looks at for a reason


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say in one glance how the farm is: builders, queue, database."""
    with open_farm(context) as farm:
        jobs, views = snapshot(farm)
        runtimes = {one.builder: one for one in Builders(farm.connection).runtimes()}
        master = running_master(farm.settings)
        waiting = [job for job in jobs if job.builder is None]
        stuck = _stuck(jobs, views, waiting)
        version = farm.connection.info.server_version
        now = datetime.now(UTC)
        warnings = [warning(one, now) for one in expiring(Certificates(farm.connection).all(), now)]
    states = Counter(state_of(view.builder, runtimes.get(view.builder.name)) for view in views)
    families = sorted({job.family for job in jobs} | {family for view in views for family in view.builder.families})
    if as_json:
        print_json(
            {
                "master": {"running": master is not None, "pid": master},
                "builders": {"all": len(views), "ok": sum(view.builder.builderok for view in views), "states": states},
                "queue": {
                    "building": len(jobs) - len(waiting),
                    "waiting": len(waiting),
                    "stuck": stuck,
                    "families": {family: _family(family, jobs, views) for family in families},
                },
                "warnings": warnings,
                "database": {"where": _database(farm), "server_version": version},
                "state_directory": farm.settings.state_directory,
            }
        )
        return
    _print_glance(jobs, views, waiting, stuck)
    if master is None and not farm.settings.database:
        console().print(
            Text("no master runs: nothing is dispatched; start it with `buildd-master up`", style="#D55E00")
        )
    rows = Rows("FAMILY", "BUILDERS", "OK", "BUILDING", "WAITING", right=("BUILDERS", "OK", "BUILDING", "WAITING"))
    for family in families:
        rows.add(family, *(str(number) for number in _family(family, jobs, views).values()))
    rows.show("no builders and no jobs yet")
    console().print()
    facts = Facts()
    numbers = [Text.assemble(f"{number} ", state(name)) for name, number in states.items()]
    facts.add("builders", Text(" · ").join(numbers) if numbers else "none: see `buildd-master builder add --help`")
    facts.add("master", f"runs (pid {master})" if master else "not seen on this machine")
    facts.add("database", f"{_database(farm)} (PostgreSQL {version // 10000})")
    facts.add("state", str(farm.settings.state_directory))
    facts.show()
    for one in warnings:
        warn(one)


def queue(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List the jobs that run and wait, and why they wait.

    Waiting jobs stand in the order they will be dispatched.
    """
    with open_farm(context) as farm:
        jobs, views = snapshot(farm)
    told = [found for job in jobs if (found := explain(jobs, views, job.id)) is not None]
    told.sort(key=lambda one: (one.position is not None, one.job.family, one.position or 0, one.job.id))
    if as_json:
        print_json({"jobs": [_job_document(one) for one in told[:limit]], "total": len(told)})
        return
    rows = Rows(
        *("POS", "JOB", "BUILD", "SOURCE", "FOR", "SCORE", "SINCE", "WHERE, OR WHY NOT"),
        right=("POS", "JOB", "BUILD", "SCORE"),
        fold=("WHERE, OR WHY NOT",),
        less=("SINCE", "SCORE", "BUILD"),
    )
    for one in told[:limit]:
        job = one.job
        begun = job.buildstart or job.created
        where = (
            Text(in_short(one)) if one.position is not None else Text.assemble(state(job.state), f" on {job.builder}")
        )
        rows.add(
            str(one.position or ""),
            str(job.id),
            str(job.build),
            f"{job.source} {job.version}",
            job.distroarchseries,
            str(one.score.base),
            since(begun),
            where,
        )
    rows.show("the queue is empty")
    if len(told) > limit:
        note(f"{len(told) - limit} more jobs: --limit shows them")


def explain_job(
    context: typer.Context,
    job: Annotated[
        int, typer.Argument(metavar="JOB", help="Number of the job, as `queue` shows it.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Say why a job is not building.

    Its place in the queue, its own reason, and one line for each builder.
    """
    with open_farm(context) as farm:
        jobs, views = snapshot(farm)
        found = explain(jobs, views, job)
        if found is None:
            raise _gone(farm, job)
    if as_json:
        print_json(_job_document(found))
        return
    it = found.job
    console().print(
        Text.assemble(
            (f"job {it.id}", "bold"),
            f": build {it.build}, {it.source} {it.version} for {it.distroarchseries} {it.pocket}",
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
        say(f"not dispatched to anybody: {found.job_reason.words} ({found.job_reason.code})")
    elif found.eligible_now is not None:
        say(f"goes to {found.eligible_now} now")
    rows = Rows("BUILDER", "REASON", "IN WORDS", fold=("IN WORDS",))
    for answer in found.builders:
        why = answer.reason
        rows.add(answer.builder, why.code.value if why else "none", why.words if why else "would take it now")
    rows.show("no builders are registered")


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Check every invariant, and every byte in the librarian.

    The exit code is 1 if anything is wrong.
    """
    with open_farm(context) as farm:
        violations = check_invariants(farm.connection, farm.librarian, unexplained)
        damages = tuple(farm.librarian.verify())
    if as_json:
        print_json({"violations": plain(violations), "damages": plain(damages)})
    else:
        for violation in violations:
            console().print(Text.assemble(("✘ ", "#D55E00"), f"invariant {violation.number}: {violation.what}"))
            for row in violation.rows:
                say(f"    {row}")
        for damage in damages:
            console().print(Text.assemble(("✘ ", "#D55E00"), f"librarian: {damage.path} is damaged ({damage.found})"))
    if violations or damages:
        raise Failed(f"{len(violations)} invariants do not hold, {len(damages)} files are damaged", answered=True)
    if not as_json:
        say("all invariants hold, and every file in the librarian is what it should be")


def running_master(settings: Settings) -> int | None:
    """Return the pid of the master that runs in this state directory; None if none does."""
    try:
        pid = int(json.loads(settings.run_file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def _gone(farm: Farm, job: int) -> UnknownJob | Failed:
    """Return the error for a job that is not in the queue; it may be a build's number."""
    mine = next((one for one in snapshot(farm)[0] if one.build == job), None)
    if mine is not None:
        return Failed(f"no job {job}, but build {job} has job {mine.id}: `buildd-master explain {mine.id}`")
    return UnknownJob(job)


def _stuck(jobs: tuple[Job, ...], views: tuple[BuilderView, ...], waiting: list[Job]) -> dict[str, int]:
    """Return how many of the waiting jobs can't start at all, by reason code."""
    found = (explain(jobs, views, job.id) for job in waiting[:_MOST_LISTED])
    return Counter(one.job_reason.code.value for one in found if one is not None and one.job_reason is not None)


def _family(family: str, jobs: tuple[Job, ...], views: tuple[BuilderView, ...]) -> dict[str, int]:
    serving = [view.builder for view in views if family in view.builder.families]
    mine = [job for job in jobs if job.family == family]
    return {
        "builders": len(serving),
        "ok": sum(builder.builderok for builder in serving),
        "building": sum(job.builder is not None for job in mine),
        "waiting": sum(job.builder is None for job in mine),
    }


def _print_glance(
    jobs: tuple[Job, ...], views: tuple[BuilderView, ...], waiting: list[Job], stuck: dict[str, int]
) -> None:
    healthy = sum(view.builder.builderok for view in views)
    line = f"{healthy} of {len(views)} builders ok · {len(jobs) - len(waiting)} building · {len(waiting)} waiting"
    if stuck:
        line += f", {sum(stuck.values())} of them can't start ({', '.join(sorted(stuck))})"
    console().print(Text(line, style="bold"))


def _database(farm: Farm) -> str:
    words = conninfo_to_dict(farm.dsn)
    kind = "given" if farm.settings.database else "embedded"
    return f"{kind}: {words.get('dbname') or ''} at {words.get('host') or 'the local socket'}"


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

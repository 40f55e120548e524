"""`buildd-master status` and `check`: is the farm healthy?  What is stuck, and why: `cli.jobs.queue`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.text import Text

from actors.core.attempts.own_disk import way_out
from actors.core.dispatch.pair_rules import BuilderView
from actors.core.people.roles import Action
from actors.settings import Settings
from cli.builders.commands import state_of
from cli.errors import Failed
from cli.farm import Farm, open_farm
from cli.jobs.explaining import snapshot, unexplained
from cli.terminal.output import AsJson, console, counted, plain, print_json, say, state, warn
from cli.terminal.tables import Facts, Rows
from storage.access.certificates import Certificates, expiring, warning
from storage.builders import Builders
from storage.check import check as check_invariants
from storage.records import Job


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say in one glance how the farm is: builders, queue, database."""
    with open_farm(context) as farm:
        seen = snapshot(farm)
        jobs, views = seen.jobs, seen.builders
        runtimes = {one.builder: one for one in Builders(farm.connection).runtimes()}
        master = running_master(farm.settings)
        waiting = [job for job in jobs if job.builder is None]
        stuck = {code.value: number for code, number in seen.stuck.items()}
        version = farm.connection.info.server_version
        now = datetime.now(UTC)
        warnings = [warning(one, now) for one in expiring(Certificates(farm.connection).all(), now)]
    states = Counter(state_of(view.builder, runtimes.get(view.builder.name)) for view in views)
    families = sorted({job.family for job in jobs} | {family for view in views for family in view.builder.families})
    if as_json:
        print_json(
            {
                "master": {"running": master is not None, "pid": master},
                "paused": seen.farm.paused or None,
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
    if seen.farm.paused:
        words = f"dispatch is paused: {' '.join(seen.farm.paused.split())}; {way_out(seen.farm.paused)}"
        console().print(Text(words, style="#D55E00"), soft_wrap=True)
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


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Check every invariant, and every byte in the librarian.

    The exit code is 1 if anything is wrong.
    """
    with open_farm(context) as farm:
        farm.require(Action.READ_ALL)
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
        raise Failed(
            f"found {counted(len(violations), 'broken invariant')} and {counted(len(damages), 'damaged file')}",
            answered=True,
        )
    if not as_json:
        say("all invariants hold, and every file in the librarian is what it should be")


def running_master(settings: Settings) -> int | None:
    """Return the pid of the master that runs in this state directory; None if none does."""
    try:
        pid = int(json.loads(settings.run_file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


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

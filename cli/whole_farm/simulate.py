"""`buildd-master simulate`: a whole farm in virtual time, drawn by seed or read from the real one.

The only door from the product to `simulation/`, which is loaded when the command runs and not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import BadInput, Failed
from cli.farm import open_farm
from cli.given import operators_only
from cli.terminal.output import AsJson, counted, duration, note, print_json, say
from cli.terminal.progress import percent
from cli.terminal.tables import Rows
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.errors import UnknownFamily
from storage.history import History
from storage.series import Series

if TYPE_CHECKING:
    from simulation.run import Run
    from simulation.scenario.capacity import Added, KnownFarm
    from simulation.scenario.plan import Plan

_DAYS = 14  #: of the real farm's past that are looked at
_MOST = 20_000  #: past builds
_ADD = re.compile(r"(?P<family>[a-z0-9][a-z0-9+._-]*)(?:/(?P<side>trusted|untrusted))?=(?P<count>[0-9]{1,4})")


class Faults(StrEnum):
    """How much goes wrong; `simulation.scenario.trouble` has the numbers."""

    NONE = "none"
    LIGHT = "light"
    HEAVY = "heavy"


def simulate(
    context: typer.Context,
    builders: Annotated[int, typer.Option(min=1, max=5000, help="Builders of a farm that is drawn.")] = 20,
    jobs: Annotated[int, typer.Option(min=0, max=1_000_000, help="Jobs that come.")] = 1000,
    hours: Annotated[float, typer.Option(min=0.1, max=10_000, help="In which they come, and things go wrong.")] = 24.0,
    minutes: Annotated[float, typer.Option(min=0.01, max=10_000, help="That a build takes in the middle.")] = 8.0,
    faults: Annotated[Faults, typer.Option(help="How much goes wrong.")] = Faults.NONE,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same story.")] = 1,
    from_database: Annotated[
        bool, typer.Option("--from-database", help="Look ahead from the real farm as it is, which is only read.")
    ] = False,
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="FAMILY=N", help="How would it be with so many builders more?  Also FAMILY/untrusted=N."),
    ] = None,
    validate: Annotated[
        bool | None,
        typer.Option(
            help="Look at the invariants after every step; else only if something goes wrong.", show_default=False
        ),
    ] = None,
    story: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what happened: a JSON line each.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw jobs and builders over time.", show_default=False)
    ] = None,
    shrink: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look for the shortest story of a failure for so long.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Let a farm live in virtual time: find bugs, plan capacity.

    The farm's own cores run, on a virtual clock and network.  A farm that breaks an invariant is a bug: it ends with
    exit code 1 and the shortest story that was found.
    """
    from simulation.run import draw, run  # noqa: PLC0415 - for nobody else
    from simulation.scenario.workload import FAMILIES  # noqa: PLC0415

    added = tuple(_added(one) for one in add or ())
    if from_database:
        if faults is not Faults.NONE:
            raise BadInput("--from-database looks ahead from a farm in which nothing goes wrong: leave --faults out")
        operators_only(context, "simulate --from-database")
        plan, families = _plan_of_real(context, seed, hours)
    else:
        families = sorted(FAMILIES)
        plan = draw(seed=seed, builders=builders, jobs=jobs, hours=hours, faults=faults.value, minutes=minutes)
    for more in added:
        if more.family not in families:
            raise UnknownFamily(more.family, known=families)
    if plot is not None:
        with _writing("--plot", plot):  # rather now than after minutes
            plot.touch()
    look = faults is not Faults.NONE if validate is None else validate
    what = f"{plan.hours:g} h of {counted(len(plan.builders), 'builder')} and {counted(len(plan.jobs), 'job')}"
    with _story_in(story) as write, _hours(what, plan) as told:
        found = run(plan, validate=look, write=write, progress=told)
    then = None
    if added:
        with _hours("the same with what is added", plan) as told:
            then = run(_with(plan, added), validate=look, progress=told)
    if plot is not None:
        from simulation.plot import drawing  # noqa: PLC0415

        plot.write_text(drawing(found), encoding="utf-8")
    _show(found, then, as_json=as_json)
    for one in (found, then):
        if one is not None and one.failure is not None:
            _tell_failure(one, shrink)


@contextmanager
def _hours(what: str, plan: Plan) -> Iterator[Callable[[float], None]]:
    with percent(what) as tell:
        yield lambda hours: tell(100.0 * hours / plan.hours, f"{hours:.1f} h")


def _added(text: str) -> Added:
    from simulation.scenario.capacity import Added  # noqa: PLC0415 - for nobody else

    given = _ADD.fullmatch(text)
    if given is None:
        raise BadInput(f"--add {text}: give a processor family and a number, as in arm64=10 or arm64/untrusted=10")
    side = given["side"]
    return Added(given["family"], int(given["count"]), None if side is None else side == "trusted")


def _with(plan: Plan, added: tuple[Added, ...]) -> Plan:
    from simulation.scenario.capacity import with_added  # noqa: PLC0415 - for nobody else

    return with_added(plan, added)


def _plan_of_real(context: typer.Context, seed: int, hours: float) -> tuple[Plan, list[str]]:
    """Return the plan, and the processor families that the farm knows."""
    from simulation.scenario.capacity import KnownFarm, planned  # noqa: PLC0415 - for nobody else

    with open_farm(context) as farm, farm.connection.transaction():
        farm.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        history = History(farm.connection)
        families = [one.name for one in Series(farm.connection).families()]
        known = KnownFarm(
            now=datetime.now(UTC),
            builders=Builders(farm.connection).all(),
            jobs=BuildQueue(farm.connection).jobs(),
            past=history.past_builds(_DAYS, _MOST),
            arrivals=history.arrivals(_DAYS),
        )
    if not known.builders:
        raise BadInput("the farm has no builders: `buildd-master builder add` registers one")
    _say_what_is_known(known)
    return planned(known, seed=seed, hours=hours), families


def _say_what_is_known(known: KnownFarm) -> None:
    out = sum(not one.builderok or one.manual for one in known.builders)
    a_day = sum(24 * one.builds / max(one.hours, 1.0) for one in known.arrivals)
    note(
        f"the farm as it is: {counted(len(known.builders), 'builder')} ({out} of them not ok or manual, left out),"
        f" {counted(len(known.jobs), 'job')}, {a_day:.0f} builds a day, times of {len(known.past)} builds"
    )


@contextmanager
def _story_in(path: Path | None) -> Iterator[Callable[[Mapping[str, object]], object] | None]:
    if path is None:
        yield None
        return
    from simulation.observers.story import as_text  # noqa: PLC0415 - for nobody else

    with _writing("--story", path):
        file = path.open("w", encoding="utf-8")
    with file:
        yield lambda line: file.write(f"{as_text(line)}\n")


@contextmanager
def _writing(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{option} {path} can't be written: {error.strerror}") from error


def _show(found: Run, then: Run | None, *, as_json: bool) -> None:
    if as_json:
        document = _document(found)
        print_json(document if then is None else {**document, "with_added": _document(then)})
        return
    summary = found.summary
    plan = found.plan
    faults = f" and {counted(len(plan.faults), 'fault')}" if plan.faults else ""
    say(
        f"{plan.hours:g} h with {counted(len(plan.builders), 'builder')}{faults}, simulated in {found.seconds:.1f} s:"
        f" {found.builds_per_second:.0f} builds a second"
    )
    sums = Rows("WHAT", "NOW", *(("WITH ADDED",) if then else ()), right=("NOW", "WITH ADDED"))
    for name, of in _SUMS.items():
        sums.add(name, of(summary), *((of(then.summary),) if then else ()))
    sums.show()
    say("")
    right = ("BUSY", "GIVEN AWAY", "WAIT P50", "P99", "WORST", "BUSY THEN", "P50 THEN", "P99 THEN")
    rows = Rows("FAMILY", *right[:5], *(right[5:] if then else ()), right=right)
    for family, waits in summary.families.items():
        cells = [f"{waits.busy:.0%}", str(waits.given), *map(duration, (waits.p50, waits.p99, waits.worst))]
        after = then.summary.families.get(family) if then else None
        if after is not None:
            cells += [f"{after.busy:.0%}", duration(after.p50), duration(after.p99)]
        rows.add(family, *cells)
    rows.show()


_SUMS: Mapping[str, Callable[[Any], str]] = {
    "builds": lambda one: str(one.builds),
    "dispatched": lambda one: str(one.dispatched),
    "finished": lambda one: str(one.finished),
    "lost": lambda one: str(one.lost),
    "mixed up": lambda one: str(one.mixed_up),
    "accepted twice": lambda one: str(one.double_accepted),
    "built twice at once": lambda one: str(one.overlaps),
    "longest wait": lambda one: duration(one.worst_wait_s),
    "utilisation": lambda one: f"{one.utilisation:.0%}",
}


def _document(found: Run) -> dict[str, object]:
    failure = None if found.failure is None else asdict(found.failure)
    plan = found.plan
    return {
        "seed": plan.seed,
        "builders": len(plan.builders),
        "hours": plan.hours,
        "faults": len(plan.faults),
        **asdict(found.summary),
        "failure": failure,
        "simulated_hours": round(found.hours, 3),
        "seconds": round(found.seconds, 3),
        "builds_per_second": round(found.builds_per_second, 1),
    }


def _tell_failure(failed: Run, seconds: float) -> None:
    """Print the shortest story of a failure, and end."""
    from simulation.shrink import shortest_story, shrink, told  # noqa: PLC0415 - for nobody else

    failure = failed.failure
    assert failure is not None  # noqa: S101 - asked before
    note(f"looking for the shortest story of it, for {seconds:g} s at most")
    shortest = shrink(failed, seconds)
    plan = shortest.plan
    note(
        f"enough are {counted(len(plan.builders), 'builder')}, {counted(len(plan.jobs), 'job')},"
        f" {counted(len(plan.faults), 'fault')} and {counted(len(plan.deeds), 'deed')}:"
    )
    for line in shortest_story(shortest):
        note(told(line))
    raise Failed(f"seed {plan.seed}: {failure.text}", answered=True)

"""Makes the smallest plan of one that fails: fewer faults, deeds, jobs, builders, as long as it fails the same way.

What is left out never changes what is drawn for the rest (`simulation.scenario.chance`), so most of a plan can
simply go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from simulation.observers.story import Line
from simulation.run import Failure, Run, run
from simulation.scenario.plan import HOUR, Plan

T = TypeVar("T")

_MORE: Final = 0.01  #: hours after the failure


@dataclass(slots=True)
class _Search:
    """The smallest plan so far, and how long to go on."""

    best: Run
    failure: Failure
    until: float  # monotonic seconds

    def fails(self, plan: Plan) -> bool:
        """Try a smaller plan; keep it if it fails the same way."""
        if time.monotonic() > self.until:
            return False
        tried = run(plan, validate=True)
        if tried.failure is None or tried.failure.kind != self.failure.kind:
            return False
        self.best = tried
        return True


def shrink(failed: Run, seconds: float = 60.0) -> Run:
    """Return the run of the smallest plan found that fails as `failed` did.

    Args:
        failed: with a failure.
        seconds: after which the smallest so far is good enough.
    """
    if failed.failure is None:
        return failed
    search = _Search(failed, failed.failure, time.monotonic() + seconds)
    _cut_the_end(search)
    before = None
    while before is not search.best and time.monotonic() < search.until:
        before = search.best
        _fewer(search, before.plan.faults, lambda plan, kept: replace(plan, faults=kept))
        _fewer(search, search.best.plan.deeds, lambda plan, kept: replace(plan, deeds=kept))
        _fewer(search, search.best.plan.jobs, lambda plan, kept: replace(plan, jobs=kept))
        _fewer(search, search.best.plan.builders, _with_builders)
    return search.best


def _cut_the_end(search: _Search) -> None:
    """Leave out what was planned for after the failure."""
    plan, at = search.best.plan, search.failure.at
    search.fails(
        replace(
            plan,
            faults=tuple(one for one in plan.faults if one.at <= at),
            deeds=tuple(one for one in plan.deeds if one.at <= at),
            jobs=tuple(one for one in plan.jobs if one.at <= at),
            hours=min(plan.hours, at / HOUR + _MORE),
        )
    )


def _fewer(search: _Search, things: Sequence[T], with_only: Callable[[Plan, tuple[T, ...]], Plan]) -> None:
    """Leave out halves, quarters, ... of some things (delta debugging)."""
    kept, parts = tuple(things), 2
    while kept:
        size = -(-len(kept) // parts)
        for begin in range(0, len(kept), size):
            fewer = kept[:begin] + kept[begin + size :]
            if search.fails(with_only(search.best.plan, fewer)):
                kept, parts = fewer, max(2, parts - 1)
                break
        else:
            if size == 1:
                return
            parts = min(len(kept), parts * 2)


def _with_builders(plan: Plan, builders: tuple[Any, ...]) -> Plan:
    names = {builder.name for builder in builders}
    faults = tuple(one for one in plan.faults if not one.builder or one.builder in names)
    return replace(plan, builders=builders, faults=faults)


def shortest_story(failed: Run) -> list[Line]:
    """Return the lines of a failed run that touch what failed, and all that went wrong or was done."""
    lines: list[Line] = []
    again = run(failed.plan, validate=True, write=lines.append)
    about = again.failure.about if again.failure is not None else ()
    if not about:
        return lines
    names = {tuple(one.split(":", 1)) for one in about}
    attempts = {line["attempt"] for line in lines if line["what"] == "dispatched" and _touches(line, names)}
    always = {"begun", "fault", "mended", "deed", "undone", "failed", "end"}
    return [
        line for line in lines if line["what"] in always or _touches(line, names) or line.get("attempt") in attempts
    ]


def _touches(line: Mapping[str, object], names: set[tuple[str, ...]]) -> bool:
    return any(str(line.get(kind)) == name for kind, name in names)


def told(line: Mapping[str, object]) -> str:
    """Return a line of a story for people."""
    seconds = float(str(line["at"]))
    clock = f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02}:{seconds % 60:06.3f}"
    rest = "  ".join(f"{key} {value}" for key, value in line.items() if key not in {"at", "what"} and value != "")
    return f"{clock:>12}  {line['what']:<12} {rest}"

"""The simulator's figures in docs/reliability.md: farms by seed, counted from their stories alone.

`make simulate-table` runs it.  Nothing here looks into a farm: what a story doesn't tell is not counted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulation.observers.story import Line
from simulation.recount import recount
from simulation.run import draw, run
from simulation.scenario.plan import Trouble
from tests.chaos.table import percentile, write_into

BEGIN, END = "<!-- simulator: made by `make simulate-table` -->", "<!-- simulator: end -->"
SEEDS: Final = range(1, 21)
BUILDERS, JOBS, HOURS = 12, 300, 6.0
_CAUSED: Final = 120.0  #: seconds after it is over in which the end of an attempt is laid to a fault
_COST: Final = frozenset({"LOST", "BUILDERFAIL", "FENCED"})  #: outcomes that cost an attempt


@dataclass(slots=True)
class Told:
    """What the stories tell of one kind of fault."""

    times: int = 0
    hit: int = 0  #: times that its builder had an attempt
    again: list[float] = field(default_factory=list)  #: seconds from the fault until the job of a lost attempt waits
    goes_on: list[float] = field(
        default_factory=list
    )  #: seconds from its end, if jobs wait then, until one is given away


def count(lines: Sequence[Line], told: defaultdict[str, Told]) -> None:
    """Add what one story tells of its faults."""
    held: dict[str, tuple[str, str]] = {}  # builder → attempt and build
    struck: dict[str, tuple[str, float, float]] = {}  # attempt → fault, when it began and when its time is over
    mended: dict[str, float] = {}  # faults of the farm of which the next dispatch is awaited
    waiting: set[object] = set()  # jobs
    for line in lines:
        at, what = float(str(line["at"])), line["what"]
        if what in {"queued", "waits"}:
            waiting.add(line["job"])
        elif what == "gone":
            waiting.discard(line["job"])
        elif what == "dispatched":
            waiting.discard(line["job"])
            held[str(line["builder"])] = (str(line["attempt"]), str(line["build"]))
            for trouble, since in mended.items():
                told[trouble].goes_on.append(at - since)
            mended.clear()
        elif what == "closed":
            held.pop(str(line["builder"]), None)
            trouble, began, over = struck.pop(str(line["attempt"]), ("", 0.0, -math.inf))
            if line["outcome"] in _COST and at <= over:
                told[trouble].again.append(at - began)
        elif what == "fault":
            trouble, seconds = str(line["trouble"]), float(str(line.get("seconds", 0.0)))
            told[trouble].times += 1
            if "builder" not in line and not seconds and waiting:
                mended[trouble] = at
            attempt, _build = held.get(str(line.get("builder")), ("", ""))
            if attempt:
                told[trouble].hit += 1
                struck[attempt] = (trouble, at, at + seconds + _CAUSED)  # the latest
        elif what == "mended" and "builder" not in line and waiting:
            mended[str(line["trouble"])] = at


def table(stories: Iterable[list[Line]], kinds: Iterable[Trouble] = Trouble) -> str:
    """Return the figures of all stories as Markdown."""
    told: defaultdict[str, Told] = defaultdict(Told)
    sums: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    worst, runs = 0.0, 0
    for lines in stories:
        runs += 1
        count(lines, told)
        counted = recount(lines)
        worst = max(worst, float(counted["worst_wait_s"]))
        sums.update({name: int(counted[name]) for name in ("dispatched", "lost", "mixed_up", "double_accepted")})
        sums["broken"] += any(line["what"] == "failed" for line in lines)
        states = {line["build"]: str(line["state"]) for line in lines if line["what"] == "build"}
        ended.update(states.values())
        sums["deeds"] += sum(line["what"] == "deed" for line in lines)
    summary = {
        "in which an invariant was broken": sums["broken"],
        "jobs": sum(ended.values()),
        "attempts": sums["dispatched"],
        "faults": sum(one.times for one in told.values()),
        "things that people did": sums["deeds"],
        "lost": sums["lost"],
        "mixed up": sums["mixed_up"],
        "accepted twice": sums["double_accepted"],
        "builds ended": ", ".join(f"{state} {times}" for state, times in ended.most_common()),
        "longest wait of a job": f"{worst / 3600:.1f} h",
    }
    head = [f"| {runs} farms of {BUILDERS} builders for {HOURS:g} h | |", "|---|---|"]
    faults = [
        "",
        "| fault | times | hit an attempt | ended it | job waits again: p50 | worst | given away again: p50 | worst |",
    ]
    faults.append("|---|---|---|---|---|---|---|---|")
    faults += [_row(str(kind), told[kind]) for kind in kinds if told[kind].times]
    return "\n".join([*head, *(f"| {name} | {figure} |" for name, figure in summary.items()), *faults]) + "\n"


def _row(name: str, one: Told) -> str:
    of_farm = bool(one.goes_on)
    cells = ["", ""] if of_farm else [str(one.hit), str(len(one.again))]
    return f"| {name} | {one.times} | {' | '.join([*cells, *_times(one.again), *_times(one.goes_on)])} |"


def _times(seconds: list[float]) -> list[str]:
    return [f"{percentile(seconds, part):.1f} s" for part in (50, 100)] if seconds else ["", ""]


def stories(seeds: Iterable[int]) -> Iterable[list[Line]]:
    """Let the farms live, one after the other."""
    for seed in seeds:
        lines: list[Line] = []
        plan = draw(seed=seed, builders=BUILDERS, jobs=JOBS, hours=HOURS, faults="heavy")
        found = run(plan, validate=True, write=lines.append)
        sys.stderr.write(f"seed {seed}: {found.summary.dispatched} attempts in {found.seconds:.1f} s\n")
        yield lines


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--into", type=Path, help="the document between whose marks it goes; else it is printed")
    into = parser.parse_args().into
    figures = table(stories(SEEDS))
    if into is None:
        sys.stdout.write(figures)
    else:
        write_into(into, figures, BEGIN, END)


if __name__ == "__main__":
    main()

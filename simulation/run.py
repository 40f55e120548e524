"""One run of a plan, and what came of it: the simulator's front door.

plan = draw(seed=7, builders=500, jobs=20_000, hours=24.0, faults="heavy")
run(plan, validate=True).summary
"""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulation.observers.ledger import Point, Summary
from simulation.observers.story import Line
from simulation.observers.validator import Broken
from simulation.scenario.plan import Plan
from simulation.scenario.trouble import draw_deeds, draw_faults
from simulation.scenario.workload import MINUTES, draw_builders, draw_jobs
from simulation.world import World

_LOGGER = "buildd_master"


@dataclass(frozen=True, slots=True)
class Failure:
    """What must not happen, and did."""

    kind: str  #: `invariant 3`, `lost`, the name of an exception, ...
    at: float  #: seconds
    text: str
    about: tuple[str, ...] = ()  #: `build:17`, `builder:amd64-003`, ...


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a plan."""

    plan: Plan
    summary: Summary
    failure: Failure | None
    curve: tuple[Point, ...]
    hours: float  #: of the farm's time
    steps: int
    seconds: float  #: of this machine's processor

    @property
    def builds_per_second(self) -> float:
        """Return how many attempts were simulated in a second of the processor."""
        return self.summary.dispatched / self.seconds if self.seconds else 0.0


def draw(
    *,
    seed: int,
    builders: int,
    jobs: int,
    hours: float,
    faults: str = "none",
    minutes: float = MINUTES,
    times: float = 1.0,
) -> Plan:
    """Draw a plan.

    Args:
        seed: the same numbers give the same plan.
        builders: how many.
        jobs: that come within `hours`.
        hours: in which jobs come and things go wrong.
        faults: one of `simulation.scenario.trouble.PROFILES`.
        minutes: that a build takes in the middle.
        times: so many times as often as the profile says things go wrong, and people meddle.
    """
    farm = draw_builders(seed, builders)
    return Plan(
        seed=seed,
        builders=farm,
        jobs=draw_jobs(seed, farm, jobs, hours, minutes),
        hours=hours,
        faults=draw_faults(seed, faults, farm, hours, times=times),
        deeds=draw_deeds(seed, faults, jobs, hours, times=times),
    )


def run(
    plan: Plan,
    *,
    validate: bool = False,
    write: Callable[[Line], object] | None = None,
    progress: Callable[[float], object] | None = None,
) -> Run:
    """Let happen what is planned.

    Args:
        plan: all that happens.
        validate: look at the invariants after every step.
        write: takes the lines of the story.
        progress: called now and then with the hours of the farm that are over.
    """
    began = time.process_time()
    failure = None
    with _log_to(write) as tell, _collecting_seldom():
        world = World(plan, validate=validate, write=write)
        tell(lambda: world.ground.agenda.now)
        try:
            world.run(progress)
        except Broken as broken:
            failure = Failure(f"invariant {broken.number}", broken.at, str(broken), broken.about)
        except Exception as error:  # noqa: BLE001 - a bug of the product is what the simulator looks for
            last = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({last.name}, line {last.lineno} of {last.filename})"
            failure = Failure(type(error).__name__, world.ground.agenda.now, text)
    summary = world.summary()
    if failure is None:
        failure = _failure_at_end(world, summary)
    if failure is not None:
        world.witnesses.note("failed", kind=failure.kind, text=failure.text, about=list(failure.about))
    return Run(
        plan,
        summary,
        failure,
        tuple(world.witnesses.ledger.curve),
        world.ground.agenda.now / 3600.0,
        world.ground.agenda.steps,
        time.process_time() - began,
    )


def _failure_at_end(world: World, summary: Summary) -> Failure | None:
    now = world.ground.agenda.now
    for name in ("lost", "mixed_up", "double_accepted"):
        if getattr(summary, name):
            return Failure(name, now, f"{getattr(summary, name)} builds are {name.replace('_', ' ')}")
    left = [row.build for row in world.ground.rows.table("buildqueue").values()]
    if left and world.plan.faults:  # a farm without trouble may have too little time; this one had time to come to rest
        text = f"{len(left)} builds have not ended {world.plan.settle_hours:g} h after the last trouble"
        return Failure("never built", now, text, tuple(f"build:{build}" for build in left[:3]))
    away = [
        runtime.builder
        for runtime in world.ground.server.builders.runtimes()
        if not runtime.connected and world.plan.faults
    ]
    if away:
        about = tuple(f"builder:{name}" for name in away[:3])
        return Failure("never connected", now, f"{', '.join(away)}: not connected long after the last trouble", about)
    return None


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for garbage in cycles, of which there is little, once in a while only: rows and events are many, and stay."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _log_to(write: Callable[[Line], object] | None) -> Iterator[Callable[[Callable[[], float]], None]]:
    """Have the product's log in the story, or nowhere."""
    logger = logging.getLogger(_LOGGER)
    before: Mapping[str, Any] = {"level": logger.level, "propagate": logger.propagate}
    handler = logging.NullHandler() if write is None else _Teller(write)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1 if write is None else logging.INFO)

    def tell(clock: Callable[[], float]) -> None:
        if isinstance(handler, _Teller):
            handler.clock = clock

    try:
        yield tell
    finally:
        logger.removeHandler(handler)
        logger.propagate = before["propagate"]
        logger.setLevel(before["level"])


class _Teller(logging.Handler):
    """Makes lines of the story of what the product logs."""

    def __init__(self, write: Callable[[Line], object]) -> None:
        super().__init__()
        self.clock: Callable[[], float] = lambda: 0.0
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        line: Line = {"at": round(self.clock(), 4), "what": "log", "level": record.levelname.lower()}
        about = {name: getattr(record, name) for name in ("builder", "build") if getattr(record, name, "")}
        self._write(line | about | {"text": record.getMessage()})

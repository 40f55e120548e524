"""How many builds a second of one core are simulated, and what the simulator weighs: a large farm, no validator."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from simulation.run import draw, run


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was measured."""

    builds_per_second: float  #: attempts, in a second of the processor
    steps_per_build: float  #: things that happened
    farm_hours_per_minute: float
    memory_mb: float  #: of the whole process at its largest, Python included


def measure(builders: int, jobs: int, hours: float, minutes: float, faults: str) -> Simulated:
    """Measure one run of seed 7."""
    found = run(draw(seed=7, builders=builders, jobs=jobs, hours=hours, minutes=minutes, faults=faults))
    if found.failure is not None:
        raise SystemExit(found.failure.text)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Simulated(
        round(found.builds_per_second, 1),
        round(found.steps / found.summary.dispatched, 1),
        round(60 * found.hours / found.seconds, 1),
        round(memory, 1),
    )

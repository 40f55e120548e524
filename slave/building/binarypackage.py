"""Build type `binarypackage`: walks the steps of a backend, keeps the time, says the phases, cleans up.

Never knows the wire or the master: a `StartBuild` order in, an `Ending` out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from protocol.messages import Phase, WireOutcome
from slave.building.backend import Backend, Step, Task
from slave.building.chroot import ChrootBuild
from slave.building.host import HostBuild
from slave.building.userns import UsernsBuild
from slave.core.outcomes import Ending, builderfail, chrootfail, givenback, packagefail
from slave.disk.build_log import LogTooLong
from slave.errors import SandboxBroken
from slave.isolation.limits import LimitReached, words

BACKENDS: Mapping[str, type[Backend]] = {"chroot": ChrootBuild, "userns": UsernsBuild, "host": HostBuild}

#: what it means when a limit is passed in a phase that is not the build's own doing
_NOT_ITS_OWN: Mapping[Phase, Callable[[str], Ending]] = {
    Phase.UNPACK: builderfail,
    Phase.UPDATE: chrootfail,
    Phase.FETCH_DEPS: givenback,
}
_TIMES = {"wall_seconds", "silent_seconds"}


async def build(
    backend: type[Backend], task: Task, *, entered: Callable[[Phase], None], discard: Callable[[Path], None]
) -> Ending:
    """Build, and leave nothing but `task.results` and the log.  Cancelled, it kills all and leaves as little.

    Args:
        backend: one of `BACKENDS`.
        task: what to build.
        entered: called with each phase.
        discard: removes a tree, now or soon.
    """
    log = task.log
    args = task.args
    log.say(f"{args.dsc} for {args.suite}, {args.architecture}{' and all' if args.arch_indep else ''}")
    ends = time.monotonic() + args.wall_seconds
    while True:
        anew = False
        try:
            ending = await _walk(backend(task).steps(), task, entered, ends - time.monotonic())
            in_time = time.monotonic() < ends
            anew = ending.outcome is not WireOutcome.OK and in_time and task.roots.memory_was_full(log)
        finally:
            log.say("CLEANUP")
            entered(Phase.CLEANUP)
            task.roots.leave(then_on_disk=anew)
            for directory in (task.tree, task.results) if anew else (task.tree,):
                if directory.exists():
                    discard(directory)
        if not anew:
            return ending
        log.say("the memory for the build's files was used up: it begins anew, on disk")


async def _walk(steps: tuple[Step, ...], task: Task, entered: Callable[[Phase], None], seconds: float) -> Ending:
    log = task.log
    phase: Phase | None = None
    began = time.monotonic()
    ending: Ending | None = None
    try:
        async with asyncio.timeout(seconds):
            for next_phase, step in steps:
                if next_phase is not phase:
                    now = time.monotonic()
                    if phase is not None:
                        log.say(f"{phase} took {now - began:.1f} s")
                    phase, began = next_phase, now
                    entered(phase)
                    log.say(f"{phase} at {datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} UTC")
                ending = await step()
                if ending is not None:
                    break
    except TimeoutError:
        ending = _passed(phase, "wall_seconds", task)
    except LimitReached as wrong:
        ending = _passed(phase, wrong.name, task)
    except LogTooLong:
        ending = _passed(phase, "log_bytes", task)
    except SandboxBroken as wrong:
        ending = builderfail(str(wrong))
    except OSError as wrong:  # this machine's disk or process table; packages have no such errors to give
        ending = builderfail(f"{phase}: {wrong}")
    if ending is None:
        ending = builderfail("the backend did not end the build")
    log.say(f"{ending.outcome}: {ending.text}")
    return ending


def _passed(phase: Phase | None, name: str, task: Task) -> Ending:
    """Return the end of a build that passed the limit `name` in `phase`."""
    args = task.args
    value, origins = getattr(args, name), args.limits_from
    if name == "log_bytes" and value != task.log.limit:
        value, origins = task.log.limit, ("log_bytes=slave",)
    text = f"{words(name, value, origins)}; killed in {phase}"
    if phase is not None and phase in _NOT_ITS_OWN:
        return _NOT_ITS_OWN[phase](text)
    return Ending(WireOutcome.TIMEOUT, text) if name in _TIMES else packagefail(text)


def processors() -> int:
    """Return how many processors a build may use."""
    return len(os.sched_getaffinity(0))

"""The monkey: does to a farm what a plan says, at its points of progress, and looks how soon the farm recovers.

It is also the farm's operator where the rules want a person: a builder that was disabled is set ok again, one that is
quarantined for long is released, a build that ended INFRAFAILED is retried; each of these is written down with what
the farm said of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from storage.builders import Builders
from storage.builds import Builds
from storage.errors import StorageError
from tests.chaos.farm import ChaosFarm
from tests.chaos.plan import OF_A_BUILDER, Fault, Kind
from tests.chaos.processes import Victim
from tests.chaos.slave_process import ENDS

ENDED: Final = tuple(state.value for _, state in ENDS.values())
_LOOK: Final = 0.1  #: seconds between two looks
_POSTPONED: Final = 30.0  #: seconds that a fault waits for the process it is to hit
_STALL: Final = 180.0  #: seconds without a job that ends: the run is over, and red
_LONG_QUARANTINE: Final = 65.0  #: seconds: a person looks after the builder
_SLOW: Final = 20_000.0  #: bytes a second over a slow cable
_SIGNALS: Final = {
    Kind.KILL_BUILDER: "",
    Kind.KILL_QUEUE: "queue",
    Kind.KILL_NURSERY: "",
    Kind.KILL_SUPERVISOR: "supervisor",
    Kind.KILL_ADMIN: "admin",
    Kind.KILL_MASTER: "master",
    Kind.STOP_BUILDER: "",
    Kind.STOP_QUEUE: "queue",
    Kind.STOP_NURSERY: "",
    Kind.STOP_SUPERVISOR: "supervisor",
    Kind.STOP_ADMIN: "admin",
    Kind.STOP_MASTER: "master",
}  #: kinds that are a signal → whom they hit; empty: the fault's target
_KILLS: Final = frozenset(kind for kind in _SIGNALS if kind.value.startswith("kill"))


@dataclass
class Happened:
    """A fault that was done."""

    fault: Fault
    begun: float  #: seconds of the time of day
    ended: float | None = None  #: when it was undone; None: it lasts
    recovered: float | None = None  #: seconds from its end until the next attempt began; None: not seen
    note: str = ""
    undo: Callable[[], None] = field(default=lambda: None, repr=False)


@dataclass(frozen=True)
class Act:
    """What the operator had to do, and what the farm had said."""

    at: float
    what: str
    subject: str
    said: str


class Monkey:
    """One run."""

    def __init__(self, farm: ChaosFarm, faults: Sequence[Fault], jobs: int, *, say: Callable[[str], None]) -> None:
        """Take the plan."""
        self.farm, self.jobs, self._say = farm, jobs, say
        self._planned = deque(faults)
        self.happened: list[Happened] = []
        self.acts: list[Act] = []
        self.progress = 0
        self._moved = time.monotonic()
        self._due_since = 0.0

    def run(self) -> bool:
        """Play until every job has ended and everything is mended; return False if nothing moves any more."""
        while True:
            self.farm.keep()
            self._undo()
            self._look()
            self._operate()
            lasting = any(one.ended is None for one in self.happened)
            if self.progress >= self.jobs and not lasting:
                return True
            if time.monotonic() - self._moved > _STALL:
                return False
            while self._planned and self._planned[0].after <= self.progress and self._strike(self._planned[0]):
                self._planned.popleft()
            time.sleep(_LOOK)

    # --- faults -----------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> bool:
        """Do it; return False if it must wait for its victim, or for a fault of the same kind to be over."""
        if any(one.ended is None and _same_thing(one.fault, fault) for one in self.happened):
            return False
        now = time.monotonic()
        self._due_since = self._due_since or now
        happened = Happened(fault, time.time())
        if not self._do(happened):
            if now - self._due_since < _POSTPONED:
                return False
            happened.note, happened.ended = "left out: there was nobody to hit", happened.begun
        self._due_since = 0.0
        if fault.seconds == 0:
            happened.ended = happened.begun
        self.happened.append(happened)
        lasts = f" for {fault.seconds:g} s" if fault.seconds else ""
        self._say(f"{self.progress:4} {fault.kind} {fault.target}{lasts} {happened.note}".rstrip())
        return True

    def _do(self, happened: Happened) -> bool:
        fault, farm = happened.fault, self.farm
        if fault.kind in _SIGNALS:
            return self._signal(happened, _SIGNALS[fault.kind] or fault.target)
        if fault.kind in {Kind.KILL_SLAVE, Kind.STOP_SLAVE}:
            return self._hit_slave(happened)
        if fault.kind in OF_A_BUILDER:
            self._hit_cable(happened)
            return True
        match fault.kind:
            case Kind.STOP_POSTGRES:
                farm.want_server(wanted=False)
                farm.server.stop()
                happened.undo = lambda: farm.want_server(wanted=True)
            case Kind.KILL_POSTGRES:
                farm.want_server(wanted=False)
                farm.server.kill()
                happened.undo = lambda: farm.want_server(wanted=True)
            case Kind.FREEZE_POSTGRES:
                if farm.server.ended:
                    return False
                farm.server.freeze()
                happened.undo = farm.server.thaw
            case Kind.FILL_STATE:
                happened.undo = fill(farm.state)
            case Kind.FILL_POSTGRES:
                happened.undo = fill(farm.directory / "postgres")
            case _:
                raise AssertionError(fault.kind)
        return True

    def _signal(self, happened: Happened, name: str) -> bool:
        victim = self.farm.victim(name)
        if victim is None:
            return False
        kills = happened.fault.kind in _KILLS
        victim.send(signal.SIGKILL if kills else signal.SIGSTOP)
        happened.undo = lambda: _let_go(victim)
        return True

    def _hit_slave(self, happened: Happened) -> bool:
        slave = self.farm.slaves[happened.fault.target]
        victim = self.farm.victim(f"slave of {slave.name}")
        if victim is None:
            return False
        if happened.fault.kind is Kind.KILL_SLAVE:
            victim.release()
            slave.kill()
            happened.undo = slave.start
        else:
            victim.send(signal.SIGSTOP)
            happened.undo = lambda: _let_go(victim)
        return True

    def _hit_cable(self, happened: Happened) -> None:
        cables, cable = self.farm.cables, self.farm.slaves[happened.fault.target].cable
        happened.undo = lambda: cables.mend(cable)
        match happened.fault.kind:
            case Kind.RESET_LINK:
                cables.reset(cable)
            case Kind.CUT_LINK:
                cables.cut(cable)
            case Kind.MUTE_LINK:
                cables.cut(cable, to_slave=False)
            case Kind.DEAF_LINK:
                cables.cut(cable, to_master=False)
            case _:
                cables.slow(cable, _SLOW)

    def _undo(self) -> None:
        for one in self.happened:
            if one.ended is None and time.time() >= one.begun + one.fault.seconds:
                one.undo()
                one.ended = time.time()

    # --- looking ----------------------------------------------------------------------------------

    def _look(self) -> None:
        rows = self.farm.ask("SELECT count(*) FROM build WHERE state::text = ANY (%s)", list(ENDED))
        if not rows:
            return
        ended = int(rows[0][0])
        if ended > self.progress:
            self.progress, self._moved = ended, time.monotonic()
        waiting = [one for one in self.happened if one.ended is not None and one.recovered is None]
        for one in waiting:
            one.recovered = self._recovered(one)

    def _recovered(self, one: Happened) -> float | None:
        """Return how long it took until an attempt began, after the fault, where it had been."""
        rows = self.farm.ask(
            "SELECT extract(epoch FROM min(started))::float FROM attempt"
            " WHERE started > to_timestamp(%s) AND (%s = '' OR builder = %s)",
            one.ended,
            one.fault.whose,
            one.fault.whose,
        )
        return None if not rows or rows[0][0] is None else round(rows[0][0] - (one.ended or 0.0), 3)

    # --- operating --------------------------------------------------------------------------------

    def _operate(self) -> None:
        disabled = self.farm.ask(
            "SELECT name, notok_kind::text, failnotes FROM builder WHERE NOT builderok"
            " AND notok_kind NOT IN ('unreachable', 'crash', 'misfit')"
        )
        held = self.farm.ask(
            "SELECT builder, quarantine_why FROM builder_runtime WHERE quarantined_until > now() + make_interval(secs => %s)",
            _LONG_QUARANTINE,
        )
        broken = self.farm.ask("SELECT id, why FROM build WHERE state = 'INFRAFAILED'")
        with contextlib.suppress(StorageError, psycopg.Error):
            for name, kind, notes in disabled or ():
                with self.farm.as_operator("looked at it") as connection:
                    Builders(connection).set_ok(name, ok=True)
                self._acted("set ok", name, f"{kind}: {notes}")
            for name, why in held or ():
                with self.farm.as_operator("looked at it") as connection:
                    Builders(connection).release(name)
                self._acted("released", name, why)
            for build, why in broken or ():
                with self.farm.as_operator("try it again") as connection:
                    Builds(connection).retry(build)
                self._acted("retried", f"build {build}", why)

    def _acted(self, what: str, subject: str, said: str) -> None:
        self.acts.append(Act(time.time(), what, subject, said))
        self._say(f"{self.progress:4} operator: {subject} {what}: {said}")


def fill(directory: Path) -> Callable[[], None]:
    """Take all the room on the disk of `directory`; return what gives it back."""
    assert directory.is_mount(), f"{directory} is no disk of its own"
    filler = directory / ".filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    size = 1 << 20
    try:
        while size:
            try:
                os.write(descriptor, bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    finally:
        os.close(descriptor)
    return lambda: filler.unlink(missing_ok=True)


def _let_go(victim: Victim) -> None:
    victim.send(signal.SIGCONT)
    victim.release()


def _same_thing(one: Fault, other: Fault) -> bool:
    """Return whether two faults would hit the same thing, so that undoing one would undo the other."""
    if one.kind in OF_A_BUILDER or other.kind in OF_A_BUILDER:
        return one.target == other.target and one.kind in OF_A_BUILDER and other.kind in OF_A_BUILDER
    families = ("postgres",)
    return one.kind is other.kind or any(word in one.kind and word in other.kind for word in families)

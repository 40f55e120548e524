"""The builds of a slave in virtual time, one at a time: they take the time that their plan says, and end as it says.

Unless something is wrong with the machine (`simulation.scenario.plan.Trouble`).  What is built is what was pushed to the
slave, never what the master thinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from protocol.messages import ResultFile, WireOutcome
from simulation.environment.ground import Ground
from simulation.observers.witnesses import Witnesses
from simulation.scenario.chance import share
from simulation.scenario.plan import PlannedBuilder, PlannedJob, Trouble
from slave.core.events import BuildEnded, LogGrew, StartBuild

KILLING: Final = 0.3  #: seconds that killing a build takes
BROKEN_AFTER: Final = 20.0  #: seconds until a broken machine breaks a build
FAILS_AFTER: Final = 3.0  #: seconds until a black hole fails one
DIES_AFTER: Final = 40.0  #: seconds until a machine that dies in builds dies in one
_LOG: Final = b"a line of a simulated log, as good as any other\n"


class Slave(Protocol):
    """Whose builds these are."""

    def suffers(self, trouble: Trouble) -> bool:
        """Return whether this is wrong with it."""

    def postpones(self, act: Callable[[], None]) -> bool:
        """Return whether it does nothing now; then `act` is called when it goes on."""

    def break_down(self) -> None:
        """Die in the midst of it."""

    def build_ended(self, grew: LogGrew, ended: BuildEnded) -> None:
        """Take in that its build has ended."""


class Builds:
    """What a slave builds, and what is left of it.

    Attributes:
        log: bytes of the log.
        results: what was built, by filename.
    """

    def __init__(self, ground: Ground, witnesses: Witnesses, planned: PlannedBuilder, slave: Slave) -> None:
        """Begin with none."""
        self.log = 0
        self.results: dict[str, bytes] = {}
        self._agenda = ground.agenda
        self._contents = ground.contents
        self._witnesses = witnesses
        self._planned = planned
        self._slave = slave
        self._building: tuple[str, PlannedJob] | None = None  # attempt, and what is built in it
        self._run = 0  # of the slave's process and its build: what was put on the agenda before counts no more

    def start(self, order: StartBuild) -> None:
        """Begin to build."""
        contents, self._run = self._contents, self._run + 1
        self._stop("superseded")
        dsc = dict(order.files)[order.args.dsc]
        job = contents.sources[dsc]
        self._building, self.log = (order.attempt, job), 0
        self._witnesses.began(self._planned.name, order.attempt, job, trusted=order.args.trusted)
        seconds, outcome, text = job.seconds * self._planned.slowness, job.outcome, ""
        contents.tries[job.source] += 1
        seconds *= 0.95 + 0.1 * share(job.source, contents.tries[job.source])
        if self._slave.suffers(Trouble.KILLS):
            self._agenda.after(min(seconds, DIES_AFTER), self._dies, self._run)
            return
        if self._slave.suffers(Trouble.BLACK_HOLE):
            seconds, outcome, text = FAILS_AFTER, WireOutcome.PACKAGEFAIL, "make: *** Error 1"
        elif self._slave.suffers(Trouble.BROKEN):
            seconds, outcome, text = min(seconds, BROKEN_AFTER), WireOutcome.BUILDERFAIL, "read-only file system"
        if outcome is WireOutcome.GIVENBACK:
            contents.sources[dsc] = replace(job, outcome=WireOutcome.OK)
        limit = order.args.wall_seconds
        if seconds > limit:
            seconds, outcome, text = limit, WireOutcome.TIMEOUT, f"longer than {limit} s"
        self._agenda.after(seconds, self._end, self._run, order, outcome, text)

    def kill(self, attempt: str) -> None:
        """Abort what is built."""
        if not self._slave.suffers(Trouble.DEAF):
            self._agenda.after(KILLING, self._killed, self._run, attempt)

    def remove(self, attempt: str) -> None:
        """Drop what is left of a build."""
        self._witnesses.cleaned(self._planned.name, attempt)
        self.results, self.log = {}, 0

    def die(self) -> None:
        """End with the slave's process; what is on the disk stays."""
        self._run += 1
        self._stop("died")

    def _stop(self, how: str) -> None:
        if self._building is not None:
            (attempt, job), self._building = self._building, None
            self._witnesses.stopped(self._planned.name, attempt, job, how)

    def _dies(self, run: int) -> None:
        if run == self._run:
            self._slave.break_down()

    def _end(self, run: int, order: StartBuild, outcome: WireOutcome, text: str) -> None:
        if run != self._run or self._slave.postpones(lambda: self._end(run, order, outcome, text)):
            return
        files: tuple[ResultFile, ...] = ()
        dependencies: tuple[str, ...] = ()
        dsc = dict(order.files)[order.args.dsc]
        if outcome is WireOutcome.OK:
            made = self._contents.build(dsc, order.args.architecture, order.attempt)
            self.results = {file.name: octets for file, octets in made}
            files = tuple(file for file, _ in made)
            for file in files:
                self._witnesses.made(file.sha256)
        elif outcome is WireOutcome.DEPFAIL:
            dependencies = self._contents.sources[dsc].dependencies
        self._ended(BuildEnded(order.attempt, outcome, text, self._agenda.now, files, dependencies))

    def _killed(self, run: int, attempt: str) -> None:
        if run == self._run and not self._slave.postpones(lambda: self._killed(run, attempt)):
            self._ended(BuildEnded(attempt, WireOutcome.ABORTED, "aborted", self._agenda.now))

    def _ended(self, ended: BuildEnded) -> None:
        self._run += 1
        self._stop(str(ended.outcome))
        self.log = len(_LOG)
        self._slave.build_ended(LogGrew(ended.attempt, self.log), ended)


def log_from(offset: int, end: int) -> bytes:
    """Return these bytes of a log."""
    return (_LOG * (1 + (end - offset) // len(_LOG)))[: end - offset]

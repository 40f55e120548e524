"""The builds of a simulated slave, one at a time, as its script says; log and results are in memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping

from protocol.messages import ResultFile, WireOutcome
from simulation.slaves.results import built_package, identity
from simulation.slaves.script import Conduct, Script
from slave.core.events import BuildEnded, Event, LogGrew, PhaseEntered, StartBuild


class Builds:
    """What a slave builds, and what is left of it; belongs to the thread of the slave's loop.

    Attributes:
        log: of the build that runs, or ran last.
        results: by filename.
    """

    def __init__(
        self,
        script: Script,
        files: Mapping[str, bytes],
        tell: Callable[[Event], object],
        push_log: Callable[[str], object],
    ) -> None:
        """Begin with none.

        Args:
            script: how builds go.
            files: content by SHA-256, as far as it is here.
            tell: told what happens.
            push_log: called with the attempt when its log has grown.
        """
        self.log = bytearray()
        self.results: dict[str, bytes] = {}
        self._script = script
        self._files = files
        self._tell = tell
        self._push_log = push_log
        self._building: asyncio.Task[None] | None = None
        self._conduct = Conduct()  # of the build that runs
        self._finish = asyncio.Event()

    def start(self, order: StartBuild) -> None:
        """Begin to build."""
        self.log.clear()
        self._conduct = self._script.conduct(order.args.dsc)
        self._building = asyncio.get_running_loop().create_task(self._build(order, self._conduct))

    def finish(self) -> None:
        """Let a build that hangs come to its end."""
        self._finish.set()

    def kill(self, attempt: str) -> None:
        """Abort what is built, unless it is deaf."""
        if not self._conduct.deaf and self.give_up() is not None:
            self._tell(BuildEnded(attempt, WireOutcome.ABORTED, "aborted", time.monotonic()))

    def give_up(self) -> asyncio.Task[None] | None:
        """Build no more, and say nothing; return what was at work, if anything was."""
        building, self._building = self._building, None
        if building is not None:
            building.cancel()
        return building

    def remove(self) -> None:
        """Drop what is left of a build."""
        self.results = {}
        self.log.clear()

    async def _build(self, order: StartBuild, conduct: Conduct) -> None:
        files, args = dict(order.files), order.args
        step = -(-len(conduct.log) // max(1, len(conduct.phases)))
        for number, phase in enumerate(conduct.phases):
            self._tell(PhaseEntered(order.attempt, phase, time.monotonic()))
            self.log += conduct.log[number * step : (number + 1) * step]
            self._tell(LogGrew(order.attempt, len(self.log)))
            self._push_log(order.attempt)
            if conduct.seconds:
                await asyncio.sleep(conduct.seconds / len(conduct.phases))
        if conduct.hangs:
            self._finish.clear()
            await self._finish.wait()
        if conduct.outcome is WireOutcome.OK:
            source, version = identity(args.dsc, self._files.get(files[args.dsc]))
            self.results = conduct.results or built_package(source, version, args.architecture)
        self._building = None
        self._tell(self._ended(order.attempt, conduct))

    def _ended(self, attempt: str, conduct: Conduct) -> BuildEnded:
        files = tuple(
            ResultFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in sorted(self.results.items())
        )
        return BuildEnded(attempt, conduct.outcome, conduct.text, time.monotonic(), files, conduct.dependencies)

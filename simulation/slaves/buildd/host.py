"""Where simulated slaves live in a test: a thread full of them.

    with SlaveHost() as host:
        bob = host.add("bob", Script(conducts=(Conduct(hangs=True),)))
        …
        host.run(bob.go_away())

`python -m simulation.slaves.buildd` is a process full of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from simulation.slaves.buildd.slave import SimulatedSlave
from simulation.slaves.script import Script

T = TypeVar("T")

TOKEN = "simulated-token"  # noqa: S105 - of tests
PATIENCE = 10.0  #: seconds that a call into the loop may take


class SlaveHost:
    """A thread with an asyncio loop full of simulated slaves."""

    def __init__(self, token: str = TOKEN) -> None:
        """Prepare; entering the context starts the thread."""
        self.token = token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated slaves", daemon=True)
        self._loop.set_exception_handler(lambda _, context: self.bugs.append(context))
        self._slaves: list[SimulatedSlave] = []
        self.bugs: list[dict[str, Any]] = []  #: what the slaves' own code raised, as asyncio tells it

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every slave, then the thread."""
        for slave in self._slaves:
            self.run(slave.stop())
        self.run(_settled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        if self.bugs and error is None:
            raise RuntimeError(f"a simulated slave is broken: {self.bugs}") from self.bugs[0].get("exception")

    def add(self, name: str, script: Script | None = None, **traits: Any) -> SimulatedSlave:  # noqa: ANN401
        """Return a slave that listens; `traits` as `SimulatedSlave` takes them."""
        slave: SimulatedSlave = self.run(_started(name, script, {"token": self.token, **traits}))
        self._slaves.append(slave)
        return slave

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have a method of a slave run in the slaves' thread; return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def call(self, function: Callable[[], object]) -> None:
        """Have a plain method of a slave (`drop`, `finish`) run in the slaves' thread, and wait until it has."""

        async def called() -> None:
            function()

        self.run(called())


async def _settled() -> None:
    """Wait until nothing runs in the loop: a connection may have been accepted while its slave stopped."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others, return_exceptions=True)


async def _started(name: str, script: Script | None, traits: dict[str, Any]) -> SimulatedSlave:
    slave = SimulatedSlave(name, script, **traits)
    await slave.start()
    return slave

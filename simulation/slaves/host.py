"""Where simulated slaves live: a thread of a test, or a process of its own.

    with SlaveHost() as host:
        bob = host.add("bob", Script(conducts=(Conduct(hangs=True),)))
        …
        host.run(bob.go_away())

    python -m simulation.slaves.buildd.slave --count 20 --token-file F --record FILE

The process says one line, `READY {"sim1": "buildd://127.0.0.1:PORT", …}`, and lives until its standard input closes
or SIGTERM comes.  `--record` gets one JSON line for each `Build` heard, with its stamp.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

from protocol.messages import Build
from simulation.slaves.buildd.slave import Passed, SimulatedSlave
from simulation.slaves.script import Conduct, Script

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


def main() -> None:
    """Run a process full of simulated slaves."""
    parser = argparse.ArgumentParser(prog="python -m simulation.slaves.buildd.slave", description=main.__doc__)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--prefix", default="sim", help="names are PREFIX1, PREFIX2, …")
    parser.add_argument("--architecture", default="i386", help="one or more, separated by commas")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--record", type=Path, help="one JSON line for each Build heard")
    parser.add_argument("--seconds", type=float, default=0.0, help="of a build")
    parser.add_argument("--has-everything", action="store_true", help="never ask for a file")
    options = parser.parse_args()
    asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, ended.set)

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)
    token = options.token_file.read_text(encoding="utf-8").strip()
    record = options.record.open("a", encoding="utf-8", buffering=1) if options.record else None
    slaves = []
    for number in range(1, options.count + 1):
        script = Script(conducts=(Conduct(seconds=options.seconds),), has_everything=options.has_everything)
        traits = {
            "token": token,
            "architectures": tuple(options.architecture.split(",")),
            "on_heard": _recorder(record) if record else None,
        }
        slaves.append(await _started(f"{options.prefix}{number}", script, traits))
    print("READY", json.dumps({slave.name: slave.url for slave in slaves}), flush=True)  # noqa: T201
    await ended.wait()
    await asyncio.gather(*(slave.stop() for slave in slaves))


def _recorder(record: TextIO) -> Callable[[SimulatedSlave, Passed], None]:
    def write(slave: SimulatedSlave, passed: Passed) -> None:
        if isinstance(passed.message, Build):
            message = passed.message
            line = {"at": passed.at, "slave": slave.name, "attempt": message.attempt, "dsc": message.args.get("dsc")}
            record.write(json.dumps(line) + "\n")

    return write

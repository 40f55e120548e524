"""A process full of simulated slaves.

    python -m simulation.slaves.buildd --count 20 --token-file F --record FILE

It says one line, `READY {"sim1": "buildd://127.0.0.1:PORT", …}`, and lives until its standard input closes or SIGTERM
comes.  `--record` gets one JSON line for each `Build` heard, with its stamp.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from protocol.messages import Build
from simulation.slaves.buildd.slave import Passed, SimulatedSlave
from simulation.slaves.script import Conduct, Script


def main() -> None:
    """Run a process full of simulated slaves."""
    parser = argparse.ArgumentParser(prog="python -m simulation.slaves.buildd", description=main.__doc__)
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
        slave = SimulatedSlave(
            f"{options.prefix}{number}",
            script,
            token=token,
            architectures=tuple(options.architecture.split(",")),
            on_heard=_recorder(record) if record else None,
        )
        slaves.append(slave)
        await slave.start()
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


if __name__ == "__main__":
    main()

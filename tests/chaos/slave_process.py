"""A simulated slave in a process of its own, which keeps on disk what a real one keeps: kill it, and start it again.

    python -m tests.chaos.slave_process --name sim1 --port 8221 --directory DIR --token-file FILE

Says READY when it listens, lives until it is killed.  How a build goes is in the name of its source: see `conduct`.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.messages import WireOutcome
from simulation.slaves.buildd.slave import SimulatedSlave
from simulation.slaves.script import Conduct, Script
from slave.core.events import RemoveBuild, SaveState, StartBuild
from slave.core.machine import Machine
from slave.core.record import Record
from storage.records import BuildState

#: what a source is called → how its build ends, and what the build then is
ENDS: Final = {
    "good": (WireOutcome.OK, BuildState.FULLYBUILT),
    "fails": (WireOutcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD),
    "lacks": (WireOutcome.DEPFAIL, BuildState.MANUALDEPWAIT),
}
MISSING: Final = ("libnever-dev (>= 2)",)
_LOG_BYTES: Final = (1_000, 200_000)


def source_name(number: int, seed: int) -> str:
    """Return a name that says how the build goes."""
    lot = random.Random(f"{seed}/{number}").random()
    return f"{'fails' if lot < 0.04 else 'lacks' if lot < 0.08 else 'good'}-{number}"


def conduct(source: str, seconds: float) -> Conduct:
    """Return how the build of `source` goes, the same on every slave and at every try.

    Args:
        source: name of the source package.
        seconds: that a build takes on average.
    """
    chance = random.Random(source)
    outcome, _ = ENDS[source.partition("-")[0]]
    return Conduct(
        outcome=outcome,
        text="" if outcome is WireOutcome.OK else f"{source} goes like that",
        dependencies=MISSING if outcome is WireOutcome.DEPFAIL else (),
        log=log_of(source),
        seconds=chance.uniform(0.2, 1.8) * seconds,
    )


def log_of(source: str) -> bytes:
    """Return the whole log of a build of `source`."""
    chance = random.Random(f"log of {source}")
    return f"building {source}\n".encode() + chance.randbytes(chance.randint(*_LOG_BYTES) // 2).hex().encode() + b"\n"


@dataclass(slots=True)
class NamedConduct(Script):
    """Goes by the names of sources."""

    seconds: float = 1.0

    def conduct(self, dsc: str) -> Conduct:
        """Return how the build of `dsc` goes."""
        return conduct(dsc.partition("_")[0], self.seconds)


class DurableSlave(SimulatedSlave):
    """Keeps state, log and results of its build in a directory."""

    def __init__(self, name: str, directory: Path, seconds: float, *, token: str) -> None:
        """Read what an earlier life has left."""
        super().__init__(name, NamedConduct(seconds=seconds), token=token)
        self._state, self._log_file = directory / "state", directory / "log"
        if self._state.exists():
            plain, self.builds.results = pickle.loads(self._state.read_bytes())
            self.builds.log += self._log_file.read_bytes() if self._log_file.exists() else b""
            self.machine = Machine(self.machine.traits, Record.from_plain(plain), log_size=len(self.builds.log))
            self._save(self.machine.record)

    def _obey_for_build(self, order: object) -> None:
        if isinstance(order, StartBuild | RemoveBuild):
            self._log_file.write_bytes(b"")
        super()._obey_for_build(order)  # type: ignore[arg-type]
        if isinstance(order, SaveState):
            self._save(order.record)

    def _push_log(self, attempt: str) -> None:
        with self._log_file.open("r+b" if self._log_file.exists() else "w+b") as file:
            size = file.seek(0, 2)
            file.write(self.builds.log[size:])
        super()._push_log(attempt)

    def _save(self, record: Record) -> None:
        self._saved = record
        fresh = self._state.with_suffix(".new")
        fresh.write_bytes(pickle.dumps((record.to_plain(), self.builds.results)))
        fresh.replace(self._state)


async def _serve(options: argparse.Namespace) -> None:
    token = options.token_file.read_text(encoding="ascii").strip()
    slave = DurableSlave(options.name, options.directory, options.seconds, token=token)
    slave.port = options.port
    await slave.start()
    print("READY", flush=True)  # noqa: T201
    await asyncio.Event().wait()


def main() -> None:
    """Run one slave."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.slave_process")
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a build, on average")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

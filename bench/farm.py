"""A farm to be measured: started as run_master starts it, with simulated slaves in a process of their own."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from psycopg import Connection

from storage.builders import Builders
from storage.database.connection import acting, connect
from storage.database.embedded import Embedded
from storage.records import RuntimeState

CHECKOUT = Path(__file__).parent.parent
WHO = "bench"
ARCHITECTURE, FAMILY = "i386", "x86"
_PATIENCE = 120.0  #: seconds for anything to come up


class MeasuredFarm:
    """A running farm with `builders` idle, trusted builders; gone without a trace when the context ends."""

    def __init__(
        self, builders: int, *, build_seconds: float = 0.0, master: Sequence[str] = ("run_master.py",)
    ) -> None:
        """Say how large; entering the context starts it.

        Args:
            builders: each has a simulated slave.
            build_seconds: what a build takes there.
            master: what Python runs as the master.
        """
        self.builders = builders
        self.build_seconds = build_seconds
        self._run_master = master
        self.environment: dict[str, str] = {}  #: of its processes, beyond this one's; to be filled before it starts
        self.state_directory = Path(tempfile.mkdtemp(prefix="buildd-bench-"))
        self.record = self.state_directory / "builds-heard"
        self._children: list[subprocess.Popen[str]] = []

    @property
    def dsn(self) -> str:
        """Where its database is."""
        return Embedded(self.state_directory / "postgres").dsn

    @property
    def pause(self) -> float:
        """Seconds between two looks at all builders, which cost the database the more, the more there are."""
        return max(0.02, self.builders / 1000)

    @property
    def master(self) -> int:
        """The pid of run_master."""
        return self._children[0].pid

    def __enter__(self) -> Self:
        """Start master and slaves, register the builders, wait until all are idle."""
        try:
            self._start()
        except BaseException:  # ^C too: no process stays behind
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything and remove it."""
        self._stop()

    def connect(self) -> Connection[Any]:
        """Return a connection to its database."""
        return connect(self.dsn, application=WHO)

    def heard(self) -> dict[str, float]:
        """Return when each `Build` arrived at a slave, in monotonic seconds, by the name of its `.dsc`."""
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        return {line["dsc"]: line["at"] for line in map(json.loads, lines)}

    def stop_master(self, number: signal.Signals) -> None:
        """End the master by a signal, and wait until it is gone; slaves go on."""
        master = self._children.pop(0)
        master.send_signal(number)
        master.wait(_PATIENCE)

    def start_master(self) -> None:
        """Start a master; returns when it says READY."""
        self._run(*self._run_master, "--state-directory", str(self.state_directory), first=True)

    def _start(self) -> None:
        self.start_master()
        command = ["-m", "simulation.slaves.buildd", "--count", str(self.builders), "--has-everything"]
        command += ["--seconds", str(self.build_seconds)]
        command += ["--architecture", ARCHITECTURE, "--record", str(self.record)]
        ready = self._run(*command, "--token-file", str(self.state_directory / "slave-token"))
        with self.connect() as connection:
            builders = Builders(connection)
            with acting(connection, WHO):
                for name, url in json.loads(ready).items():
                    builders.add(name, url, [FAMILY], trusted=True)
            wait_until(
                lambda: sum(one.state is RuntimeState.IDLE for one in builders.runtimes()) == self.builders,
                "every builder is idle",
                every=self.pause,
            )

    def _run(self, *words: str, first: bool = False) -> str:
        """Start a process, to be stopped before (`first`: after) the others; return what it says after READY."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BUILDD_MASTER_")}
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=CHECKOUT,
            env=environment | {"BUILDD_MASTER_LOG_LEVEL": "WARNING"} | self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children.insert(0 if first else len(self._children), child)
        assert child.stdout  # noqa: S101 - it is a pipe
        readable, _, _ = select.select([child.stdout], [], [], _PATIENCE)
        word, _, rest = child.stdout.readline().partition(" ") if readable else ("", "", "")
        if word.strip() != "READY":
            raise SystemExit(
                f"{words[0]} {words[1]}: " + (f"not ready in {_PATIENCE:.0f} s" if not readable else "ended")
            )
        return rest

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.terminate()
            child.wait(_PATIENCE)
        shutil.rmtree(self.state_directory)


def wait_until(
    fact: Any,  # noqa: ANN401 - anything that is true or not
    what: str,
    seconds: float = _PATIENCE,
    *,
    every: float = 0.02,
) -> None:
    """Look for a fact until it is there, once in `every` seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(every)


def memory_mb(root: int) -> float:
    """Return the proportional memory (PSS), in MB, of `root` and its descendants, PostgreSQL left out."""
    return sum(_pss_kb(pid) for pid in family(root)) / 1024


def family(root: int) -> set[int]:
    """Return the processes `root` and its descendants, PostgreSQL left out."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (place / "stat").read_text().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        parents[int(place.name)] = int(rest.split()[1])
        names[int(place.name)] = name.partition("(")[2]
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= grown
    return {pid for pid in found if names.get(pid) != "postgres"}


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)

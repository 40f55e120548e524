"""A process beside the farm's actors: a module of `buildd_master` that gets what it must know on stdin.

It is no actor, and talks to none: what it does are rows and files.  It ends with the farm's own process, which starts
it again when it crashes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import buildd_master
from host.unprivileged import command_as

_STOP_SECONDS = 3.0


class SideProcess:
    """One module, and the process that runs it, if one does."""

    def __init__(self, module: str, *descriptors: int) -> None:
        """Know the module, as `buildd_master.web`, and the open files that it inherits; nothing runs yet."""
        self._module, self._descriptors = module, descriptors
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process, ended or not; None before the first."""
        return None if self._process is None else self._process.pid

    def start(self, told: Mapping[str, object]) -> None:
        """Start a process.

        Args:
            told: on its stdin, as JSON: secrets may be among it.

        Raises:
            OSError: this machine can't.
        """
        ours = str(Path(buildd_master.__file__).parents[1])
        path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            command_as(None, [sys.executable, "-m", self._module], reach=(), die_with_parent=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=self._descriptors,
            process_group=0,  # Ctrl-C is for the farm's own process, which stops it in order
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with self._process.stdin as stdin:
            stdin.write(json.dumps(told).encode())

    def ended(self) -> int | None:
        """Return the exit code of a process that should still run; None: it runs, or none was started."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """End the process and see it gone; harmless twice."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

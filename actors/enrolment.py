"""The process that serves enrolment (`web.main`), as the farm's own keeps it: off, unless `enroll_listen` is set.

It is no actor, and talks to none: what it does are rows and files.  The socket is opened here, so that a port that is
taken is told at the start, and a process that crashes leaves no gap.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import buildd_master
from actors.settings import Settings, place_of
from storage.unprivileged import command_as

_STOP_SECONDS = 3.0


class EnrolmentServer:
    """One listening socket, and the process behind it."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        """Listen; nobody answers yet.

        Raises:
            OSError: the address is taken, or is none of this machine.
        """
        host, port = place_of(settings.enroll_listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family)
        self._settings, self._dsn = settings, dsn
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    @property
    def pid(self) -> int | None:
        """Return the process, ended or not; None before the first."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process."""
        descriptor = self._listening.fileno()
        told = {
            "database": self._dsn,
            "state_directory": str(self._settings.state_directory),
            "descriptor": descriptor,
            "log_level": self._settings.log_level,
        }
        ours = str(Path(buildd_master.__file__).parents[1])
        path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "buildd_master.web"]
        self._process = subprocess.Popen(
            command_as(None, command, reach=(), die_with_parent=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            process_group=0,  # Ctrl-C is for the farm's own process, which stops it in order
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with self._process.stdin as stdin:
            stdin.write(json.dumps(told).encode())

    def ended(self) -> int | None:
        """Return the exit code of a process that should still run; None: it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """End the process, and listen no more."""
        self._listening.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

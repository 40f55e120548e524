"""A process that serves by HTTP beside the actors, as the farm's own keeps it: enrolment, or files for slaves.

Each is off unless its address is set.  The socket is opened here, so that a port that is taken is told at the start, and
a process that crashes leaves no gap.
"""

from __future__ import annotations

import socket
from typing import Final

from actors.master.side_process import SideProcess
from actors.settings import Settings, place_of

ENROLMENT: Final = "buildd_master.web"
FILES: Final = "buildd_master.web_files"


class WebServer:
    """One listening socket, and the process behind it."""

    def __init__(self, settings: Settings, dsn: str, module: str, listen: str) -> None:
        """Listen; nobody answers yet.

        Args:
            settings: the farm's.
            dsn: of its database.
            module: `ENROLMENT` or `FILES`.
            listen: `ADDRESS:PORT`.

        Raises:
            OSError: the address is taken, or is none of this machine.
        """
        host, port = place_of(listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=1024)
        self._settings, self._dsn = settings, dsn
        self._process = SideProcess(module, self._listening.fileno())

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    @property
    def pid(self) -> int | None:
        """Return the process, ended or not; None before the first."""
        return self._process.pid

    def start(self) -> None:
        """Start the process."""
        self._process.start(
            {
                "database": self._dsn,
                "state_directory": str(self._settings.state_directory),
                "descriptor": self._listening.fileno(),
                "log_level": self._settings.log_level,
            }
        )

    def ended(self) -> int | None:
        """Return the exit code of a process that should still run; None: it runs."""
        return self._process.ended()

    def stop(self) -> None:
        """End the process, and listen no more."""
        self._listening.close()
        self._process.stop()

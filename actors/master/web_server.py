"""Processes that serve by HTTP beside the actors, as the farm's own keeps them: enrolment, and files for slaves.

Each is off unless its address is set.  The socket is opened here, so that a port that is taken is told at the start,
and a process that crashes leaves no gap.
"""

from __future__ import annotations

import logging
import socket
from typing import Final
from urllib.parse import urlsplit

from actors.master.head_start import CannotStart
from actors.master.side_process import SideProcess
from actors.settings import Settings, place_of

ENROLMENT: Final = "buildd_master.web"
FILES: Final = "buildd_master.web_files"
_DOES: Final = {ENROLMENT: "serves enrolment", FILES: "hands out files to slaves"}
_REACHED_SECONDS = 3.0  #: for this machine to reach itself as slaves do

log = logging.getLogger("buildd_master.actors.wiring")


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
        self.module = module
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


class WebServers:
    """Those of one farm that are wished for.

    Attributes:
        running: in the order in which they were started.
    """

    def __init__(self) -> None:
        self.running: tuple[WebServer, ...] = ()

    def serve_enrolment(self, settings: Settings, dsn: str) -> None:
        """Serve enrolment at `enroll_listen`; opened now, and not inherited by the actors.

        Raises:
            CannotStart: the address is taken, or is none of this machine.
        """
        try:
            server = WebServer(settings, dsn, ENROLMENT, settings.enroll_listen)
        except OSError as error:
            message = f"enroll_listen = {settings.enroll_listen}: {error.strerror}; set another address or port"
            raise CannotStart(message) from error
        self._start(server)

    def hand_out_files(self, settings: Settings, dsn: str) -> None:
        """Hand out files to slaves that download, if it is wished for; opened now, as enrolment.

        Raises:
            CannotStart: the address is taken, or slaves could not find it.
        """
        listen, url = settings.files_listen, settings.slaves_fetch_at
        if not listen:
            return
        host = urlsplit(url).hostname
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            message = f"files_url = {url}: slaves would not find it: {error.strerror}; name an address of this machine"
            raise CannotStart(message) from error
        try:
            server = WebServer(settings, dsn, FILES, listen)
        except OSError as error:
            message = f"files_listen = {listen}: {error.strerror}; set another address or port"
            raise CannotStart(message) from error
        self._start(server)
        try:
            with socket.create_connection((host, urlsplit(url).port), _REACHED_SECONDS):
                pass
        except OSError as error:  # it may be a matter of this machine's own view of its network
            words = error.strerror or "no answer"
            log.warning("files_url = %s is not reached from here (%s): will slaves reach it?", url, words)

    def keep(self) -> None:
        """Start a process again if it died."""
        for server in self.running:
            if (code := server.ended()) is None:
                continue
            log.error("the process that %s had ended (exit code %s) and is started again", _DOES[server.module], code)
            try:
                server.start()
            except OSError as error:  # of this machine: it is tried again
                log.error("it can't be started: %s", error.strerror)  # noqa: TRY400 - its words tell

    def stop(self) -> None:
        """End every process, the last one first."""
        for server in reversed(self.running):
            server.stop()
        self.running = ()

    def _start(self, server: WebServer) -> None:
        self.running = (*self.running, server)
        server.start()

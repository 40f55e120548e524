"""A PostgreSQL of the harness's own, to be stopped, killed and frozen while a farm works on it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from storage.database.embedded import Embedded
from storage.database.migration import migrate
from tests.chaos.processes import Victim, descendants


class Server:
    """One server in one directory; durable, as an operator has it."""

    def __init__(self, directory: Path) -> None:
        """Describe it."""
        self._embedded = Embedded(directory)
        self._frozen: list[Victim] = []

    @property
    def dsn(self) -> str:
        """Where clients connect."""
        return self._embedded.dsn

    @property
    def ended(self) -> bool:
        """Return whether it does not run."""
        return self._embedded.ended

    def start(self) -> None:
        """Start it, with all migrations the first time."""
        self._embedded.start()

    def make(self) -> None:
        """Start it for the first time."""
        migrate(self._embedded.start())

    def stop(self) -> None:
        """Stop it in order: who is connected is thrown out."""
        self.thaw()
        self._embedded.stop()

    def kill(self) -> None:
        """Kill its first process; the others notice."""
        pid = self._embedded.pid
        if pid is not None and not self._embedded.ended:
            os.kill(self._postmaster(), signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all of its processes where they are."""
        for pid in (self._postmaster(), *descendants(self._postmaster())):
            try:
                victim = Victim(pid)
            except ProcessLookupError:
                continue
            victim.send(signal.SIGSTOP)
            self._frozen.append(victim)

    def thaw(self) -> None:
        """Let them go on."""
        for victim in self._frozen:
            victim.send(signal.SIGCONT)
            victim.release()
        self._frozen = []

    def _postmaster(self) -> int:
        return int((self._embedded.directory / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

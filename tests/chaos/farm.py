"""The farm that the monkey plays with: a real master, a real PostgreSQL, slaves behind faulty cables, each a process.

Everything lies below one directory and dies with the harness.  `keep` does what systemd does on a machine of ours: a
master or server that ended is started again after a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection

from actors.console.attach import Attached, NotAttached
from actors.settings import Settings
from actors.system.ports import free_port
from storage.archives import Archives
from storage.builders import Builders
from storage.builds import Builds
from storage.chroots import Chroots
from storage.database.connection import acting, connect
from storage.database.embedded import EmbeddedDatabaseFailed
from storage.errors import StorageError
from storage.files.librarian import Librarian
from storage.files.library import Library
from storage.publications import Publications
from storage.records import ArchivePurpose, NamedFile, NewSource, Pocket, Urgency
from storage.series import Series
from storage.sources import Sources
from tests.chaos.processes import Victim, reap
from tests.chaos.proxy import Cable, Cables
from tests.chaos.server import Server
from tests.chaos.slave_process import source_name

CHECKOUT: Final = Path(__file__).resolve().parents[2]
WHO: Final = "operator"
ARCHITECTURE, FAMILY = "i386", "x86"
PER_NURSERY: Final = 4
_UP_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 1.0  #: systemd's RestartSec, shorter

#: Shorter than the defaults, so that a run takes two minutes; what nobody should need (`sweep`) is left as it is.
TIMERS: Final = {
    "connect": 3.0,
    "first_retry": 0.2,
    "second_retry": 0.5,
    "background_retry": 1.0,
    "background_retry_limit": 3.0,
    "reconnect": 3.0,
    "hold": 3.0,
    "heartbeat": 1.0,
    "suspect": 3.0,
    "lost": 8.0,
    "resend": 1.0,
    "poll_building": 0.5,
    "poll_idle": 1.0,
    "accepted": 10.0,
    "transfer": 10.0,
    "abort_polite": 3.0,
    "abort_forced": 5.0,
    "clean": 10.0,
    "librarian_retry": 1.0,
    "hung": 5.0,
    "database_retry_limit": 2.0,
}


@dataclass
class SlaveHere:
    """One slave, its cable, and its process."""

    name: str
    command: list[str]
    cable: Cable
    errors: Path
    scheme: str = "buildd"  #: of its URL: which dialect it speaks
    process: subprocess.Popen[str] | None = None
    wanted: bool = True  #: it is to run

    def start(self) -> None:
        """Run it."""
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                self.command,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )
        self.wanted = True

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and leave it so."""
        self.wanted = False
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(_UP_SECONDS)


@dataclass
class ChaosFarm:
    """A farm below one directory."""

    directory: Path
    cables: Cables
    slaves: dict[str, SlaveHere] = field(default_factory=dict)
    restarts: int = 0  #: of the master, by "systemd"
    _master: subprocess.Popen[bytes] | None = None
    _wanted: bool = False  # the master is to run
    _again_at: float = 0.0
    _server_wanted: bool = False
    _server_again_at: float = 0.0
    _asking: Connection[Any] | None = None

    def __post_init__(self) -> None:
        self.state = self.directory / "state"
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.server = Server(self.directory / "postgres")
        self.log = self.directory / "master.log"
        self.token_file = self.directory / "token"
        self.settings = Settings(state_directory=self.state, user="")
        self.seconds = 1.0
        self.files_listen = ""  #: where slaves of launchpad-buildd fetch files

    # --- laying out -------------------------------------------------------------------------------

    def start(self, slaves: int, jobs: int, seed: int, seconds: float, *, mixed: bool = False) -> None:
        """Start everything with that many simulated slaves, and queue the jobs.

        Args:
            slaves: how many.
            jobs: how many.
            seed: of the sources' names, and by them of how their builds go.
            seconds: that a build takes on average.
            mixed: every second slave is one of launchpad-buildd.
        """
        self.seconds = seconds
        self.files_listen = f"127.0.0.1:{free_port()}" if mixed else ""
        self.token_file.write_text(secrets.token_hex(16) + "\n")
        self.token_file.chmod(0o600)
        self.server.make()
        self._server_wanted = True
        self.settings = Settings(state_directory=self.state, user="", database=self.server.dsn)
        (self.state / "slave-token").write_text(self.token_file.read_text())
        for number in range(1, slaves + 1):
            self._add_slave(f"sim{number}", launchpad=mixed and number % 2 == 0)
        with connect(self.server.dsn, application=WHO) as connection, acting(connection, WHO):
            self._lay_out(connection)
            for name, slave in self.slaves.items():
                url = f"{slave.scheme}://127.0.0.1:{slave.cable.port}"
                Builders(connection).add(name, url, [FAMILY], trusted=True)
        self.start_master()
        self.wait_up()
        self.queue(range(1, jobs + 1), seed)

    def _add_slave(self, name: str, *, launchpad: bool) -> None:
        directory = self.directory / name
        directory.mkdir()
        port = free_port()
        module = "launchpad_process" if launchpad else "slave_process"
        command = [sys.executable, "-m", f"tests.chaos.{module}", "--name", name, "--port", str(port)]
        command += ["--seconds", str(self.seconds)]
        if not launchpad:
            command += ["--directory", str(directory), "--token-file", str(self.token_file)]
        scheme = "http" if launchpad else "buildd"
        self.slaves[name] = SlaveHere(name, command, self.cables.add(port), directory / "errors", scheme)
        self.slaves[name].start()

    def _lay_out(self, connection: Connection[Any]) -> None:
        librarian = Librarian(self.settings.librarian_directory)
        (arch,) = Series(connection).add("chaos", "one", {ARCHITECTURE: FAMILY}, nominated_archindep=ARCHITECTURE)
        Archives(connection).add("primary", "chaos", ArchivePurpose.PRIMARY)
        chroot = Library(connection).add(librarian.add_bytes(os.urandom(300_000)), "chroot.tar.zst")
        Chroots(connection).set(arch.id, Pocket.RELEASE, chroot.id)

    def queue(self, numbers: Iterable[int], seed: int) -> None:
        """Queue a build for each number; it is part of the source's name."""
        with connect(self.server.dsn, application=WHO) as connection, acting(connection, WHO):
            self._queue(connection, numbers, seed)

    def _queue(self, connection: Connection[Any], numbers: Iterable[int], seed: int) -> None:
        builds, library = Builds(connection), Library(connection)
        librarian = Librarian(self.settings.librarian_directory)
        arch, archive = (
            Series(connection).named(f"chaos/one/{ARCHITECTURE}"),
            Archives(connection).get("chaos", "primary"),
        )
        for number in numbers:
            name = source_name(number, seed)
            dsc = f"{name}_1.0.dsc"
            content = librarian.add_bytes(f"Source: {name}\nVersion: 1.0\n".encode())
            library.add(content, dsc)
            files = (NamedFile(dsc, content.sha256, content.size),)
            source = Sources(connection).add(NewSource(name, "1.0", "main", Urgency.LOW, ("any",), files))
            Publications(connection).publish(source, archive.id, "one", Pocket.RELEASE, "main")
            build = builds.create(source, arch.id, archive.id, Pocket.RELEASE, arch_indep=False)
            builds.queue(build.id)

    # --- the master -------------------------------------------------------------------------------

    def start_master(self) -> None:
        """Run the master; it is started again when it ends."""
        given = {
            "state_directory": str(self.state),
            "database": self.server.dsn,
            "user": "",
            "timers": json.dumps(TIMERS),
            "builders_per_nursery": str(PER_NURSERY),
            "files_listen": self.files_listen,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BUILDD_MASTER_")}
        with self.log.open("ab") as log:
            self._master = subprocess.Popen(
                [sys.executable, str(CHECKOUT / "run_master.py")],
                cwd=self.directory,
                env=environment | {f"BUILDD_MASTER_{name.upper()}": value for name, value in given.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wanted = True

    @property
    def master(self) -> int | None:
        """Return the master's process, if it runs."""
        return self._master.pid if self._master is not None and self._master.poll() is None else None

    def keep(self) -> None:
        """Start again what ended and is wanted."""
        now = time.monotonic()
        for slave in self.slaves.values():
            if slave.wanted and slave.process is not None and slave.process.poll() is not None:
                slave.start()
        if self._wanted and self.master is None:
            if not self._again_at:
                self._again_at = now + _AGAIN_SECONDS
            elif now >= self._again_at:
                self._again_at = 0.0
                self.restarts += 1
                self.start_master()
        if self._server_wanted and self.server.ended and now >= self._server_again_at:
            self._server_again_at = now + _AGAIN_SECONDS
            with contextlib.suppress(EmbeddedDatabaseFailed):  # what was killed has not quite gone, or there is no room
                self.server.start()

    def want_server(self, wanted: bool) -> None:
        """Say whether the server is to be started when it does not run."""
        self._server_wanted = wanted
        self._server_again_at = 0.0

    def wait_up(self) -> None:
        """Wait until the supervisor says that every actor is there."""
        deadline = time.monotonic() + _UP_SECONDS
        while len(self.pids()) < len(self.slaves) + 2:
            if time.monotonic() > deadline:
                raise SystemExit(f"the farm does not come up; see {self.log}")
            time.sleep(0.1)

    def pids(self) -> dict[str, int]:
        """Return the processes of the actors by name, `admin` among them; nothing while the supervisor does not answer."""
        try:
            with Attached(self.settings) as attached:
                found = {here.name: here.pid for here in attached.census().here}
        except (NotAttached, OSError):
            return {}
        master, supervisor = self.master, found.get("supervisor")
        with contextlib.suppress(OSError, IndexError, ValueError):
            if master is not None and supervisor is not None:
                stat = Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()
                found["admin"] = int(stat[1])
        return found

    def victim(self, name: str) -> Victim | None:
        """Return the process of that name: an actor, `admin`, `master`, or a builder's slave as `slave of NAME`."""
        if name == "master":
            pid = self.master
        elif name.startswith("slave of "):
            process = self.slaves[name.removeprefix("slave of ")].process
            pid = None if process is None or process.poll() is not None else process.pid
        else:
            pid = self.pids().get(name)
        if pid is None:
            return None
        try:
            return Victim(pid)
        except ProcessLookupError:
            return None

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]] | None:
        """Return rows; None while the database does not answer."""
        try:
            if self._asking is None:
                self._asking = connect(self.server.dsn, application="harness", statement_seconds=1.0)
            return self._asking.execute(query, values).fetchall()
        except (StorageError, psycopg.OperationalError):
            if self._asking is not None:
                self._asking.close()
                self._asking = None
            return None

    @contextlib.contextmanager
    def as_operator(self, why: str) -> Iterator[Connection[Any]]:
        """Run a transaction of a person."""
        with connect(self.server.dsn, application=WHO) as connection, acting(connection, WHO, why):
            yield connection

    # --- the end ----------------------------------------------------------------------------------

    def stop_master(self) -> int | None:
        """Stop the master in order; return its exit code."""
        self._wanted = False
        if self._master is None:
            return None
        if self._master.poll() is None:
            self._master.send_signal(signal.SIGTERM)
        return self._master.wait(_UP_SECONDS)

    def close(self) -> None:
        """End everything, however it stands."""
        self._wanted = self._server_wanted = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop_master()
        if self._master is not None and self._master.poll() is None:
            self._master.kill()
            self._master.wait()
        for slave in self.slaves.values():
            slave.kill()
        if self._asking is not None:
            self._asking.close()
            self._asking = None
        self.server.stop()
        reap()


def names(count: int) -> tuple[str, ...]:
    """Return the names of that many simulated builders."""
    return tuple(f"sim{number}" for number in range(1, count + 1))


def nurseries(builders: Sequence[object]) -> int:
    """Return how many nurseries so many builders live in."""
    return -(-len(builders) // PER_NURSERY)

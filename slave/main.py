"""The command `buildd-slave`: checks what it is told and what this machine offers, then runs the daemon.

Exit codes: 0 stopped by a signal · 1 could not start, one line says why · 2 bad usage · 3 crashed, and should be
started again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from host.journal import log_to_journal_or_stderr
from host.service import Terminal, notify, notify_reloading, watchdog_seconds
from protocol.messages import LOG_BYTES
from slave import ordinary_user
from slave.backends.chroot import BUILDER_ID
from slave.binarypackage import BACKENDS
from slave.credentials import Credentials
from slave.daemon import Daemon, Limits
from slave.errors import CannotStart, SandboxBroken
from slave.machine import Traits
from slave.roots import UNMEASURED, choose
from slave.sandbox import Command, Sandbox
from slave.state_directory import StateDirectory

log = logging.getLogger("buildd-slave")

DEFAULT_PORT = 8221
PROGRAMS = ("unshare", "setpriv", "tar", "rm", "dpkg")  #: of every backend
BACKEND_PROGRAMS = {
    "chroot": ("zstd", "nsenter", "mount"),
    "userns": ("zstd", "nsenter", "mount"),
    "host": ("dpkg-source", "dpkg-buildpackage", "dpkg-checkbuilddeps", "make"),
}
CRASHED = 3

app = typer.Typer(add_completion=False, help="Build Debian packages that a buildd-master sends.")


def default_state_directory() -> Path:
    """Return where a slave keeps its state if nobody says otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/buildd-slave")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "buildd-slave"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    state_directory: Path
    token_file: Path | None  #: None: enrolled
    backend: str
    name: str
    architectures: tuple[str, ...]
    limits: Limits


@app.callback(invoke_without_command=True)
def run(  # noqa: PLR0917 - typer calls it, by name
    context: typer.Context,
    state_directory: Annotated[
        Path,
        typer.Option(
            help="Cache, builds and state; nothing is kept elsewhere.",
            default_factory=default_state_directory,
            show_default="/var/lib/buildd-slave as root",
        ),
    ],
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="The secret that master and slave share, readable by nobody else; an enrolled slave has none."
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT; port 0 chooses one. Beyond loopback once enrolled.")
    ] = f"127.0.0.1:{DEFAULT_PORT}",
    backend: Annotated[
        str,
        typer.Option(
            help="chroot (as root), userns (as an ordinary user), or host: no isolation at all, trusted builds only. "
            "Default: chroot or userns, by who starts it.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="What it calls itself; default: the name of this machine.")] = "",
    architecture: Annotated[
        list[str] | None, typer.Option(help="Debian architecture to build for; repeatable. Default: this machine's.")
    ] = None,
    cache_limit: Annotated[int, typer.Option(help="Bytes of the file cache.", min=1)] = Limits().cache_bytes,
    log_limit: Annotated[
        int, typer.Option(help="Bytes of one build's log.", min=1, max=LOG_BYTES // 2)
    ] = Limits().log_bytes,
) -> None:
    """Run a slave in the foreground; SIGTERM or SIGINT stops it, and kills its build."""
    if context.invoked_subcommand is not None:
        context.obj = state_directory
        return
    log_to_journal_or_stderr("buildd-slave", logging.INFO)
    enrolled = Credentials(state_directory).enrolled
    if token_file is None and not enrolled:
        why = "--token-file is missing: plain TCP needs the secret that master and slave share"
        raise SystemExit(_stopped(f"{why}; `buildd-slave enroll` joins a master on another machine"))
    try:
        host, port = listen_address(listen, enrolled=enrolled)
        options = Options(
            host=host,
            port=port,
            state_directory=state_directory,
            token_file=None if enrolled else token_file,
            backend=backend or ("chroot" if os.geteuid() == 0 else "userns"),
            name=name or socket.gethostname(),
            architectures=tuple(architecture or ()),
            limits=Limits(cache_bytes=cache_limit, log_bytes=log_limit),
        )
        code = asyncio.run(serve(options))
    except CannotStart as why:
        raise SystemExit(_stopped(str(why))) from None
    raise SystemExit(code)


@app.command()
def enroll(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="Of the master, as https://HOST:8220.", show_default=False)
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="BUILDD_SLAVE_ENROLL_TOKEN",
            help="What `buildd-master ca issue NAME` printed; - reads it from stdin; else it is asked for.",
            show_default=False,
        ),
    ] = "",
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead: what `ca issue NAME --directory` wrote.", show_default=False),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Forget the farm it belongs to.")] = False,  # noqa: FBT002
) -> None:
    """Join a master on another machine, with a one-time token.

    With --again and no URL it only leaves its farm: the next one whose master has its token owns it.
    """
    from slave import enrolment  # noqa: PLC0415 - loads a library that a running slave does not need

    if not url and files is None and not again:
        raise SystemExit(
            _stopped("say where: `buildd-slave enroll https://MASTER:8220 --token -`; --again leaves a farm")
        )
    try:
        state = StateDirectory(context.obj)
        if files is not None:
            joined = enrolment.take(state, files, again=again)
        elif url:
            joined = enrolment.enroll(state, url, _enrolment_token(token), again=again)
        else:
            sys.stdout.write(f"released from farm {enrolment.release(state) or '(none)'}\n")
            return
    except CannotStart as why:
        raise SystemExit(_stopped(str(why))) from None
    sys.stdout.write(f"enrolled: this slave speaks for {joined} of the farm {joined.farm}\n")


@app.command()
def doctor(  # noqa: PLR0917 - typer calls it, by name
    context: typer.Context,
    state_directory: Annotated[Path | None, typer.Option(help="As for the slave.", show_default=False)] = None,
    token_file: Annotated[Path | None, typer.Option(help="As for the slave.", show_default=False)] = None,
    listen: Annotated[str, typer.Option(help="As for the slave.")] = f"127.0.0.1:{DEFAULT_PORT}",
    backend: Annotated[str, typer.Option(help="As for the slave.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,  # noqa: FBT002
) -> None:
    """Say what keeps a slave from building on this machine, and how to mend it; changes nothing.

    The exit code is 1 if something is broken; warnings are none.
    """
    from host.findings import examine, report  # noqa: PLC0415 - loads what a running slave does not need
    from slave.doctor import Wish, every_check  # noqa: PLC0415

    wish = Wish(state_directory or context.obj, token_file, listen, backend)
    raise SystemExit(report(tuple(examine(every_check(wish))), as_json=as_json))


def _enrolment_token(given: str) -> str:
    if given == "-":
        return sys.stdin.readline()
    return given or str(typer.prompt("Token", hide_input=True, err=True))


async def serve(options: Options) -> int:
    """Run the daemon until a signal ends it; return the exit code.

    Raises:
        CannotStart: something of the options or of this machine does not allow it.
    """
    architectures = _check_machine(options)
    token = "" if options.token_file is None else read_token(options.token_file)
    state = StateDirectory(options.state_directory)
    await _check_namespaces(options.backend, state)
    credentials = Credentials(state.path)
    if credentials.enrolled:
        credentials.check()
    mapped = options.backend == "userns"
    choice = UNMEASURED if options.backend == "host" else await choose(state.path, mapped=mapped)
    if options.backend != "host":
        log.info("the root of a build: %s", choice)
    daemon = Daemon(
        Traits(options.name, architectures, options.backend),
        state,
        token,
        choice=choice,
        credentials=credentials if credentials.enrolled else None,
        limits=options.limits,
    )
    stopping = asyncio.Event()
    loop, terminal = asyncio.get_running_loop(), Terminal()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` keeps its word
        loop.add_signal_handler(
            signal.SIGHUP, lambda: stopping.set() if terminal.hung_up() else _reload(daemon, options.token_file)
        )
    try:
        port = await daemon.start(options.host, options.port)
    except OSError as wrong:
        raise CannotStart(
            f"cannot listen on {options.host} port {options.port}: {wrong.strerror}; --listen takes another"
        ) from wrong
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stdout.write(f"READY buildd://{host}:{port}\n")
    sys.stdout.flush()
    notify("READY=1")
    _keep_watchdog_quiet(loop)
    daemon.crashed.add_done_callback(lambda _: stopping.set())
    await stopping.wait()
    notify("STOPPING=1")
    await daemon.stop()
    state.close()
    crash = daemon.crashed.exception() if daemon.crashed.done() else None
    if crash is not None:
        log.critical("the slave ends itself, to be started again", exc_info=crash)
        return CRASHED
    return 0


def _reload(daemon: Daemon, token_file: Path | None) -> None:
    """Take up what can change while it runs: the token; certificates are read anew by themselves."""
    notify_reloading()
    try:
        if token_file is not None:
            daemon.token_changed(read_token(token_file))
    except CannotStart as why:
        log.error("SIGHUP: nothing changed: %s", why)  # noqa: TRY400 - it is the file's fault
    else:
        what = "there is no token file" if token_file is None else f"{token_file} was read again"
        log.warning("SIGHUP: %s; options of the command line take effect at the next start", what)
    notify("READY=1")


def _keep_watchdog_quiet(loop: asyncio.AbstractEventLoop) -> None:
    """Tell systemd's watchdog, for as long as the loop goes round, that the daemon does not hang."""
    seconds = watchdog_seconds()
    if seconds is not None:
        notify("WATCHDOG=1")
        loop.call_later(seconds / 3, _keep_watchdog_quiet, loop)


# -- what must hold before it starts -------------------------------------------------------------------------------
def listen_address(text: str, *, enrolled: bool) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; a slave that is not enrolled listens on loopback addresses only.

    Raises:
        CannotStart: it is no such address.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - ports end there
        raise CannotStart(f"--listen {text!r} is not HOST:PORT with a port from 0 to 65535")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise CannotStart(f"--listen {text!r}: {host!r} is no IP address") from None
    if not loopback and not enrolled:
        raise CannotStart(
            f"--listen {text!r}: plain TCP is spoken on loopback addresses only (127.0.0.1, ::1), "
            "for anybody on the way could read and change what passes; `buildd-slave enroll` joins a master elsewhere"
        )
    return host, int(port)


def read_token(path: Path) -> str:
    """Return the shared secret.

    Raises:
        CannotStart: no such file, others may read it, or it holds no secret.
    """
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as wrong:
        words = wrong.strerror if isinstance(wrong, OSError) else "not text"
        raise CannotStart(f"token file {path}: {words}; the master makes it in its state directory") from wrong
    if stat.S_IMODE(mode) & 0o077:
        raise CannotStart(f"token file {path} is open to others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
    if not token or not token.isascii():
        raise CannotStart(f"token file {path} holds no token")
    return token


def _check_machine(options: Options) -> tuple[str, ...]:
    """Return the architectures to build for."""
    if options.backend not in BACKENDS:
        raise CannotStart(f"--backend {options.backend!r} is none of {', '.join(BACKENDS)}")
    if options.backend == "chroot" and os.geteuid() != 0:
        raise CannotStart("the backend 'chroot' needs root: start the slave as root, or with --backend userns")
    needed = PROGRAMS + BACKEND_PROGRAMS[options.backend]
    lacking = [program for program in needed if shutil.which(program) is None]
    if lacking:
        raise CannotStart(
            f"not found on this machine: {', '.join(lacking)}; apt-get install util-linux tar zstd dpkg-dev make"
        )
    if options.backend == "userns" and (lacks := ordinary_user.lacking(options.state_directory)):
        raise CannotStart(ordinary_user.line(lacks))
    if options.architectures:
        return options.architectures
    told = subprocess.run(["dpkg", "--print-architecture"], check=False, capture_output=True, text=True)
    if told.returncode != 0:
        raise CannotStart(f"dpkg does not tell this machine's architecture: {told.stderr.strip()}")
    return (told.stdout.strip(),)


async def _check_namespaces(backend: str, state: StateDirectory) -> None:
    """Enter a root as a build would: containers often forbid it, and it is better to know now."""
    probe = state.build("probe")
    try:
        if backend == "host":
            await Sandbox(None, state.path).run(Command(("true",)), lambda _: None)
            return
        for name in ("proc", "dev", "sys"):
            (probe / name).mkdir(parents=True, exist_ok=True)
        # There is no such program in there; but all that goes before has been done.
        sandbox = Sandbox(probe, state.path, mapped=backend == "userns")
        own = Command(("true",), directories=(("/builder", BUILDER_ID),))
        await sandbox.run(own, lambda _: None)
    except SandboxBroken as wrong:
        raise CannotStart(
            f"this machine does not let us make the namespaces that a build runs in ({wrong}): in a container "
            "it takes CAP_SYS_ADMIN; --backend host takes none, and builds trusted code without any isolation"
        ) from wrong
    finally:
        state.discard(probe)


def _stopped(why: str) -> int:
    sys.stderr.write(f"buildd-slave: {why}\n")
    return 1


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="buildd-slave")


if __name__ == "__main__":
    main()

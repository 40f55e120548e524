"""The command `buildd-slave`: checks what it is told and what this machine offers, then runs the daemon.

Exit codes: 0 stopped by a signal · 1 could not start, one line says why · 2 bad usage · 3 crashed, and should be
started again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from host.journal import log_to_journal_or_stderr
from host.service import Terminal, notify, notify_reloading, watchdog_seconds
from protocol.messages import LOG_BYTES
from slave.core.machine import Traits
from slave.daemon import Daemon, Limits
from slave.disk.roots import UNMEASURED, choose
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart
from slave.joining.credentials import Credentials
from slave.readiness.preconditions import check_machine, check_namespaces, listen_address, own_architecture, read_token

log = logging.getLogger("buildd-slave")

DEFAULT_PORT = 8221
CRASHED = 3


def _examples(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\n".join(
        ["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  buildd-slave {one}" for one in lines)]
    )


app = typer.Typer(
    add_completion=False,
    help="Build Debian packages that a buildd-master sends.",
    rich_markup_mode=None,  # as that of buildd-master
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_examples("--token-file /var/lib/buildd-master/slave-token", "--listen 0.0.0.0:8221  # once it is enrolled"),
)


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


@app.command(epilog=_examples("enroll https://MASTER:8220", "enroll --again  # leaves its farm"))
def enroll(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Of the master, as https://HOST:8220.", show_default=False)
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
    from slave.joining import enrolment  # noqa: PLC0415 - loads a library that a running slave does not need

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


@app.command(epilog=_examples("doctor --token-file /var/lib/buildd-master/slave-token"))
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
    from slave.readiness.doctor import Wish, every_check  # noqa: PLC0415

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
    check_machine(options.backend, options.state_directory)
    architectures = options.architectures or (own_architecture(),)
    token = "" if options.token_file is None else read_token(options.token_file)
    state = StateDirectory(options.state_directory)
    await check_namespaces(options.backend, state)
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


def _stopped(why: str) -> int:
    sys.stderr.write(f"buildd-slave: {why}\n")
    return 1


def main() -> None:
    """Run the command line of this process."""
    try:
        app(prog_name="buildd-slave", standalone_mode=False)
    except typer.TyperException as wrong:
        context = getattr(wrong, "ctx", None)
        where = "buildd-slave" if context is None else context.command_path
        _stopped(f"{wrong.format_message().rstrip('.')}: see `{where} --help`")
        raise SystemExit(wrong.exit_code) from None
    except typer.Abort:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()

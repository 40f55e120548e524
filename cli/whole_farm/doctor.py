"""`buildd-master doctor`: is this machine, and the farm on it, as they should be; and what mends what is not.

Looks only; works while the farm runs and while it does not, for root and for others.  The checks of the database are in
`cli.whole_farm.database_checkup`; those that a slave's doctor makes too in `host.checks`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from actors.master.run_file import RunningFarm, running_farm
from actors.master.settings_file import BadSetting
from actors.settings import Settings, place_of
from cli.given import given, login_name
from cli.terminal.output import AsJson
from cli.whole_farm.database_checkup import database
from host import checks
from host.findings import Check, Finding, broken, does_not_apply, examine, ok, report, warning
from host.unprivileged import closed_to_others, interpreter_paths

_GIB: Final = 1 << 30
_OPEN_FILES: Final = 4096  #: a farm of 1,000 builders needs 1,056 in one process
_PROGRAMS: Final = {"mmdebstrap": "mmdebstrap", "zstd": "zstd", "apt-get": "apt", "dpkg": "dpkg"}


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Say what is wrong with this machine and this farm, and how to mend it.

    Changes nothing. The exit code is 1 if something is broken; warnings are none.
    """
    try:
        settings = given(context).read()
    except BadSetting as error:
        lines = str(error).splitlines()
        wrong = [broken("settings", line, "correct it there, or take it out") for line in lines]
        raise typer.Exit(report([*wrong, *examine(_machine_checks())], as_json=as_json)) from None
    every = (*_farm_checks(settings), *_machine_checks())
    raise typer.Exit(report(tuple(examine(every)), as_json=as_json))


def _farm_checks(settings: Settings) -> tuple[tuple[str, Check], ...]:
    directory = settings.state_directory
    return (
        ("settings", lambda: [ok("settings", "readable, every key is known")]),
        ("user", lambda: farm_user(settings)),
        ("state directory", lambda: state_directory(settings)),
        ("disk", lambda: checks.space("disk", directory, needed=_GIB, wanted=10 * _GIB)),
        ("secrets", lambda: secrets(settings)),
        ("master", lambda: master(settings)),
        ("database", lambda: database(settings)),
        ("ports", lambda: ports(settings)),
        ("open files", lambda: open_files(settings)),
        ("ways", lambda: ways(settings)),
    )


def _machine_checks() -> tuple[tuple[str, Check], ...]:
    return (
        ("clock", checks.clock),
        ("locale", lambda: checks.locale(os.environ)),
        ("programs", lambda: checks.programs("programs", _PROGRAMS, "`chroot make` and `submit NAME`", must=False)),
    )


def farm_user(settings: Settings) -> Iterator[Finding]:
    """See whom a master would run as."""
    if os.geteuid() != 0:
        yield ok("user", f"a master started now runs as {login_name()}")
    elif not settings.user:
        yield warning("user", "a master started by root stays root", 'user = "buildd-master", in the settings')
    elif _known(settings.user):
        yield ok("user", settings.user)
    elif shutil.which("useradd"):
        yield ok("user", f"{settings.user}, made at the first start")
    else:
        yield broken("user", f"{settings.user} can't be made: useradd is missing", "apt-get install passwd")


def state_directory(settings: Settings) -> Iterator[Finding]:
    """See whether the state directory is there, closed to others, and the farm's own."""
    check, place = "state directory", settings.state_directory
    if not place.exists():
        above = checks.nearest(place)
        if os.access(above, os.W_OK):
            yield ok(check, f"{place}, made at the first start")
        else:
            yield broken(check, f"{place} can't be made: {above} is closed to {login_name()}", "set state_directory")
        return
    status = place.stat()
    if not stat.S_ISDIR(status.st_mode):
        yield broken(check, f"{place} is no directory", "set state_directory")
        return
    owner = _name(status.st_uid)
    farmer = settings.user if os.geteuid() == 0 and settings.user else login_name()
    unused = os.geteuid() == 0 == status.st_uid and not any(place.iterdir())  # a start gives it to the farm's user
    if owner != farmer and not unused:
        step = f"chown -R {farmer}: {place}" if os.geteuid() == 0 else f"run this as {owner}, or set state_directory"
        yield broken(check, f"{place} belongs to {owner}, and not to {farmer}", step)
    elif status.st_mode & 0o077:
        yield warning(check, f"{place} is open to others ({stat.S_IMODE(status.st_mode):04o})", f"chmod 700 {place}")
    else:
        yield ok(check, f"{place}, of {owner}")


def secrets(settings: Settings) -> Iterator[Finding]:
    """See that nobody but their owner reads the secrets."""
    files = [path for path in (settings.token_file, settings.key_file, settings.files_key_file) if path.exists()]
    files += sorted((settings.state_directory / "tls").glob("*key*"))
    for path in (open_ones := [path for path in files if path.stat().st_mode & 0o077]):
        yield broken("secrets", f"{path} is open to others", f"chmod 600 {path}")
    if not files:
        yield does_not_apply("secrets", "made at the first start")
    elif not open_ones:
        yield ok("secrets", ", ".join(path.name for path in files))


def master(settings: Settings) -> Iterator[Finding]:
    """See whether a master runs here."""
    running = running_farm(settings.run_file)
    if running is None:
        yield does_not_apply("master", f"none runs in {settings.state_directory}: `buildd-master up` starts one")
    else:
        yield ok("master", f"runs (pid {running.pid})")


def ports(settings: Settings) -> Iterator[Finding]:
    """See whether the ports that a master listens on are to be had."""
    if _running(settings):
        yield ok("ports", "the running master has its own")
        return
    wanted = {"admin_port": settings.admin_port and f"127.0.0.1:{settings.admin_port}"}
    wanted["enroll_listen"] = settings.enroll_listen
    wanted["files_listen"] = settings.files_listen
    refused = {name: (place, why) for name, place in wanted.items() if place and (why := _refused(place))}
    for name, (place, why) in refused.items():
        yield broken("ports", f"{name}: can't listen on {place}: {why}", f"set another {name}")
    if not refused:
        yield ok("ports", "those that are set are free, all others are chosen")


def open_files(settings: Settings) -> Iterator[Finding]:
    """See how many files the master may have open: the running one, else one that is started from here."""
    running = _running(settings)
    hard = None
    if running is not None:
        limits = (Path("/proc") / str(running.pid) / "limits").read_text(encoding="ascii").splitlines()
        (most,) = (line.split()[4] for line in limits if line.startswith("Max open files"))
        hard = int(most) if most.isdigit() else None
    yield from checks.open_files(hard, needed=_OPEN_FILES)


def ways(settings: Settings) -> Iterator[Finding]:
    """See whether the farm's user can reach its code, or root can open it a way in mounts of its own (docs/adr/0002)."""
    if os.geteuid() != 0 or not settings.user:
        yield does_not_apply("ways", "whoever starts the master keeps what they can read")
        return
    closed = closed_to_others((*interpreter_paths(), settings.state_directory.parent))
    if closed is None:
        yield ok("ways", "code and state directory are open to the farm's user")
        return
    tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True, text=True)
    if tried.returncode == 0:
        yield ok("ways", f"{closed} is closed; the master gets mounts of its own")
    else:
        step = "run the farm as an ordinary user, or install it outside of closed directories"
        yield broken("ways", f"{closed} is closed, and no private mounts are allowed here (CAP_SYS_ADMIN)", step)


def _running(settings: Settings) -> RunningFarm | None:
    try:
        return running_farm(settings.run_file)
    except PermissionError:
        return None


def _refused(address: str) -> str:
    """Return why nobody can listen there; empty if one can."""
    host, port = place_of(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"

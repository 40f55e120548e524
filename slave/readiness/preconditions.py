"""What must hold before the slave starts: its address, its secret, programs, and the namespaces of a build.

`slave.main` asks before anything is made; `slave.readiness.doctor` asks some of it beside a slave that runs.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import stat
import subprocess
from pathlib import Path

from slave.building.binarypackage import BACKENDS
from slave.building.chroot import BUILDER_ID
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart, SandboxBroken
from slave.isolation.sandbox import Command, Sandbox
from slave.readiness import ordinary_user

PROGRAMS = ("unshare", "setpriv", "tar", "rm", "dpkg")  #: of every backend
BACKEND_PROGRAMS = {
    "chroot": ("zstd", "nsenter", "mount"),
    "userns": ("zstd", "nsenter", "mount"),
    "host": ("dpkg-source", "dpkg-buildpackage", "dpkg-checkbuilddeps", "make"),
}


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


def check_machine(backend: str, state_directory: Path) -> None:
    """See that this machine has what the backend takes.

    Raises:
        CannotStart: it has not; nothing was made.
    """
    if backend not in BACKENDS:
        raise CannotStart(f"--backend {backend!r} is none of {', '.join(BACKENDS)}")
    if backend == "chroot" and os.geteuid() != 0:
        raise CannotStart("the backend 'chroot' needs root: start the slave as root, or with --backend userns")
    needed = PROGRAMS + BACKEND_PROGRAMS[backend]
    lacking = [program for program in needed if shutil.which(program) is None]
    if lacking:
        raise CannotStart(
            f"not found on this machine: {', '.join(lacking)}; apt-get install util-linux tar zstd dpkg-dev make"
        )
    if backend == "userns" and (lacks := ordinary_user.lacking(state_directory)):
        raise CannotStart(ordinary_user.line(lacks))


def own_architecture() -> str:
    """Return this machine's Debian architecture tag.

    Raises:
        CannotStart: dpkg does not tell.
    """
    told = subprocess.run(["dpkg", "--print-architecture"], check=False, capture_output=True, text=True)
    if told.returncode != 0:
        raise CannotStart(f"dpkg does not tell this machine's architecture: {told.stderr.strip()}")
    return told.stdout.strip()


async def check_namespaces(backend: str, state: StateDirectory) -> None:
    """Enter a root as a build would: containers often forbid it, and it is better to know now.

    Raises:
        CannotStart: this one does.
    """
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

"""`buildd-slave doctor`: could a slave with these options build on this machine, and what mends what is missing.

Looks only: nothing is made in the state directory, and what is started to try the kernel ends at once.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certificates.files import NoCertificate
from certificates.identity import CertificateRole, moment
from host import checks
from host.findings import Check, Finding, broken, does_not_apply, ok, warning
from slave.building.binarypackage import BACKENDS
from slave.errors import CannotStart
from slave.isolation.sandbox import LINUX32
from slave.joining.credentials import WARNED_BEFORE, Credentials
from slave.readiness import ordinary_user
from slave.readiness.preconditions import BACKEND_PROGRAMS, PROGRAMS, listen_address, read_token

_GIB: Final = 1 << 30
_LEAST_MEMORY: Final = 1 << 20  #: kB available; a compiler wants about that
_PACKAGES: Final = {
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "tar": "tar",
    "rm": "coreutils",
    "dpkg": "dpkg",
    "zstd": "zstd",
    "dpkg-source": "dpkg-dev",
    "dpkg-buildpackage": "dpkg-dev",
    "dpkg-checkbuilddeps": "dpkg-dev",
    "make": "make",
}
_NAMESPACES: Final = {
    "chroot": ("--mount", "--pid", "--fork", "--ipc", "--uts", "--net"),
    "host": ("--mount", "--pid", "--fork"),
}
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_THIRTY_TWO: Final = {"x86_64": "i386", "aarch64": "armhf"}  #: machine → what its 64-bit kernel runs as well


@dataclass(frozen=True, slots=True)
class Wish:
    """How a slave would be started."""

    state_directory: Path
    token_file: Path | None
    listen: str
    backend: str  #: empty: by who starts it

    @property
    def chosen(self) -> str:
        """The backend that a slave would take."""
        return self.backend or ("chroot" if os.geteuid() == 0 else "userns")


def every_check(wish: Wish) -> tuple[tuple[str, Check], ...]:
    """Return the checks, by name, in the order in which they are shown."""
    directory = wish.state_directory
    return (
        ("backend", lambda: backend(wish)),
        ("programs", lambda: programs(wish)),
        ("namespaces", lambda: namespaces(wish)),
        ("ordinary user", lambda: subordinate(wish)),
        ("kernel", kernel),
        ("state directory", lambda: state_directory(directory)),
        ("disk", lambda: checks.space("disk", directory, needed=2 * _GIB, wanted=20 * _GIB)),
        ("memory", lambda: memory(Path("/proc/meminfo").read_text(encoding="ascii"))),
        ("slave", lambda: running(directory)),
        ("port", lambda: port(wish)),
        ("token", lambda: token(wish)),
        ("certificate", lambda: certificate(directory)),
        ("architectures", architectures),
        ("clock", checks.clock),
        ("locale", lambda: checks.locale(os.environ)),
    )


def backend(wish: Wish) -> Iterator[Finding]:
    """Say which backend it would be, and why."""
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    if wish.chosen not in BACKENDS:
        yield broken("backend", f"{wish.chosen!r} is none of {', '.join(BACKENDS)}", "--backend chroot")
    elif wish.chosen == "chroot" and os.geteuid() != 0:
        yield broken("backend", "chroot needs root", "start the slave as root, or with --backend userns")
    elif wish.backend:
        yield ok("backend", f"{wish.backend}, as asked for")
    else:
        yield ok("backend", f"{wish.chosen}, since {who} would start it")


def programs(wish: Wish) -> Iterator[Finding]:
    """See whether what the backend runs is there."""
    wanted = {name: _PACKAGES[name] for name in (*PROGRAMS, *BACKEND_PROGRAMS.get(wish.chosen, ()))}
    yield from checks.programs("programs", wanted, f"the backend {wish.chosen}", must=True)


def namespaces(wish: Wish) -> Iterator[Finding]:
    """See whether root may make the namespaces that a build runs in."""
    kinds = _NAMESPACES.get(wish.chosen)
    if kinds is None or os.geteuid() != 0:
        yield does_not_apply("namespaces", "those of an ordinary user are looked at below")
        return
    tried = subprocess.run(["unshare", *kinds, "true"], check=False, capture_output=True, text=True)
    if tried.returncode == 0:
        yield ok("namespaces", " ".join(kind.removeprefix("--") for kind in kinds if kind != "--fork"))
        return
    words = (tried.stderr.strip().splitlines() or ["unshare failed"])[-1]
    step = "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined …, or --backend host"
    yield broken("namespaces", f"not allowed here, as in most containers ({words})", step)


def subordinate(wish: Wish) -> Iterator[Finding]:
    """See whether an ordinary user has what it takes (`slave.readiness.ordinary_user`)."""
    if wish.chosen != "userns":
        yield does_not_apply("ordinary user", f"the backend {wish.chosen} needs no subordinate ids")
        return
    lacks = ordinary_user.lacking(wish.state_directory)
    for lack in lacks:
        yield broken("ordinary user", lack.what, f"as root: {lack.mend}")
    if not lacks:
        yield ok("ordinary user", "subordinate ids, newuidmap, newgidmap, user namespaces")


def kernel() -> Iterator[Finding]:
    """Say which of the kernel's features that builds profit from are there."""
    systems = Path("/proc/filesystems").read_text(encoding="ascii").split()
    cgroups = "cgroup v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "cgroup v1"
    found = f"Linux {platform.release()}, {cgroups}"
    if "overlay" in systems:
        yield ok("kernel", f"{found}, overlayfs")
    else:
        yield warning("kernel", f"{found}, no overlayfs: base systems are unpacked for each build", "modprobe overlay")


def state_directory(directory: Path) -> Iterator[Finding]:
    """See whether the state directory can be made or written, and programs be run from it."""
    check, who = "state directory", os.geteuid()
    lack = ordinary_user.file_system(directory)
    if lack is not None:
        yield broken(check, lack.what, lack.mend)
    elif not directory.exists():
        above = checks.nearest(directory)
        if os.access(above, os.W_OK | os.X_OK):
            yield ok(check, f"{directory}, made at the first start")
        else:
            yield broken(check, f"{directory} can't be made: {above} is closed to us", "--state-directory DIR")
    elif not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        yield broken(check, f"{directory} can't be written by user id {who}", "--state-directory DIR")
    elif (mode := directory.stat().st_mode) & 0o022:
        yield warning(check, f"others may write {directory} ({stat.S_IMODE(mode):04o})", f"chmod go-w {directory}")
    else:
        yield ok(check, str(directory))


def memory(meminfo: str) -> Iterator[Finding]:
    """See whether there is memory for a build.

    Args:
        meminfo: /proc/meminfo.
    """
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    free, whole = (int(fields[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
    words = f"{free / 1048576:.1f} of {whole / 1048576:.1f} GiB available"
    if free < _LEAST_MEMORY:
        yield warning("memory", f"{words}: a build of any size takes more", "end something else, or add memory")
    else:
        yield ok("memory", words)


def running(directory: Path) -> Iterator[Finding]:
    """Say whether a slave runs in this state directory."""
    pid = _running(directory)
    if pid is None:
        yield does_not_apply("slave", f"none runs in {directory}")
    else:
        yield ok("slave", f"runs (pid {pid})")


def port(wish: Wish) -> Iterator[Finding]:
    """See whether the address is one to listen on, and free."""
    try:
        address = listen_address(wish.listen, enrolled=Credentials(wish.state_directory).enrolled)
    except CannotStart as error:
        yield broken("port", str(error), "--listen 127.0.0.1:8221")
        return
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _running(wish.state_directory) is not None:
                yield ok("port", f"{wish.listen}, held by the slave that runs")
            else:
                yield broken("port", f"{wish.listen}: {error.strerror}", "--listen with another port")
            return
    yield ok("port", f"{wish.listen} is free")


def token(wish: Wish) -> Iterator[Finding]:
    """See whether the secret is there, and ours alone."""
    if Credentials(wish.state_directory).enrolled:
        yield does_not_apply("token", "an enrolled slave shows its certificate")
    elif wish.token_file is None:
        step = "--token-file FILE for a master on this machine; `buildd-slave enroll` for another"
        yield warning("token", "none is named, and the slave is not enrolled", step)
    else:
        try:
            read_token(wish.token_file)
        except CannotStart as error:
            yield broken("token", str(error), f"chmod 600 {wish.token_file}, or name the master's own")
        else:
            yield ok("token", str(wish.token_file))


def certificate(directory: Path) -> Iterator[Finding]:
    """See for how long the slave's certificate is good."""
    credentials = Credentials(directory)
    if not credentials.enrolled:
        yield does_not_apply("certificate", "the slave is not enrolled")
        return
    try:
        own = credentials.own
    except NoCertificate as error:
        yield broken("certificate", str(error), "buildd-slave enroll --again URL")
        return
    left = own.not_after - datetime.now(UTC)
    if own.identity is None or own.identity.role is not CertificateRole.BUILDER:
        yield broken("certificate", "it is no builder's", "buildd-slave enroll --again URL")
    elif left.total_seconds() <= 0:
        yield broken("certificate", f"expired on {moment(own.not_after)}", "buildd-slave enroll --again URL")
    elif left < WARNED_BEFORE:
        found = f"of {own.identity}, expires on {moment(own.not_after)}; its master renews it when it connects"
        yield warning("certificate", found, f"buildd-master ca renew {own.identity.name}, at the master")
    else:
        yield ok("certificate", f"of {own.identity}, valid until {moment(own.not_after)}")


def architectures() -> Iterator[Finding]:
    """Say what this machine builds for: its own, what its kernel runs as well, and what an emulator is registered for."""
    told = subprocess.run(["dpkg", "--print-architecture"], check=False, capture_output=True, text=True)
    if told.returncode != 0:
        yield broken("architectures", "dpkg does not tell this machine's", "--architecture NAME")
        return
    found = [told.stdout.strip()]
    second = _THIRTY_TWO.get(platform.machine())
    if second in LINUX32 and second not in found:
        found.append(f"{second} (by the kernel)")
    emulated = sorted(path.name.removeprefix("qemu-") for path in _BINFMT.glob("qemu-*"))
    if emulated:
        found.append(f"emulated: {', '.join(emulated)}")
    yield ok("architectures", "; ".join(found))


def _running(directory: Path) -> int | None:
    """Return the process of the slave that holds this state directory; None if none does."""
    try:
        pid = int((directory / "lock").read_text(encoding="ascii"))
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"slave" in command else None

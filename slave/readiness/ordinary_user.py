"""What an ordinary user needs of a machine to build in user namespaces; where it lacks, the command that mends it.

Every check returns what is lacking, or None.  They only look; the slave asks them before it makes anything.
`python -m slave.readiness.ordinary_user DIRECTORY` asks them all, and says in one line what is missing; with `--mends`, only the
commands, packages aside.  Standard library only: it is run before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slave.isolation import subordinate_ids
from slave.isolation.subordinate_ids import FILES, NEEDED, PROGRAMS, blocks, owned

FIRST_SUBORDINATE = 100_000  #: where login.defs has them begin (SUB_UID_MIN)
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")
FORBIDS_USERNS = "kernel/unprivileged_userns_clone"  #: Debian's own setting
FORBIDS_BY_APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"
NAMESPACES = 15000  #: of a kind; a build has one at a time
_SETTINGS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing."""

    what: str  #: one line
    mend: str  #: what an administrator runs, as root


def programs(which: Callable[[str], str | None] = shutil.which) -> Lack | None:
    """Find the programs that map subordinate ids."""
    missing = [name for name in PROGRAMS if which(name) is None]
    if not missing:
        return None
    return Lack(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", "apt-get install uidmap")


def setuid(which: Callable[[str], str | None] = shutil.which) -> Lack | None:
    """See that those programs have root's rights, by mode or by capability, where they lie."""
    for name in PROGRAMS:
        path = which(name)
        if path is None:
            continue
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            place = mount_point(Path(path))
            return Lack(f"{path} has no rights: {place} is mounted nosuid", f"mount -o remount,suid {place}")
        if not Path(path).stat().st_mode & stat.S_ISUID and "security.capability" not in os.listxattr(path):
            return Lack(f"{path} is not setuid root", f"chmod u+s {path}")
    return None


def new_privileges(status: str) -> Lack | None:
    """See that a setuid program works for us.

    Args:
        status: of a process, as /proc/self/status.
    """
    if "NoNewPrivs:\t1" not in status.splitlines():
        return None
    return Lack(
        "this process may gain no privileges, and so newuidmap can't work (its service must have NoNewPrivileges=no)",
        "systemctl edit buildd-slave",
    )


def subordinate(user: str, names: frozenset[str], subuid: str, subgid: str) -> Lack | None:
    """See that the user has a block of subordinate ids that is large enough, in either file.

    Args:
        user: login name, as `usermod` takes it.
        names: what he is called in the files: login name and user id.
        subuid: text of /etc/subuid.
        subgid: text of /etc/subgid.
    """
    short: list[str] = []
    has = 0
    for kind, text in (("user", subuid), ("group", subgid)):
        largest = max((block.count for block in owned(text, names)), default=0)
        if largest < NEEDED:
            short.append(kind)
            has = max(has, largest)
    if not short:
        return None
    # Behind everybody else's in both files: one range for both is what `useradd` gives.
    taken = [block.end for text in (subuid, subgid) for block in blocks(text)]
    first = max([FIRST_SUBORDINATE, *taken])
    block = f"{first}-{first + NEEDED - 1}"
    options = " ".join(f"--add-sub{'uids' if kind == 'user' else 'gids'} {block}" for kind in short)
    found = f"no block of {NEEDED} of them (the largest: {has})" if has else "none"
    return Lack(f"{user} needs subordinate {' and '.join(short)} ids, and has {found}", f"usermod {options} {user}")


def namespaces(setting: Callable[[str], str | None], attempt: Callable[[], str]) -> Lack | None:
    """See that the kernel lets an ordinary user make a user namespace, and the others in it.

    Args:
        setting: returns the value of a file below /proc/sys; None if there is none.
        attempt: makes such a namespace; returns the error's words, or nothing.
    """
    if setting(FORBIDS_USERNS) == "0":
        return _by_setting("user namespaces are for root only", FORBIDS_USERNS, 1)
    for kind in KINDS:
        if setting(f"user/max_{kind}_namespaces") == "0":
            return _by_setting(f"no {kind} namespace can be made", f"user/max_{kind}_namespaces", NAMESPACES)
    words = attempt()
    if not words:
        return None
    if setting(FORBIDS_BY_APPARMOR) == "1":
        return _by_setting("AppArmor keeps ordinary users from user namespaces", FORBIDS_BY_APPARMOR, 0)
    return Lack(
        f"user namespaces are forbidden here, as in most containers ({words})",
        "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined …",
    )


def _by_setting(what: str, name: str, value: int) -> Lack:
    dotted = name.replace("/", ".")
    return Lack(f"{what} ({dotted})", f"sysctl -w {dotted}={value}")


def file_system(directory: Path) -> Lack | None:
    """See that programs can be run from `directory`, or from where it will be made.

    `nosuid` and `nodev` do no harm: a build's devices lie on a mount of its own, and no setuid program works for it.
    """
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    if not os.statvfs(place).f_flag & os.ST_NOEXEC:
        return None
    point = mount_point(place)
    return Lack(f"{point}, where {directory} lies, is mounted noexec", f"mount -o remount,exec {point}")


def mount_point(path: Path) -> Path:
    """Return where the file system of `path` is mounted."""
    place = path.resolve()
    while not place.is_mount():
        place = place.parent
    return place


def lacking(directory: Path) -> tuple[Lack, ...]:
    """Return all that is missing for a slave whose state directory is `directory`."""
    user, names = subordinate_ids.login_name(), subordinate_ids.names()
    found = (
        programs(),
        setuid(),
        new_privileges(Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")),
        subordinate(user, names, *(subordinate_ids.read(path) for path in FILES)),
        namespaces(_setting, _attempt),
        file_system(directory),
    )
    return tuple(lack for lack in found if lack is not None)


def line(lacks: tuple[Lack, ...]) -> str:
    """Say in one line what is missing, and the one command that mends it all."""
    return f"{'; '.join(lack.what for lack in lacks)}; as root, run: {' && '.join(lack.mend for lack in lacks)}"


def _setting(name: str) -> str | None:
    try:
        return (_SETTINGS / name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _attempt() -> str:
    try:
        tried = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "true"],
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError as wrong:
        return f"unshare: {wrong.strerror}"
    return " ".join(tried.stderr.split()) if tried.returncode else ""


def main() -> int:
    """Say what is missing; exit code 1 if something is."""
    *options, directory = sys.argv[1:]
    lacks = lacking(Path(directory))
    if options == ["--mends"]:
        sys.stdout.write("".join(f" && {lack.mend}" for lack in lacks if lack != programs()))
    elif lacks:
        sys.stderr.write(f"{line(lacks)}\n")
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())

"""What master and slave both want of a machine: looks only, starts and changes nothing."""

from __future__ import annotations

import codecs
import ctypes
import os
import resource
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from host.findings import Finding, broken, ok, warning

_GIB: Final = 1 << 30
_FEW_INODES: Final = 10_000  #: a chroot has more
_UNSYNCHRONISED: Final = 0x40  #: STA_UNSYNC, of adjtimex(2)
_STATUS_AT: Final = 40  #: bytes before `status` in `struct timex`, where long has 64 bits
_TIMEX_BYTES: Final = 256  #: more than the struct has


def clock(status: int | None = None) -> Iterator[Finding]:
    """See whether somebody keeps the clock right; certificates, deadlines and apt's lists depend on it.

    Args:
        status: `timex.status` of adjtimex(2); None: this kernel's.
    """
    if (_kernel_clock() if status is None else status) & _UNSYNCHRONISED:
        step = "apt-get install systemd-timesyncd && timedatectl set-ntp true"
        yield warning("clock", "nobody keeps it right (in a container: the host may)", step)
    else:
        yield ok("clock", "synchronised")


def _kernel_clock() -> int:
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # all zero: asks, and sets nothing
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(struct.unpack_from("i", timex, _STATUS_AT)[0])


def locale(environment: Mapping[str, str]) -> Iterator[Finding]:
    """See whether texts are UTF-8; an unset locale is ASCII to most programs."""
    name = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    value = environment.get(name, "")
    _, _, charset = value.partition("@")[0].partition(".")
    if not value:
        yield warning("locale", "unset: names that are not ASCII may be shown wrong", "export LANG=C.UTF-8")
    elif not charset or codecs.lookup(charset if _known(charset) else "ascii").name != "utf-8":
        yield warning("locale", f"{name}={value} is not UTF-8", f"export {name}=C.UTF-8")
    else:
        yield ok("locale", f"{name}={value}")


def _known(charset: str) -> bool:
    try:
        codecs.lookup(charset)
    except LookupError:
        return False
    return True


def space(check: str, directory: Path, *, needed: int, wanted: int) -> Iterator[Finding]:
    """See how much room the file system of `directory`, or of where it will be made, has for us.

    Args:
        check: its name.
        directory: need not exist.
        needed: bytes without which nothing works.
        wanted: bytes below which it will not go well for long.
    """
    place = nearest(directory)
    state = os.statvfs(place)
    free = state.f_bavail * state.f_frsize
    words = f"{free / _GIB:.1f} GiB free at {place}"
    step = f"make room at {place}, or choose another state directory"
    if free < needed:
        yield broken(check, f"{words}: {needed / _GIB:.0f} are needed", step)
    elif free < wanted:
        yield warning(check, f"{words}: {wanted / _GIB:.0f} would do", step)
    elif state.f_files and state.f_favail < _FEW_INODES:
        yield broken(check, f"{words}, but only {state.f_favail} inodes", step)
    else:
        yield ok(check, words)


def nearest(path: Path) -> Path:
    """Return `path`, or the nearest directory above it that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def programs(check: str, packages: Mapping[str, str], what_for: str, *, must: bool) -> Iterator[Finding]:
    """See whether programs are there.

    Args:
        check: its name.
        packages: program → Debian package.
        what_for: what does not work without them.
        must: nothing works without them.
    """
    missing = [name for name in packages if shutil.which(name) is None]
    if not missing:
        yield ok(check, f"{', '.join(packages)}: there")
        return
    verdict = broken if must else warning
    install = " ".join(dict.fromkeys(packages[name] for name in missing))
    yield verdict(check, f"{', '.join(missing)}: missing; needed for {what_for}", f"apt-get install {install}")


def open_files(hard: int | None = None, *, needed: int) -> Iterator[Finding]:
    """See how many files a process may have open.

    Args:
        hard: the limit; None: this process's, which a program started from here inherits.
        needed: so many.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if limit == resource.RLIM_INFINITY or limit >= needed:
        yield ok("open files", "unlimited" if limit == resource.RLIM_INFINITY else f"up to {limit}")
    else:
        yield warning("open files", f"up to {limit}; a large farm needs {needed}", f"ulimit -Hn {needed}, as root")

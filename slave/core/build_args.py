"""What a `Build` message must carry for build type `binarypackage`; checked before anything is done.

Pure: the slave's machine asks it, real slave and simulated slave alike.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from protocol.messages import Arg, Build

BINARYPACKAGE = "binarypackage"
ALL = "all"  #: the architecture of packages that run on every architecture
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHA256 = re.compile(r"[0-9a-f]{64}")
FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,254}")  #: dpkg's alphabet for files of a source package
ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}")
LIMIT_ORIGIN = re.compile(r"([a-z_]+)=([a-z]{1,32})")
DAY = 24 * 3600

#: The least and the most of each limit; the master has the same table in its `storage.limits`.
LIMITS: dict[str, tuple[int, int]] = {
    "wall_seconds": (1, 30 * DAY),
    "silent_seconds": (1, 30 * DAY),
    "memory_bytes": (16 << 20, 1 << 50),
    "processes": (8, 1 << 22),
    "file_bytes": (64 << 10, 1 << 50),
    "log_bytes": (1 << 10, 256 << 20),
    "disk_bytes": (1 << 20, 1 << 50),
}


@dataclass(frozen=True, slots=True)
class BadArgs:
    """One argument that the slave does not take."""

    which: str
    text: str  #: one line; names the argument


@dataclass(frozen=True, slots=True)
class BinaryPackage:
    """The arguments of a `binarypackage` build."""

    dsc: str  #: name of the `.dsc` among the files
    architecture: str  #: Debian architecture tag, or `all`: then only the architecture-independent packages are built
    arch_indep: bool  #: build the architecture-independent packages as well
    suite: str
    trusted: bool
    wall_seconds: int  #: the whole build may take that long
    # What follows may be left out: a master that names no limit sets none.  A slave that does not know a limit refuses
    # the build, rather than run it without (docs/adr/0037).
    silent_seconds: int | None = None  #: without a byte printed
    memory_bytes: int | None = None  #: of all its processes
    processes: int | None = None  #: at once, threads counted
    file_bytes: int | None = None  #: of one file
    log_bytes: int | None = None
    disk_bytes: int | None = None  #: on top of the base system
    limits_from: tuple[str, ...] = ()  #: `memory_bytes=archive`: who set a limit, for its words


_KINDS: dict[str, type] = {"str": str, "bool": bool, "int": int, "int | None": int, "tuple[str, ...]": tuple}
_ARGUMENTS = {field.name: _KINDS[str(field.type)] for field in fields(BinaryPackage)}
_OPTIONAL = {field.name for field in fields(BinaryPackage) if field.default is not MISSING}


def read_args(build: Build, *, backend: str, architectures: Collection[str]) -> BinaryPackage | BadArgs:
    """Check all that `build` carries, as far as it can be checked without a disk.

    Args:
        backend: the slave's; `host` takes no chroot and no untrusted build.
        architectures: the tags the slave can build for.
    """
    if UUID.fullmatch(build.attempt) is None:
        return BadArgs("attempt", f"attempt is {build.attempt!r}, not a UUID in lower case")
    values = _typed(build.args)
    if isinstance(values, BadArgs):
        return values
    return _files_fit(build, values, backend) or _values_fit(values, backend, architectures) or values


def _typed(args: dict[str, Arg]) -> BinaryPackage | BadArgs:
    for name in args:
        if name not in _ARGUMENTS:
            return BadArgs(name, f"unknown argument {name!r}")
    for name, kind in _ARGUMENTS.items():
        if name not in args and name not in _OPTIONAL:
            return BadArgs(name, f"argument {name!r} is missing")
        if name in args and type(args[name]) is not kind:
            return BadArgs(name, f"argument {name!r} is {args[name]!r}, not of type {kind.__name__}")
    return BinaryPackage(**args)  # type: ignore[arg-type]  # the loop above compared every type


def _files_fit(build: Build, args: BinaryPackage, backend: str) -> BadArgs | None:
    for name, sha256 in build.files.items():
        if FILENAME.fullmatch(name) is None:
            return BadArgs("files", f"{name!r} is no name of a source file")
        if SHA256.fullmatch(sha256) is None:
            return BadArgs("files", f"the hash of {name} is {sha256!r}, not a SHA-256")
    if args.dsc not in build.files or not args.dsc.endswith(".dsc"):
        return BadArgs("dsc", f"{args.dsc!r} is no .dsc among the files {', '.join(sorted(build.files))}")
    if backend == "host":
        return BadArgs("chroot", "the backend 'host' builds without a chroot") if build.chroot else None
    if SHA256.fullmatch(build.chroot) is None:
        return BadArgs("chroot", f"the chroot is {build.chroot!r}, not a SHA-256")
    return None


def _values_fit(args: BinaryPackage, backend: str, architectures: Collection[str]) -> BadArgs | None:
    if args.architecture != ALL and args.architecture not in architectures:
        text = f"architecture {args.architecture!r}: this slave builds for {', '.join(architectures)}"
        return BadArgs("architecture", text)
    if SUITE.fullmatch(args.suite) is None:
        return BadArgs("suite", f"{args.suite!r} is no name of a suite")
    for name, (least, most) in LIMITS.items():
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            return BadArgs(name, f"{name} is {value}, not {least} to {most}")
    for origin in args.limits_from:
        found = LIMIT_ORIGIN.fullmatch(origin)
        if found is None or found[1] not in LIMITS:
            return BadArgs("limits_from", f"limits_from has {origin!r}, which is not LIMIT=PLACE")
    if backend == "host" and not args.trusted:
        return BadArgs("trusted", "the backend 'host' has no isolation and never takes an untrusted build")
    return None

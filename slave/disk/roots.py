"""How a build gets its root tree: an overlay over an unpacked base, its changes in memory or on disk; or a tree of its own.

An overlay is mounted in a mount namespace made for the build.  No process stays in it: this process holds it by a
descriptor, and each command of the build enters it (`slave.isolation.sandbox`).  So it ends with the last command once the
descriptor is closed, be it by a kill -9: nothing is ever mounted where others could see it.  docs/adr/0033.

A backend whose builds run in a user namespace of their own mounts the same way, inside of that; the seam is `mounted`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

from slave.disk.bases import Base, Bases
from slave.disk.build_log import BuildLog
from slave.errors import SandboxBroken
from slave.isolation import memory, subordinate_ids
from slave.isolation.sandbox import Command, Ran, Sandbox, entering, kill, start

P = ParamSpec("P")
T = TypeVar("T")

LEAST_MEMORY = 2 << 30  #: bytes; a build that gets less of it builds on disk
INODE_BYTES = 8192  #: of a tmpfs' size for each inode that it may have; the kernel does not count them
READ_BYTES = 64 * 1024
PROBE_FILES = 300

#: $1 place, $2 options of a tmpfs or nothing, $3 options of the overlay, whose paths are relative: no character of the
#: state directory's name can break them.  It waits to be looked at, until its standard input is closed.
_MOUNT = """
mkdir -m 755 "$1"
[ -z "$2" ] || mount -t tmpfs -o "$2" tmpfs "$1"
mkdir -m 755 "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "$3" overlay "$1/root"
echo ready
read -r _ || :
"""
_NO_SPACE = re.compile(rb"No space left on device|You don't have enough free space", re.IGNORECASE)

LAUNCHPAD_TOP = "chroot-autobuild"  #: under which launchpad-buildd's tarballs have all that ours have at their top


class Kind(StrEnum):
    """What a root tree is, quickest first."""

    MEMORY = "overlay on tmpfs"
    DISK = "overlay on disk"
    UNPACK = "unpacked tarball"


@dataclass(frozen=True, slots=True)
class Choice:
    """What builds on this machine get, and why."""

    kind: Kind
    why: str  #: one line for people

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}"


#: what always works
UNMEASURED = Choice(Kind.UNPACK, "nothing else was asked for")


@dataclass(slots=True)
class Root:
    """The root tree of one build."""

    kind: Kind
    path: Path  #: as its commands see it
    namespace: int | None  #: descriptor of the mount namespace that `path` is in; None: the slave's own
    reach: Path  #: the same directory, as this process gets there
    users: int | None = None  #: descriptor of the user namespace that owns that one; None: the slave's own
    _descriptor: int | None = None  #: what `reach` goes by

    @property
    def full(self) -> bool:
        """Whether what it may write is used up, or nearly."""
        status = os.statvfs(self.reach)
        return status.f_bavail < status.f_blocks // 64 or status.f_favail < status.f_files // 64

    def close(self) -> None:
        """Let go; what was mounted is gone as soon as no command of the build is there."""
        for descriptor in (self.namespace, self.users, self._descriptor):
            if descriptor is not None:
                os.close(descriptor)
        self.namespace = self.users = self._descriptor = None


async def mounted(
    state: Path, place: Path, layers: tuple[Path, ...], memory_bytes: int, *, mapped: bool = False
) -> Root:
    """Mount an overlay in a mount namespace of its own.

    Args:
        state: the slave's state directory; all paths are below it.
        place: is made; for the upper layer (`upper`, `work`) and the mount (`root`).
        layers: what lies below, topmost first; never written to.
        memory_bytes: size of a tmpfs to mount at `place` first; 0: none.
        mapped: by an ordinary user, in a user namespace that all commands of the build then share.

    Raises:
        SandboxBroken: this machine does not let us; nothing is mounted.
    """
    below = ":".join(str(layer.relative_to(state)) for layer in layers)
    where = str(place.relative_to(state))
    size = f"mode=0755,size={memory_bytes},nr_inodes={memory_bytes // INODE_BYTES}" if memory_bytes else ""
    # volatile: no sync of a build reaches the disk; redirect_dir: directories of the base can be renamed, which is for
    # root only: elsewhere rename says EXDEV, and dpkg and mv copy
    kept = "userxattr" if mapped else "redirect_dir=on"
    options = f"lowerdir={below},upperdir={where}/upper,workdir={where}/work,volatile,{kept}"
    mounting = ("sh", "-euc", _MOUNT, "sh", where, size, options)
    propagation = ("unshare", "--mount", "--propagation", "slave")  # what the host unmounts is unmounted there as well
    rights = entering() if mapped else ()
    process = await start(("setpriv", "--pdeathsig", "KILL", *rights, *propagation, *mounting), state, cwd=state)
    try:
        said = b"" if process.stdout is None else await process.stdout.readline()
        if said != b"ready\n":
            raise SandboxBroken(said.decode(errors="replace").strip() or "the overlay cannot be mounted")
        proc = f"/proc/{process.pid}"
        namespace = os.open(f"{proc}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        users = os.open(f"{proc}/ns/user", os.O_RDONLY | os.O_CLOEXEC) if mapped else None
        descriptor = os.open(f"{proc}/root{place}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        await asyncio.shield(kill(process, state))
    kind = Kind.MEMORY if memory_bytes else Kind.DISK
    return Root(kind, place / "root", namespace, Path(f"/proc/self/fd/{descriptor}"), users, descriptor)


@dataclass(slots=True)
class Roots:
    """The roots of one slave's builds, one at a time.

    Args:
        state: its state directory.
        choice: what `choose` said.
        discard: moves a tree away at once, if it is there.
        make_room: removes for good what was discarded; takes its time.
    """

    state: Path
    choice: Choice
    discard: Callable[[Path], None]
    make_room: Callable[[], None]
    bases: Bases = field(init=False)
    root: Root | None = field(init=False, default=None)  #: of the build that runs
    _base: Base | None = field(init=False, default=None)  #: that `root` lies over
    _in_memory: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        """Make the directory of the bases."""
        self.bases = Bases(self.state / "bases", self.discard)

    async def make(self, tarball: Path, place: Path, log: BuildLog, *, mapped: bool = False) -> Root | Ran:
        """Make the root of a build.

        Args:
            tarball: in the file cache, where its name is its SHA-256.
            place: where to; nothing is there, and whatever is there afterwards can be discarded.
            log: the build's; is told what it gets.
            mapped: for a build in a user namespace.

        Returns:
            the root, until `leave`; or how tar failed.

        Raises:
            OSError: of this machine's disk.
        """
        kind, memory_bytes, why = self._now()
        if kind is not Kind.UNPACK:
            base = self.bases.find(tarball.name) or await self._make_base(tarball, log, mapped=mapped)
            if isinstance(base, Ran):
                return base
            layers = await to_its_end(base.layers)
            try:
                self.root = await mounted(self.state, place, layers, memory_bytes, mapped=mapped)
            except SandboxBroken as wrong:
                self.discard(place)
                why = f"no overlay can be mounted: {wrong}"
            else:
                self._base = base
                log.say(f"root: {kind}: {why}")
                return self.root
        log.say(f"root: {Kind.UNPACK}: {why}")
        path = place / "root"  # its owner and mode are a stranger's; the directory around it stays ours
        _make_empty(path)
        ran = await self._unpack(tarball, path, log, mapped=mapped)
        if ran.code != 0:
            return ran
        self.root = Root(Kind.UNPACK, path, None, path)
        return self.root

    async def keep_lists(self, log: BuildLog) -> None:
        """Keep what `apt-get update` has brought for the next build; no package's code may have run yet."""
        if self.root is not None and self._base is not None:
            try:
                await to_its_end(self._base.keep_lists, self.root.reach)
            except OSError as wrong:  # the next build fetches them again
                log.say(f"apt's lists are not kept for the next build: {wrong.strerror}")

    def memory_was_full(self, log: BuildLog) -> bool:
        """Say whether the build has used up the memory it may write to: then the next root is made on disk."""
        if self.root is None or self.root.kind is not Kind.MEMORY:
            return False
        return self.root.full or _NO_SPACE.search(log.tail(READ_BYTES)) is not None

    def leave(self, *, then_on_disk: bool = False) -> None:
        """Let go of the root; nothing of the build runs any more."""
        if self.root is not None:
            self.root.close()
        self.root = self._base = None
        self._in_memory = not then_on_disk

    def _now(self) -> tuple[Kind, int, str]:
        """Return what the next build gets, the bytes of memory it may fill, and why."""
        if self.choice.kind is not Kind.MEMORY:
            return self.choice.kind, 0, self.choice.why
        if not self._in_memory:
            return Kind.DISK, 0, "memory did not suffice"
        room, why = memory_for_a_build()
        return (Kind.MEMORY, room, why) if room else (Kind.DISK, 0, why)

    async def _make_base(self, tarball: Path, log: BuildLog, *, mapped: bool) -> Base | Ran:
        async def unpack(into: Path) -> Ran:
            return await self._unpack(tarball, into, log, mapped=mapped)

        began = time.monotonic()
        made = await self.bases.make(tarball.name, unpack)
        full = isinstance(made, Ran) and _NO_SPACE.search(made.output.encode()) is not None
        if full and self.bases.give_up_others(tarball.name):
            log.say("the disk is full: other chroots that were kept unpacked are removed")
            await to_its_end(self.make_room)
            made = await self.bases.make(tarball.name, unpack)
        if isinstance(made, Base):
            log.say(f"the chroot was unpacked in {time.monotonic() - began:.1f} s, and is kept for the builds to come")
        return made

    async def _unpack(self, tarball: Path, into: Path, log: BuildLog, *, mapped: bool) -> Ran:
        argv = ("tar", "--extract", f"--file={tarball}", f"--directory={into}", "--numeric-owner")
        kept = ("--preserve-permissions", "--same-owner", "--xattrs", "--xattrs-include=security.capability")
        # outside of any chroot, but in namespaces: a kill ends tar and the decompressor alike
        host = Sandbox(None, self.state, mapped=mapped)
        # Devices: a build gets a /dev of its own, and not everybody may make them.
        devices = ("--exclude=./dev/*", "--exclude=dev/*", f"--exclude={LAUNCHPAD_TOP}/dev/*")
        left_out = ("--anchored", *devices, f"--transform=flags=rhS;s,^{LAUNCHPAD_TOP}/,,")
        return await host.run(Command((*argv, *kept, *left_out), env={"LC_ALL": "C"}), log.write)


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what takes its time in a thread; cancelled, wait for its end: it must not meet the next build."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def memory_for_a_build() -> tuple[int, str]:
    """Return the bytes of memory that a build's files may take now, 0 if it had better not, and why.

    Half of what is there: the build's processes have the other half, and a second slave on this machine sees less.
    """
    there = memory.available()
    if there // 2 < LEAST_MEMORY:
        return 0, f"{there / (1 << 30):.1f} GiB of memory are available, and {2 * LEAST_MEMORY >> 30} are asked for"
    return there // 2, f"at most {there / (2 << 30):.1f} GiB, half of the memory that is available"


async def choose(state: Path, *, mapped: bool = False) -> Choice:
    """Try on a small tree what this machine can do, and choose; leaves nothing.

    Args:
        state: a slave's state directory, or where one shall be; a slave may be running there.
        mapped: for builds in user namespaces.
    """
    bases = state / "bases"
    bases.mkdir(parents=True, exist_ok=True)
    probe = Path(tempfile.mkdtemp(prefix="probe-", dir=bases))
    try:
        below = probe / "below"
        below.mkdir()
        plain = await asyncio.to_thread(_milliseconds_to_write, below)
        room, why = memory_for_a_build()
        reasons = [] if room else [why]
        for kind, memory_bytes in ((Kind.MEMORY, room), (Kind.DISK, 0)):
            if kind is Kind.MEMORY and not room:
                continue
            try:
                taken = await _try(state, probe / kind.name, below, memory_bytes, mapped=mapped)
            except (SandboxBroken, OSError) as wrong:
                reasons.append(f"no {kind}: {wrong}")
                continue
            times = f"{PROBE_FILES} files took {taken} ms, on the disk itself {plain} ms"
            return Choice(kind, "; ".join([*reasons, *([why] if memory_bytes else []), times]))
        return Choice(Kind.UNPACK, "; ".join(reasons))
    finally:
        # What it can't remove, the next start does.
        remove = subordinate_ids.as_owner(("rm", "-rf", "--one-file-system", "--", str(probe)))
        await to_its_end(subprocess.run, remove, check=False, capture_output=True)


async def _try(state: Path, place: Path, below: Path, memory_bytes: int, *, mapped: bool) -> int:
    """Return how long writing to such an overlay takes.

    Raises:
        SandboxBroken: it cannot be mounted.
        OSError: it takes no files.
    """
    root = await mounted(state, place, (below,), memory_bytes, mapped=mapped)
    try:
        return await to_its_end(_milliseconds_to_write, root.reach)
    finally:
        root.close()


def _make_empty(directory: Path) -> None:
    directory.mkdir(mode=0o755, parents=True)


def _milliseconds_to_write(directory: Path) -> int:
    """Write, over what may be there, rename and remove as a build does; return how long it took."""
    began = time.monotonic()
    replaced = directory / "replaced"  # of what was there nothing may show through: an overlay notes that in an xattr
    replaced.mkdir(exist_ok=True)
    replaced.rmdir()
    replaced.mkdir()
    for number in range(PROBE_FILES):
        (directory / f"new-{number}").write_bytes(b"x" * 4096)
        (directory / f"new-{number}").rename(directory / str(number))
        if number % 3 == 0:
            (directory / str(number)).unlink()
    return round((time.monotonic() - began) * 1000)

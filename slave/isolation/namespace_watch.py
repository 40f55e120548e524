"""Sees to it that the command of one namespace takes no more than it may: processes, memory, disk, size of a file.

Part of process 1 (`slave.isolation.namespace_init`): standard library only, loaded before the root is turned around.  Process 1
is root of its namespaces, sees all of the build and nothing else, and when it ends the kernel ends the rest: so this is
the same for a slave of root and one of an ordinary user, with control groups or without.  docs/adr/0037.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import time
from typing import TypedDict

PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK = 512  #: bytes that `st_blocks` counts
SHARE = 20  #: it rests so many times as long as it has looked: 5 % of one processor
SHARE_IN_HASTE = 4
LEAST_REST, MOST_REST = 0.1, 1.0  #: seconds between two looks at the processes
MOST_REST_FROM_DISK = 30.0  #: seconds between two walks over the disk
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the place itself, not a file in it
STRAY_PROCESSES = 64  #: that the kernel allows the user over the limit at least: it must be seen to be passed


class Allowed(TypedDict):
    """What the command may take; None: as much as there is."""

    memory_bytes: int | None
    processes: int | None
    file_bytes: int | None
    disk_bytes: int | None  #: on top of the base
    disk_base: int | None  #: what was there before the build; None: to be weighed and told
    place: str  #: the directory whose content is weighed; `/` for a root of its own


class Watch:
    """Looks at what runs."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._own_root = allowed["place"] == "/"
        self._look_at = self._weigh_at = self._sooner_at = self._count_at = 0.0  # monotonic seconds
        self._unnamed = 0  # bytes
        self._base = allowed["disk_base"] or 0
        self._taken = 0  # bytes, when it was last weighed
        self._used = 0  # of the file system, then

    def begin(self) -> int | None:
        """Weigh what is there before the build; return it if it was not known."""
        if self._allowed["disk_bytes"] is None or self._allowed["disk_base"] is not None:
            return None
        self._base = weigh(self._allowed["place"])
        self._used = used(self._allowed["place"])
        return self._base

    def bind(self) -> None:
        """Set what the kernel itself sees to, for this process and all that come from it."""
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as score:
            score.write(b"1000")  # when the machine has no memory left, a build is what goes first
        if self._allowed["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._allowed["file_bytes"],) * 2)
        processes = self._allowed["processes"]
        if processes is not None:
            most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            wanted = processes + max(processes, STRAY_PROCESSES)
            bound = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))

    @property
    def rest(self) -> float | None:
        """Seconds until there is something to look at; None: never."""
        allowed = self._allowed
        if allowed["memory_bytes"] is allowed["processes"] is allowed["disk_bytes"] is None:
            return None
        return max(0.0, self._look_at - time.monotonic())

    def look(self, *, over: bool) -> str | None:
        """Return the name of a limit that is passed.

        Args:
            over: the command has ended; else it is only looked when it is time.
        """
        now = time.monotonic()
        if not over and (self.rest is None or now < self._look_at):
            return None
        passed = self._peak() if over else self._processes()
        self._look_at = now + min(max(LEAST_REST, SHARE * (time.monotonic() - now)), MOST_REST)
        return passed or self._disk(now, over=over)

    def _peak(self) -> str | None:
        """Judge the largest process that there was: it may have come and gone between two looks."""
        limit = self._allowed["memory_bytes"]
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return "memory_bytes" if limit is not None and largest > limit else None

    def _processes(self) -> str | None:
        count = pages = 0
        for pid in processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                count += int(fields[17])  # threads
                pages += int(fields[21])
        limit = self._allowed["processes"]
        if limit is not None and count > limit:
            return "processes"
        limit = self._allowed["memory_bytes"]
        if limit is None:
            return None
        shared = self._shared()
        # What several processes share is counted again and again at first: that costs least, and mostly it is enough.
        if pages * PAGE + shared > limit and memory(shared) > limit:
            return "memory_bytes"
        return None

    def _shared(self) -> int:
        """Return the bytes of files in shared memory, with a name or (as of a moment ago) without, mapped or not."""
        now = time.monotonic()
        if now >= self._count_at:
            self._unnamed = unnamed_memory()
            self._count_at = now + max(MOST_REST, SHARE * (time.monotonic() - now))
        return self._unnamed + (used(SHARED_MEMORY) if self._own_root else 0)

    def _disk(self, now: float, *, over: bool) -> str | None:
        """Weigh now and then; sooner, when so much has been written there, by whomever, that it could be too much."""
        limit, place = self._allowed["disk_bytes"], self._allowed["place"]
        if limit is None:
            return None
        written = used(place)
        sooner = written - self._used > limit - self._taken
        if not over and now < (self._sooner_at if sooner else self._weigh_at):
            return None
        self._taken, self._used = weigh(place) - self._base, written
        took = time.monotonic() - now
        self._weigh_at = now + min(SHARE * took, MOST_REST_FROM_DISK)
        self._sooner_at = now + SHARE_IN_HASTE * took
        return "disk_bytes" if self._taken > limit else None


def processes() -> list[str]:
    """Return the processes of this namespace but the first."""
    return [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def memory(shared: int) -> int:
    """Return the bytes of memory that the processes take, what they share counted once.

    Args:
        shared: bytes of files in shared memory, mapped or not.
    """
    kib = mapped = 0
    for pid in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    kib += int(line.split()[1])
                elif line.startswith(b"Pss_Shmem:"):
                    mapped += int(line.split()[1])
    return kib * 1024 + max(0, shared - mapped * 1024)


def unnamed_memory() -> int:
    """Return the bytes of memory in files that have no name (memfd) and are open."""
    total, seen = 0, set()
    for pid in processes():
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = f"/proc/{pid}/fd/{descriptor}"
                    if os.readlink(path).startswith("/memfd:"):
                        found = os.stat(path)
                        total += 0 if found.st_ino in seen else found.st_blocks * BLOCK
                        seen.add(found.st_ino)
    return total


def used(place: str) -> int:
    """Return the bytes that the file system of `place` has given away."""
    try:
        status = os.statvfs(place)
    except OSError:
        return 0
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def weigh(place: str) -> int:
    """Return the bytes that everything below `place` takes on the disk, deleted files that are open among them.

    Other file systems that are mounted there are left out; a file with several names counts once.
    """
    total, seen, devices = 0, set(), set()
    own = os.stat(place).st_dev
    waiting = [place]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # it is gone
                    continue
                if stat.S_ISDIR(found.st_mode):
                    if found.st_dev != own:
                        continue
                    waiting.append(entry.path)
                elif found.st_nlink > 1:
                    if (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                devices.add(found.st_dev)
                total += found.st_blocks * BLOCK
    for pid in processes():
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{descriptor}")
                    key = (found.st_dev, found.st_ino)
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0 and key[0] in devices and key not in seen:
                        seen.add(key)
                        total += found.st_blocks * BLOCK
    return total

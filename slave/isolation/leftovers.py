"""Finds and ends what a build left running or mounted: after a kill, and after the daemon itself was killed.

Every process 1 of a build's namespaces (chroot), and every process of a build on the host, carries `MARKER` in its
environment.  Processes *inside* a chroot do not, and need not: the kernel ends them with their process 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

MARKER = "BUILDD_SLAVE_STATE"  #: its value is the state directory of the slave whose build it is
GONE_SECONDS = 10.0  #: a killed process that is still there then hangs in the kernel
_PROC = Path("/proc")
_MNT_DETACH = 2
_OCTAL = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def children(pid: int) -> tuple[int, ...]:
    """Return the process ids of the children that the first thread of `pid` has."""
    try:
        return tuple(int(child) for child in (_PROC / f"{pid}/task/{pid}/children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return ()


def marked(state_directory: Path) -> tuple[int, ...]:
    """Return the processes that carry the marker of `state_directory`, zombies left out."""
    wanted = f"{MARKER}={state_directory}".encode()
    found: list[int] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return tuple(found)


def kill(state_directory: Path) -> tuple[int, ...]:
    """Send SIGKILL to every marked process; return whom."""
    found = marked(state_directory)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


async def gone(state_directory: Path) -> bool:
    """Kill marked processes until none is there; return False if one still is after `GONE_SECONDS`."""
    deadline = time.monotonic() + GONE_SECONDS
    while kill(state_directory):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


def mounts(directory: Path) -> tuple[str, ...]:
    """Return the mount points below `directory` in our own mount namespace, innermost first."""
    points: list[str] = []
    for line in (_PROC / "self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        for code, character in _OCTAL.items():
            point = point.replace(code, character)
        if point.startswith(f"{directory}/"):
            points.append(point)
    return tuple(sorted(points, reverse=True))


def unmount(directory: Path) -> tuple[str, ...]:
    """Unmount everything below `directory`; return what."""
    found = mounts(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    for point in found:
        libc.umount2(point.encode(), _MNT_DETACH)
    return found

"""How much memory a build may have without hurting anybody: what the kernel could hand out now, in bytes.

A slave in a container or a systemd unit may have less than the machine: the limits of its control groups count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def available(meminfo: Path = MEMINFO, own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> int:
    """Return MemAvailable, or what the tightest control group leaves; 0 if the kernel does not say."""
    free = _numbers(meminfo).get("MemAvailable", 0) * 1024
    return max(0, min([free, *_left_by_groups(own_groups, groups)]))


def _left_by_groups(own_groups: Path, groups: Path) -> Iterator[int]:
    """Give what is left in each memory group that this process is in, of version 1 and 2 of control groups.

    Pages of files count as used there, but are given up when they are needed.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = own_groups.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, most, used, total = groups, "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            root, most, used, total = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
        else:
            continue
        place = root / path.strip("/")
        while place.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # no limit, or a group that is out of our sight
                left = int((place / most).read_text()) - int((place / used).read_text())
                counted = _numbers(place / "memory.stat")
                yield left + counted.get(f"{total}active_file", 0) + counted.get(f"{total}inactive_file", 0)
            place = place.parent


def _numbers(path: Path) -> dict[str, int]:
    """Read lines of a word and a number, as the kernel writes them; none where there is no such file."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            name, *rest = line.split()
            if rest and rest[0].isdigit():
                found[name.rstrip(":")] = int(rest[0])
    return found

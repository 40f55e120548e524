"""What the commands of one build may take, and the words for a build that took more.

Time and silence are kept here and in `slave.building.binarypackage`, the log by `slave.disk.build_log`; what happens inside of the
sandbox by `slave.isolation.namespace_watch`.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from slave.core.build_args import BinaryPackage

_SAID = {
    "wall_seconds": "the build took longer than {}",
    "silent_seconds": "the build printed nothing for {}",
    "memory_bytes": "the build used more than {} of memory",
    "processes": "the build ran more than {} processes and threads at once",
    "file_bytes": "the build wrote a file larger than {}",
    "log_bytes": "the build printed more than {}",
    "disk_bytes": "the build took more than {} of disk",
}
BURST = 1024  #: so many processes may come and go between two looks; of more, the watch sees the beginning
_UNITS = ((24 * 3600, "d"), (3600, "h"), (60, "min"), (1, "s"))
#: What the kernel says to a program that passes a limit, and the program to us: nobody else is told.
_FILE_TOO_LARGE = re.compile(r"File size limit exceeded|File too large")
_NO_MORE_PROCESSES = re.compile(
    r"(?:[Cc]an(?:no|')t (?:fork|create)|fork|clone|thread).{0,80}Resource temporarily unavailable|[Cc]annot fork"
)


class LimitReached(Exception):
    """The build passed one of its limits, and nothing of the command runs any more."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name  #: as in `slave.core.build_args.LIMITS`


@dataclass(slots=True)
class Allowance:
    """What each command of one build may take; the same for all of them."""

    silent_seconds: int | None
    memory_bytes: int | None
    processes: int | None
    file_bytes: int | None
    disk_bytes: int | None
    place: Path | None = None  #: the directory that counts; None: the root that the commands have of their own
    disk_base: int | None = None  #: bytes that were there before the build; the first command tells

    @classmethod
    def of(cls, args: BinaryPackage, place: Path | None = None) -> Allowance:
        """Return what the build of `args` may take.

        Args:
            args: with its limits.
            place: a directory that is empty before the build; None: the commands have a root of their own.
        """
        return cls(
            silent_seconds=args.silent_seconds,
            memory_bytes=args.memory_bytes,
            processes=args.processes,
            file_bytes=args.file_bytes,
            disk_bytes=args.disk_bytes,
            place=place,
            disk_base=None if place is None else 0,
        )

    def order(self, *, files_too: bool) -> dict[str, object]:
        """Return what `slave.isolation.namespace_watch` reads.

        Args:
            files_too: the size of files counts: what the command writes is the package's own doing.
        """
        return {
            "memory_bytes": self.memory_bytes,
            "processes": self.processes,
            "file_bytes": self.file_bytes if files_too else None,
            "disk_bytes": self.disk_bytes,
            "disk_base": self.disk_base,
            "place": "/" if self.place is None else str(self.place),
        }

    def heard(self, code: int, output: str) -> str | None:
        """Return the limit that a command ran into as far as its words tell: the kernel only refuses, and tells nobody.

        Args:
            code: how it ended; not 0.
            output: its last.
        """
        if self.file_bytes is not None and (code == 128 + signal.SIGXFSZ or _FILE_TOO_LARGE.search(output)):
            return "file_bytes"
        if self.processes is not None and self.processes <= BURST and _NO_MORE_PROCESSES.search(output):
            return "processes"
        return None


def words(name: str, value: int, origins: tuple[str, ...]) -> str:
    """Return what is said of a build that passed a limit: which, its value, who set it.

    Args:
        name: as in `slave.core.build_args.LIMITS`.
        value: the limit.
        origins: `NAME=PLACE`; what is not named there is from the settings of the farm.
    """
    places = dict(origin.split("=") for origin in origins)
    return f"{_SAID[name].format(_shown(name, value))} (limit: {places.get(name, 'settings')})"


def _shown(name: str, value: int) -> str:
    if name.endswith("_seconds"):
        parts = []
        for seconds, unit in _UNITS:
            number, value = divmod(value, seconds)
            parts += [f"{number} {unit}"] if number else []
        return " ".join(parts) or "0 s"
    if name.endswith("_bytes"):
        power = next((power for power in (4, 3, 2, 1) if value and not value % (1 << 10 * power)), 0)
        return f"{value >> 10 * power} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    return str(value)

"""What a build may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may take; None: nothing is said here.  Ranges, and whose word counts: `storage.limits`."""

    wall_seconds: int | None = None  #: the whole build
    silent_seconds: int | None = None  #: without a byte printed
    memory_bytes: int | None = None  #: of all its processes
    processes: int | None = None  #: at once, threads counted
    file_bytes: int | None = None  #: of one file
    log_bytes: int | None = None
    disk_bytes: int | None = None  #: on top of the base system it builds in

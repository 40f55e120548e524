"""The master's own disk: logs and librarian, as sizes and hashes; now and then it is full."""

from __future__ import annotations

from uuid import UUID

from simulation.environment.contents import sha256_of
from storage.records import StoredFile


class DiskFull(Exception):
    """The disk refuses to write."""


class Disk:
    """Logs being written, and what the librarian holds."""

    def __init__(self) -> None:
        """Begin empty."""
        self.full = 0  #: as often as it was filled; 0: there is room
        self.contents: dict[str, bytes] = {}  #: `.changes` files that are about to be read
        self.held: set[str] = set()  #: SHA-256 of all that the librarian holds
        self._logs: dict[UUID, int] = {}

    def open_log(self, attempt: UUID, *, fresh: bool) -> int:
        """Open a log for appending; return its size in bytes."""
        self.write()
        if fresh:
            self._logs[attempt] = 0
        return self._logs.setdefault(attempt, 0)

    def append_log(self, attempt: UUID, offset: int, size: int) -> None:
        """Write so many bytes of a log at their place."""
        self.write()
        if self._logs.get(attempt, 0) < offset:
            raise AssertionError(f"the log of {attempt} has {self._logs.get(attempt, 0)} bytes, written at {offset}")
        self._logs[attempt] = offset + size

    def keep_log(self, attempt: UUID) -> StoredFile | None:
        """Put a log into the librarian; None if there is nothing in it."""
        self.write()
        size = self._logs.get(attempt, 0)
        if not size:
            return None
        sha256 = sha256_of(attempt.bytes)
        self.held.add(sha256)
        return StoredFile(sha256, sha256[:40], size)

    def let_go(self, attempt: UUID, *, log_recorded: bool) -> None:
        """Forget a log that is in the librarian and known there."""
        if log_recorded:
            self._logs.pop(attempt, None)

    def keep(self, octets: bytes) -> StoredFile:
        """Put a result into the librarian."""
        self.write()
        sha256 = sha256_of(octets)
        self.held.add(sha256)
        return StoredFile(sha256, sha256[:40], len(octets))

    def write(self) -> None:
        """Raise `DiskFull` if nothing can be written."""
        if self.full:
            raise DiskFull("no space left on device")

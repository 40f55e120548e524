"""The log of one build: a file that only grows, up to a limit, and tells whoever listens how far it has come."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

CUT = b"\nbuildd-slave: the log is cut here: it has reached its limit\n"


class LogTooLong(Exception):
    """The build printed more than it may; the log ends with a line that says so."""


class BuildLog:
    """Appends to a file.

    Args:
        path: made if it is not there.
        limit: bytes; what goes beyond is dropped and raises `LogTooLong`, again and again.
        grew: called with the size after each write.
    """

    def __init__(self, path: Path, *, limit: int, grew: Callable[[int], None]) -> None:
        self.path = path
        self.limit = limit
        self._grew = grew
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size  #: bytes
        self._cut = False

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            LogTooLong: it did not all fit; as much as fitted was written.
        """
        if self._cut:
            raise LogTooLong(f"more than {self.limit} bytes")
        room = self.limit - self.size
        if len(data) > room:
            self._cut = True
            self._append(data[:room] + CUT)
            raise LogTooLong(f"more than {self.limit} bytes")
        self._append(data)

    def say(self, text: str) -> None:
        """Append a line of the slave's own; beyond the limit, or on a full disk, it is dropped in silence."""
        line = f"buildd-slave: {text}\n".encode()
        if not self._cut and len(line) <= self.limit - self.size:
            with contextlib.suppress(OSError):
                self._append(line)

    def tail(self, most: int) -> bytes:
        """Return the last bytes, `most` of them."""
        with self.path.open("rb") as written:
            written.seek(max(0, self.size - most))
            return written.read()

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
        self._grew(self.size)

"""Files of the attempt that one builder's actor works on: its growing log, its results on their way in, what is pushed.

The disk behind the orders of `actors.core.builder.core`; every method may be called twice, and tells a full or
unreadable disk with `OSError` or `StorageError`, which `actors.builder.actor` turns into an event.  Never decides
anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import zstandard

from actors.builder.deb_control import Unreadable, control_of
from actors.messages import ResultStored
from storage.files.librarian import IncomingFile, Librarian
from storage.records import StoredFile

BLOCK = 4 * 1024 * 1024  #: bytes of a log compressed in one step
_SHA256_DIGITS = 64
_NOTE_EVERY = 0.2  #: seconds between two notes on one push


class AttemptFiles:
    """One builder's files; one attempt at a time."""

    def __init__(self, logs: Path, librarian: Librarian) -> None:
        """Remember where; nothing is opened or made."""
        self._logs = logs
        self._librarian = librarian
        self._log: int | None = None
        self._incoming: IncomingFile | None = None
        self._pushed: tuple[str, int] | None = None  # SHA-256 and descriptor of the file being pushed
        self._noted_at = 0.0

    # --- to the slave -----------------------------------------------------------------------------

    def chunk(self, sha256: str, offset: int, length: int) -> bytes:
        """Return bytes of a file in the librarian.

        Raises:
            NoSuchContent: it has no such file.
            OSError: it can't be read, or is shorter than its row says.
        """
        if self._pushed is None or self._pushed[0] != sha256:
            self._forget_pushed()
            self._pushed = (sha256, os.open(self._librarian.path(sha256), os.O_RDONLY | os.O_CLOEXEC))
        content = os.pread(self._pushed[1], length, offset)
        if len(content) != length:
            message = f"the librarian's {sha256} ends at byte {offset + len(content)}, {offset + length} were due"
            raise OSError(message)
        return content

    def note_push(self, attempt: UUID, name: str, sent: int, size: int, at: float) -> None:
        """Leave `logs/<attempt>.push` for whoever draws a progress bar: a few times a second, and at the end.

        A note that can't be written is left out: no build waits for it.
        """
        if sent < size and at - self._noted_at < _NOTE_EVERY:
            return
        self._noted_at = at
        place = self._logs / f"{attempt}.push"
        fresh = place.with_suffix(".push-new")
        with suppress(OSError):
            fresh.write_text(json.dumps({"name": name, "sent": sent, "size": size}))
            fresh.replace(place)

    # --- the log ----------------------------------------------------------------------------------

    def open_log(self, attempt: UUID, *, fresh: bool) -> int:
        """Open the log for appending and return its size."""
        self._forget_log()
        self._forget_note(attempt)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        self._log = os.open(self._log_path(attempt), flags, 0o640)
        return os.fstat(self._log).st_size

    def append_log(self, attempt: UUID, offset: int, data: bytes) -> None:
        """Write `data` at `offset`."""
        if self._log is None:
            self.open_log(attempt, fresh=False)
        rest = memoryview(data)
        while rest and self._log is not None:
            written = os.pwrite(self._log, rest, offset)
            rest, offset = rest[written:], offset + written

    def keep_log(self, attempt: UUID, filename: str) -> Iterator[ResultStored | None]:
        """Compress the log into the librarian, a step at a time.

        Yields:
            None after every step, then the stored log; of a log that nothing was ever written to, nothing.
        """
        try:
            source = self._log_path(attempt).open("rb")
        except FileNotFoundError:
            return
        with source, self._librarian.incoming() as file:
            compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
            block = source.read(BLOCK)
            if not block:
                return
            if len(block) < BLOCK:  # as most are: at once, for which it takes less memory than a stream
                file.write(compressor.compress(block))
            else:
                packer = compressor.compressobj()
                while block:
                    file.write(packer.compress(block))
                    if len(block) == BLOCK:
                        yield None
                    block = source.read(BLOCK)
                file.write(packer.flush())
            yield ResultStored(filename, file.commit())

    # --- results ----------------------------------------------------------------------------------

    def open_result(self, sha256: str, size: int) -> None:
        """Expect a result, known by its SHA-256 or (to `builder.attempt.gathering`) SHA-1; what arrived before is dropped."""
        self._forget_incoming()
        known = sha256 if len(sha256) == _SHA256_DIGITS else None  # a SHA-1 is looked at when all is here
        self._incoming = self._librarian.incoming(expect_sha256=known, expect_size=size)

    def write_result(self, data: bytes) -> None:
        """Append to the result; does nothing after the disk refused it."""
        if self._incoming is None:
            return
        try:
            self._incoming.write(data)
        except BaseException:  # whatever it was: half a result is none
            self._incoming = None
            raise

    def keep_result(self) -> StoredFile | None:
        """Verify and store the result; None after the disk refused it."""
        incoming, self._incoming = self._incoming, None
        return None if incoming is None else incoming.commit()

    def read(self, sha256: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a file in the librarian."""
        with self._librarian.path(sha256).open("rb") as file:
            return file.read(limit)

    def read_control(self, sha256: str) -> bytes | Unreadable:
        """Return the control file of a `.deb` in the librarian."""
        return control_of(self._librarian.path(sha256))

    # --- the end ----------------------------------------------------------------------------------

    def let_go(self, attempt: UUID, *, log_recorded: bool) -> None:
        """Close everything; `log_recorded`: the librarian has the log, its file goes away."""
        self.close()
        self._forget_note(attempt)
        if log_recorded:
            with suppress(OSError):
                self._log_path(attempt).unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything, dropping what arrived of a result; the log stays."""
        self._forget_log()
        self._forget_incoming()
        self._forget_pushed()

    def _log_path(self, attempt: UUID) -> Path:
        return self._logs / f"{attempt}.log"

    def _forget_note(self, attempt: UUID) -> None:
        with suppress(OSError):
            (self._logs / f"{attempt}.push").unlink(missing_ok=True)

    def _forget_log(self) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _forget_incoming(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _forget_pushed(self) -> None:
        if self._pushed is not None:
            os.close(self._pushed[1])
            self._pushed = None

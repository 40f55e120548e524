"""The content-addressed file store: bytes in, SHA-256 out.

Knows files only; names for them (aliases) are rows, see `storage.files.library`.  A file is there whole or not at all: it is
written beside the store, synced, then renamed to its hash.  Any number of processes may add the same content at once.

Layout below the librarian's directory: `content/ab/abcdef…` (mode 0440) and `incoming/` for what is being written.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from storage.errors import StorageError
from storage.records import StoredFile

BLOCK = 1024 * 1024  #: bytes read and written at a time
_SHA256_DIGITS = 64

Progress = Callable[[int], None]  #: called with the bytes stored so far


class NoSuchContent(StorageError):
    """The librarian has no file of that hash."""


class ContentMismatch(StorageError):
    """What was received is not what was announced; nothing was stored."""


class LibrarianUnwritable(StorageError):
    """The disk is full or refuses to be written: the fault of this machine; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A stored file whose bytes are not what its name says."""

    sha256: str  #: as named
    found: str  #: SHA-256 of what is there, or why it can't be read
    path: Path


class IncomingFile:
    """A file on its way into the librarian; `commit` or `discard` ends it, leaving a `with` discards."""

    def __init__(self, librarian: Librarian, *, expect_sha256: str | None, expect_size: int | None) -> None:
        """Open an empty temporary file.

        Raises:
            LibrarianUnwritable: it can't be made.
        """
        self._librarian = librarian
        self._expect_sha256 = expect_sha256
        self._expect_size = expect_size
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False)  # what older slaves announce; never trusted alone
        self.offset = 0  #: bytes written so far
        with librarian.writing("a new file"):
            descriptor, name = tempfile.mkstemp(dir=librarian.directory / "incoming")
            self._path = Path(name)
            self._file: BinaryIO | None = os.fdopen(descriptor, "wb", buffering=0)
            # Held while it is open: `remove_leftovers` takes only files that nobody holds.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard what was not committed."""
        self.discard()

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            ContentMismatch: more than the expected size; the file is discarded.
            LibrarianUnwritable: the disk is full; the file is discarded.
        """
        file = self._open_file()
        if self._expect_size is not None and self.offset + len(data) > self._expect_size:
            self.discard()
            message = f"more than the announced {self._expect_size} bytes arrived: nothing was stored"
            raise ContentMismatch(message)
        try:
            with self._librarian.writing(f"{self.offset + len(data)} bytes"):
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]  # an unbuffered write may take a part only
        except LibrarianUnwritable:
            self.discard()
            raise
        self._sha256.update(data)
        self._sha1.update(data)
        self.offset += len(data)

    def commit(self) -> StoredFile:
        """Verify, sync and store the file under its hash.

        Raises:
            ContentMismatch: size or hash is not the expected one; the file is discarded.
            LibrarianUnwritable: it can't be written; the file is discarded.
        """
        file = self._open_file()
        stored = StoredFile(sha256=self._sha256.hexdigest(), sha1=self._sha1.hexdigest(), size=self.offset)
        if self._expect_size not in {None, stored.size}:
            self.discard()
            message = f"{stored.size} bytes arrived where {self._expect_size} were announced: nothing was stored"
            raise ContentMismatch(message)
        if self._expect_sha256 not in {None, stored.sha256}:
            self.discard()
            message = f"content of SHA-256 {stored.sha256} arrived where {self._expect_sha256} was announced"
            raise ContentMismatch(message)
        try:
            with self._librarian.writing(stored.sha256):
                self._librarian.keep(file, self._path, stored)
        finally:
            self.discard()
        return stored

    def discard(self) -> None:
        """Drop what has arrived; does nothing after `commit`."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            message = "the incoming file was committed or discarded before"
            raise ValueError(message)
        return self._file


class Librarian:
    """The store in one directory."""

    def __init__(self, directory: Path) -> None:
        """Open the store, making its folders if they are not there.

        Raises:
            LibrarianUnwritable: they can't be made.
        """
        self.directory = directory
        if not (directory / "content").is_dir() or not (directory / "incoming").is_dir():
            with self.writing("its folders"):
                directory.mkdir(parents=True, exist_ok=True)
                for name in ("content", "incoming"):
                    (directory / name).mkdir(mode=0o750, exist_ok=True)
                    self._hand_over(directory / name)

    def path(self, sha256: str) -> Path:
        """Return where the content lies, for reading.

        Raises:
            NoSuchContent: it does not; or `sha256` is no hash.
        """
        path = self._place(sha256)
        if path is None or not path.exists():
            message = f"the librarian in {self.directory} has no content with SHA-256 {sha256!r}"
            raise NoSuchContent(message)
        return path

    def has(self, sha256: str) -> bool:
        """Return whether the content is there (not whether it is undamaged: see `verify`)."""
        path = self._place(sha256)
        return path is not None and path.exists()

    def incoming(self, *, expect_sha256: str | None = None, expect_size: int | None = None) -> IncomingFile:
        """Open a file that arrives piece by piece.

        Args:
            expect_sha256: `commit` refuses anything else.
            expect_size: bytes; `write` refuses more, `commit` refuses less.
        """
        return IncomingFile(self, expect_sha256=expect_sha256, expect_size=expect_size)

    def add_bytes(self, data: bytes) -> StoredFile:
        """Store `data`."""
        with self.incoming() as file:
            file.write(data)
            return file.commit()

    def add_file(self, source: Path, *, progress: Progress | None = None) -> StoredFile:
        """Store a copy of `source`, a block at a time.

        Raises:
            OSError: `source` can't be read.
            LibrarianUnwritable: the copy can't be written.
        """
        with source.open("rb") as content, self.incoming() as file:
            while block := content.read(BLOCK):
                file.write(block)
                if progress is not None:
                    progress(file.offset)
            return file.commit()

    def verify(self) -> Iterator[Damage]:
        """Read every stored file and yield those whose bytes are not what their name says."""
        for path in sorted((self.directory / "content").glob("*/*")):
            try:
                with path.open("rb") as content:
                    found = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                found = f"can't be read: {error.strerror}"
            if found != path.name:
                yield Damage(path.name, found, path)

    def remove_leftovers(self) -> int:
        """Remove what killed processes left half written; return how many files that were."""
        removed = 0
        for path in (self.directory / "incoming").iterdir():
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def keep(self, file: BinaryIO, written: Path, stored: StoredFile) -> None:
        """Sync `written` and rename it to its hash; for `IncomingFile.commit` only."""
        place = self.directory / "content" / stored.sha256[:2] / stored.sha256
        if place.exists() and place.stat().st_size == stored.size:
            return
        if not place.parent.exists():
            place.parent.mkdir(mode=0o750, exist_ok=True)
            self._hand_over(place.parent)
            _sync_directory(place.parent.parent)
        self._hand_over(written)
        os.fchmod(file.fileno(), 0o440)
        os.fsync(file.fileno())
        written.rename(place)
        _sync_directory(place.parent)

    def writing(self, what: str) -> _Writing:
        """Turn an OSError of the block into `LibrarianUnwritable`; `what` names what was being stored."""
        return _Writing(self.directory, what)

    def _place(self, sha256: str) -> Path | None:
        if len(sha256) != _SHA256_DIGITS or not set(sha256) <= set("0123456789abcdef"):
            return None
        return self.directory / "content" / sha256[:2] / sha256

    def _hand_over(self, path: Path) -> None:
        """As root, give `path` to the store's owner: the farm's own user must read what root adds."""
        if os.geteuid() == 0:
            owner = self.directory.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


class _Writing:
    """See `Librarian.writing`."""

    def __init__(self, directory: Path, what: str) -> None:
        self._directory, self._what = directory, what

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Translate."""
        if isinstance(error, OSError):
            remedy = "make room there" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "check its disk and owner"
            message = f"the librarian in {self._directory} can't store {self._what}: {error.strerror}: {remedy}"
            raise LibrarianUnwritable(message) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

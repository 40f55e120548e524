"""The log of an attempt, while it is written and after.

The builder's actor appends to `logs/<attempt>.log`; when the attempt has ended the whole log goes into the librarian and
the file goes away.  A reader that had it open still reads it to its end; one that came too late reads the librarian's.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

from storage.files.librarian import Librarian, NoSuchContent
from storage.records import Alias

_BLOCK = 1 << 18  #: bytes
_MOST = 1 << 30  #: bytes of a log that is shown; more is the slave's fault

#: what may not reach a terminal: escape sequences but colours, and control characters but tab and newline
_HOSTILE = re.compile(
    r"\x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b(?!\[)[ -/]*[0-~]?|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]",
)


class LiveLog:
    """The growing log of one attempt, read by offset."""

    def __init__(self, path: Path) -> None:
        """Remember where it will be; it may not be there yet."""
        self._path = path
        self._file: BinaryIO | None = None

    def more(self) -> bytes:
        """Return what was appended since the last call."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
        return self._file.read(_BLOCK)

    @property
    def opened(self) -> bool:
        """Return whether the file was ever there: then it can be read to its end here."""
        return self._file is not None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Close."""
        self.close()


def kept_log(librarian: Librarian, alias: Alias) -> bytes:
    """Return a log from the librarian, unpacked.

    Raises:
        NoSuchContent: the librarian lost it, or holds something else.
    """
    path = librarian.path(alias.sha256)
    if not alias.filename.endswith(".zst"):
        return path.read_bytes()
    with (
        path.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader,
    ):
        try:
            return reader.read(_MOST)
        except zstandard.ZstdError as error:
            raise NoSuchContent(
                f"the log {alias.filename} ({path}) is damaged: {error}: `buildd-master check` tells more"
            ) from error


def harmless(text: str) -> str:
    """Return a log's text as it may go to a terminal: colours stay, everything that moves or commands it goes.

    A build is a stranger's code, and its log is its mouth.
    """
    return _HOSTILE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))

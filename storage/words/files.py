"""Files that can be stored: their names, hashes and sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from storage.errors import BadValue
from storage.records import NamedFile

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FILENAME: Final = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]{1,255}")


def check_files(whose: str, files: Sequence[NamedFile]) -> None:
    """Refuse files that can't be stored.

    Raises:
        BadValue: names the file.
    """
    names = [file.filename for file in files]
    for file in files:
        check_filename(whose, file.filename)
        if names.count(file.filename) > 1:
            raise BadValue(f"{whose}: file {file.filename!r} is named twice")
        if not _HASH.fullmatch(file.sha256):
            raise BadValue(f"{whose}: {file.filename}: {file.sha256!r} is no SHA-256 (64 hexadecimal digits)")
        if file.size < 0:
            raise BadValue(f"{whose}: {file.filename}: {file.size} is no size")


def check_filename(whose: str, filename: str) -> None:
    """Refuse a filename that is not a single part of a path.

    Raises:
        BadValue: names it.
    """
    if not _FILENAME.fullmatch(filename):
        raise BadValue(f"{whose}: filename {filename!r} can't be: it must be a single part of a path")

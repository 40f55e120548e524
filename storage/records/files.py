"""Content in the librarian, and names for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Content in the librarian."""

    sha256: str
    sha1: str
    size: int  #: bytes


class Result(Protocol):
    """A file in the librarian that an attempt left: `actors.messages.ResultStored` is one."""

    @property
    def filename(self) -> str:
        """A single path component."""

    @property
    def content(self) -> StoredFile:
        """What the librarian holds."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """Content in the librarian under a filename."""

    filename: str
    sha256: str
    size: int  #: bytes
    sha1: str = ""  #: of a file in a `BuildOrder`: what older slaves call it by


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for content in the librarian."""

    id: int
    filename: str
    mimetype: str
    sha256: str
    sha1: str
    size: int  #: bytes
    created: datetime

"""By what a slave that downloads shows that it may: a name and a password for one attempt, good while that is open.

The name is the attempt, the password is made of it and of a key that only the farm's own processes read; so nothing is
stored for it.  Whether the attempt is open, and which files are its own, `web.files` asks the database each time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

FILES_HEADER: Final = "X-Buildd-Master"  #: in every answer of the process that hands out files: it is that
KEY_FILE: Final = "files.key"  #: below the state directory
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class FilesPlace:
    """Where slaves download, and what they show there."""

    url: str  #: `http://HOST:PORT`, as slaves reach it
    key: bytes = field(repr=False)

    def url_of(self, attempt: UUID, sha256: str) -> str:
        """Return the URL of a file that `attempt` needs."""
        return f"{self.url}/{attempt}/{sha256}"

    def password(self, attempt: UUID) -> str:
        """Return what is shown for `attempt`; the name is the attempt itself."""
        return password(self.key, attempt)


def password(key: bytes, attempt: UUID) -> str:
    """Return the password of `attempt`: 64 hexadecimal digits."""
    return hmac.new(key, f"files of {attempt}".encode(), hashlib.sha256).hexdigest()


def fits(key: bytes, attempt: UUID, shown: str) -> bool:
    """Return whether `shown` is the password of `attempt`."""
    return hmac.compare_digest(password(key, attempt).encode(), shown.encode())


def make_key(state_directory: Path) -> None:
    """Make the farm's key, unless it is there.

    Raises:
        OSError: it can't be written.
    """
    with suppress(FileExistsError):
        descriptor = os.open(state_directory / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))


def read_key(state_directory: Path) -> bytes:
    """Return the farm's key.

    Raises:
        OSError: it can't be read, or is none.
    """
    key = (state_directory / KEY_FILE).read_bytes()
    if len(key) != _KEY_BYTES:
        message = f"{state_directory / KEY_FILE} holds no key: remove it, and start the master again"
        raise OSError(message)
    return key

"""The files of one end: `own.pem` (key and certificate, 0600) and `ca.crt`, in a directory of mode 0700.

Key and certificate are one file, so that both are replaced in one step; they are read anew whenever a file has changed,
so that a renewed certificate is shown by the next connection.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

from certificates.channel import tls_context

OWN: Final = "own.pem"
AUTHORITY: Final = "ca.crt"


class NoCertificate(Exception):
    """The files are missing or can't be used; one line says which and why."""


class CertificateFiles:
    """One end's files, and the TLS context they make."""

    def __init__(self, directory: Path, *, server: bool) -> None:
        """Know where; nothing is read.

        Args:
            directory: holds the files.
            server: False: for the end that connects.
        """
        self.directory = directory
        self._server = server
        self._context: ssl.SSLContext | None = None
        self._stamps: tuple[tuple[int, int, int], ...] = ()

    @property
    def own(self) -> Path:
        """Key and certificate."""
        return self.directory / OWN

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.directory / AUTHORITY

    @property
    def there(self) -> bool:
        """Whether this end has a certificate."""
        return self.own.exists()

    def context(self) -> ssl.SSLContext:
        """Return the context, made anew if a file has changed.

        Raises:
            NoCertificate: a file is missing or can't be used.
        """
        stamps = tuple(_stamp(path) for path in (self.own, self.authority))
        if self._context is None or stamps != self._stamps:
            try:
                self._context = tls_context(server=self._server, own=str(self.own), authority=str(self.authority))
            except ssl.SSLError as error:
                said = (error.reason or str(error)).replace("_", " ").lower()
                raise NoCertificate(f"{self.own} or {self.authority} is not what it should be: {said}") from error
            except OSError as error:
                raise NoCertificate(f"{self.directory} can't be read: {error.strerror}") from error
            self._stamps = stamps
        return self._context


def write_file(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Have `content` in `path` when this returns, in one step; its directory is made, 0700.

    What root writes belongs to whoever owns the directory above: the farm's user, if it is the farm's.

    Raises:
        OSError: what was there before still stands.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    above = path.parent.parent.stat()
    if os.geteuid() == 0 and path.parent.stat().st_uid != above.st_uid:
        os.chown(path.parent, above.st_uid, above.st_gid)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        if os.geteuid() == 0:
            os.fchown(descriptor, above.st_uid, above.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_mtime_ns, found.st_size

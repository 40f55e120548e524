"""Is this file the tarball of a base system?  Read whole before it is registered, so that no build finds out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from cli.errors import BadInput

_BLOCK = 1 << 18  #: bytes read at a time
_SHELLS = frozenset({"bin/sh", "usr/bin/sh"})
LAUNCHPAD_TOP = "chroot-autobuild"  #: the one directory that launchpad-buildd's tarballs have at their top
_ZSTD = b"\x28\xb5\x2f\xfd"


def check_tarball(path: Path) -> None:
    """Refuse what is no tarball of a base system; packed with zstd, xz, gzip or bzip2, or not at all.

    Raises:
        BadInput: it can't be read, is no tarball, is cut short, or has no shell in it.
    """
    if not path.is_file():
        raise BadInput(
            f"{path} is no {'file' if path.exists() else 'existing file'}: give the tarball of a base system"
        )
    try:
        with unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            found = False
            for member in tar:
                found = found or member.name.removeprefix("./").removeprefix(f"{LAUNCHPAD_TOP}/") in _SHELLS
            while stream.read(_BLOCK):  # what follows the archive's end must be sound as well: tar reads it
                pass
    except (tarfile.TarError, zstandard.ZstdError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise BadInput(f"{path} is no tarball: {str(error) or 'it is cut short'}") from error
    except OSError as error:
        raise BadInput(f"can't read the chroot {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadInput(f"{path} is no tarball: {error}") from error
    if not found:
        raise BadInput(f"{path} is a tarball, but no chroot: it has no bin/sh")


def for_launchpad_buildd(path: Path) -> bool:
    """Return whether the tarball, a sound one, has the shape that launchpad-buildd takes."""
    with unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        first = tar.next()
    return first is not None and first.name.removeprefix("./").partition("/")[0] == LAUNCHPAD_TOP


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file by what its first bytes say; a packed one that is cut short raises EOFError at its end."""
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        stream: IO[bytes]
        if magic.startswith(_ZSTD):
            stream = cast("IO[bytes]", io.BufferedReader(_Zstd(file), _BLOCK))
        elif magic == b"\xfd7zXZ\x00":
            stream = cast("IO[bytes]", lzma.LZMAFile(file))  # noqa: SIM115 - closed below
        elif magic.startswith(b"\x1f\x8b"):
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        elif magic.startswith(b"BZh"):
            stream = cast("IO[bytes]", bz2.BZ2File(file))
        else:
            stream = file
        with stream:
            yield stream


class _Zstd(io.RawIOBase):
    """A zstd stream whose early end is an error; the library's own reader takes it for the end."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # RawIOBase asks for any buffer
        while not self._ready:
            block = self._frame.unused_data if self._frame.eof else b""
            block = block or self._packed.read(_BLOCK)
            if not block:
                if not self._frame.eof:
                    raise EOFError("it is cut short")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(block)
        octets, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(octets)] = octets
        return len(octets)

"""Gets the control file out of a `.deb`, whatever its author has put there.

Reads no more than the head of the archive and of its control member, unpacks no more than `UNPACKED` bytes of it, and
runs nothing.  python-debian's `debfile` unpacks members whole (a bomb) and by programs, and tarfile follows long names
and extended headers without end: here python-debian reads the headers of the `ar`, tarfile those of the tar, one at a
time, and the loops are ours (docs/adr/0146).  What the file says is `actors.core.builder.attempt.binary_control`'s.
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import zstandard
from debian.arfile import ArMember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACKED: Final = 4 * 1024 * 1024  #: bytes of the control member that are looked at
UNPACKED: Final = 8 * 1024 * 1024  #: bytes of its contents; `control` comes before the only file that may be large
CONTROL: Final = 1024 * 1024  #: bytes of a control file
_MEMORY: Final = 128 * 1024 * 1024  #: bytes that unpacking may take; the strongest compression in use needs 65 MiB
_MEMBERS: Final = 4  #: of the `ar`: the version, the control member, and what may stand between
_MAGIC: Final = b"!<arch>\n"
_BLOCK: Final = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It is no `.deb` that we can read."""

    why: str  #: goes on after its filename


def control_of(deb: Path) -> bytes | Unreadable:
    """Return the content of the control file.

    Raises:
        OSError: our own disk can't be read.
    """
    with deb.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return Unreadable("is no Debian package: it is no ar archive")
        for _ in range(_MEMBERS):
            try:
                member = ArMember.from_file(file, "")
            except ValueError as error:
                return Unreadable(f"is no Debian package: its ar archive is damaged: {error}")
            except OSError as error:
                if error.errno is not None:
                    raise  # our own disk; what the library finds wrong has no number
                return Unreadable(f"is no Debian package: its ar archive is damaged: {error}")
            if member is None or member.size < 0:
                break
            kind, _, packing = member.name.partition(".tar")
            if kind == "control" and packing in _UNPACK:
                return _control(file.read(min(member.size, PACKED)), packing)
            file.seek(member.size + member.size % 2, 1)
    return Unreadable("is no Debian package: it has no control member")


def _control(packed: bytes, packing: str) -> bytes | Unreadable:
    try:
        content = _UNPACK[packing](packed)
    except (EOFError, ValueError, MemoryError, zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
        return Unreadable(f"has a control member that can't be unpacked: {type(error).__name__}: {error}")
    at = 0
    while at + _BLOCK <= len(content):
        block = content[at : at + _BLOCK]
        if not any(block):
            break
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            return Unreadable(f"has a control member that is no tar archive: {error}")
        at += _BLOCK
        if header.size < 0:
            break
        if header.isreg() and header.name in {"control", "./control"}:
            if header.size > CONTROL:
                return Unreadable(f"has a control file of {header.size} bytes, more than {CONTROL}")
            found = content[at : at + header.size]
            return found if len(found) == header.size else Unreadable("has a control file that is cut off")
        at += -(-header.size // _BLOCK) * _BLOCK
    return Unreadable(f"has no control file in the first {UNPACKED} bytes of its control member")


def _unpack_lzma(packed: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=_MEMORY).decompress(packed, max_length=UNPACKED)


def _unpack_zstd(packed: bytes) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=_MEMORY).stream_reader(packed) as content:
        return content.read(UNPACKED)


#: what stands behind `control.tar` → what unpacks the beginning of it
_UNPACK: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": lambda packed: packed[:UNPACKED],
    ".gz": lambda packed: zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, UNPACKED),
    ".bz2": lambda packed: bz2.BZ2Decompressor().decompress(packed, max_length=UNPACKED),
    ".xz": _unpack_lzma,
    ".lzma": _unpack_lzma,
    ".zst": _unpack_zstd,
}

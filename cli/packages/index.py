"""Reads an archive's index of binary packages, `Packages`, plain or compressed.

python-debian takes the stanzas apart; of the lines only those are handed to it that name, version, architecture and
provided packages stand in, because the rest is nine tenths of a file of 60,000 stanzas.  Opens no database.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import zstandard
from debian.deb822 import Deb822

from actors.core.dependencies.relations import ALL, provided_by
from cli.errors import BadInput
from storage.errors import BadValue
from storage.records import BinaryPackage
from storage.words.packages import check_package

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIELDS: Final = ("package:", "version:", "architecture:", "provides:")
_BLOCK: Final = 1 << 16
_LARGEST: Final = 1 << 30  #: bytes of an index; the largest known have a tenth of it
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Index:
    """What an index lists."""

    packages: tuple[BinaryPackage, ...]
    left_out: tuple[str, ...]  #: stanzas that are no package, in words

    @property
    def architectures(self) -> tuple[str, ...]:
        """Return the architectures of its packages, without `all`."""
        return tuple(sorted({one.architecture for one in self.packages} - {ALL}))


def read_index(file: BinaryIO, name: str) -> Index:
    """Read an index to its end.

    Args:
        file: at its beginning.
        name: for what is wrong.

    Raises:
        BadInput: it is damaged, or lists no package where it lists something.
    """
    packages: list[BinaryPackage] = []
    left_out: list[str] = []
    try:
        for number, fields in enumerate(_stanzas(file), 1):
            one = BinaryPackage(
                fields.get("Package", ""),
                fields.get("Version", ""),
                fields.get("Architecture", ""),
                provided_by(fields.get("Provides", "")),
            )
            try:
                check_package(one)
            except BadValue as error:
                left_out.append(f"stanza {number}: {error}")
            else:
                packages.append(one)
    except (_Damaged, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise BadInput(f"{name} can't be read: {error}; fetch it again") from error
    if left_out and not packages:
        raise BadInput(f"{name} is no index of binary packages: {left_out[0]}")
    return Index(tuple(packages), tuple(left_out))


def choose_architecture(index: Index, wanted: str | None, name: str) -> tuple[str, tuple[BinaryPackage, ...]]:
    """Return what architecture the index is for, and those of its packages that are for it or for all.

    Args:
        index: as it was read.
        wanted: what the person said; None: what the packages say.
        name: of the file, for what is wrong.

    Raises:
        BadInput: the person has to say it.
    """
    found = index.architectures
    if wanted is None:
        if not index.packages:
            raise BadInput(f"{name} lists no packages: say --arch to empty what was imported for it")
        if len(found) > 1:
            raise BadInput(f"{name} lists packages of {', '.join(found)}: import it once for each, with --arch")
        wanted = found[0] if found else ALL
    kept = tuple(one for one in index.packages if one.architecture in {wanted, ALL})
    if index.packages and not kept:
        raise BadInput(f"{name} lists packages of {', '.join(found)} only, and none of {wanted}")
    return wanted, kept


def some(left_out: Iterable[str]) -> str:
    """Return the first of what was left out, in words."""
    told = tuple(left_out)
    more = f"; and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    return f"{'; '.join(told[:_MOST_NAMED])}{more}"


def _stanzas(file: BinaryIO) -> Iterator[Deb822]:
    with io.TextIOWrapper(io.BufferedReader(_unpacked(file)), "utf-8", errors="replace") as text:
        yield from Deb822.iter_paragraphs(_lines(text), use_apt_pkg=False)


def _lines(text: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the fields that matter, and those that part stanzas.

    Raises:
        _Damaged: there is no such field in a file that is not empty, as in a page that tells of an error.
    """
    wanted = found = foreign = False
    for line in text:
        if line[0] not in " \t":
            wanted = line.lower().startswith(_FIELDS)
            found = found or wanted
            if wanted or line == "\n":
                yield line
            else:
                foreign = True
        elif wanted:
            yield line
    if foreign and not found:
        raise _Damaged("no line in it is one of an index of binary packages")


def _unpacked(file: BinaryIO) -> io.RawIOBase:
    head = file.read(_BLOCK)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    blocks = chain((head,), iter(lambda: file.read(_BLOCK), b""))
    return _Blocks(blocks if kind is None else _unpack(kind, blocks))


def _unpack(kind: Callable[[], _Decompressor], packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content; what ends before its time is an error, or half of an archive would be gone."""
    rest, size = next(packed), 0
    while rest:
        one = kind()
        while not one.eof:
            rest = rest or next(packed, b"")
            if not rest:
                raise _Damaged("it ends in the middle")
            content = one.decompress(rest)
            rest, size = one.unused_data, size + len(content)
            if size > _LARGEST:
                raise _Damaged(f"it unpacks to more than {_LARGEST} bytes")
            yield content
        rest = rest.lstrip(b"\0") or next(packed, b"")


class _Damaged(Exception):
    """The file is not whole, or something else.  No `EOFError`: the library takes that for an end like any other."""


class _Decompressor(Protocol):
    """What all of them have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


_MAGIC: Final[Mapping[bytes, Callable[[], _Decompressor]]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"\x28\xb5\x2f\xfd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    b"BZh": bz2.BZ2Decompressor,
}


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` with what there is next."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

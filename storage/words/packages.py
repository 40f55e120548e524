"""Binary packages as others name them: what they may look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from storage.errors import BadValue
from storage.records import BinaryPackage

ALL: Final = "all"  #: architecture of packages for every architecture

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{0,254}")
_VERSION: Final = re.compile(r"(?=.{1,255}\Z)([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*")
_ARCHITECTURE: Final = re.compile(r"[a-z0-9][a-z0-9+._-]{0,63}")


def check_index(index: str, series: str, architectures: Sequence[str]) -> None:
    """Refuse an index that the series has no use for.

    Raises:
        BadValue: says which architectures there are.
    """
    if index not in {ALL, *architectures}:
        raise BadValue(f"{series} is not for {index!r} (it is for: {', '.join(architectures)}, {ALL})")


def check_package(package: BinaryPackage) -> None:
    """Refuse a package that can't be; the database checks the same.

    Raises:
        BadValue: says what is wrong with it.
    """
    for what, value, shape in (
        ("name", package.name, _NAME),
        ("version", package.version, _VERSION),
        ("architecture", package.architecture, _ARCHITECTURE),
    ):
        if not shape.fullmatch(value):
            raise BadValue(f"{what} {value!r} of a binary package can't be")


def without_repeats(packages: Iterable[BinaryPackage]) -> Iterable[BinaryPackage]:
    """Yield the first of those that have the same name, version and architecture."""
    seen: set[tuple[str, str, str]] = set()
    for one in packages:
        key = (one.name, one.version, one.architecture)
        if key not in seen:
            seen.add(key)
            yield one

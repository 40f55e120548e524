"""Source package releases: what they must have."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from storage.errors import BadValue
from storage.records import NamedFile, NewSource, Urgency
from storage.words.files import check_files

_SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION: Final = re.compile(r"(?=.{1,255}\Z)([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*")


def dsc_of(source: NewSource) -> NamedFile:
    """Return the `.dsc` among a source's files, after a look at everything else.

    Raises:
        BadValue: no `.dsc` or more than one; a name, version, hash or size that can't be; a filename twice.
    """
    if not _SOURCE.fullmatch(source.name):
        raise BadValue(f"source {source.name!r} can't be: 2 to 128 of a-z, 0-9, plus, dot and dash")
    check_version(source.name, source.version)
    if source.urgency not in {*Urgency}:
        raise BadValue(f"urgency {source.urgency!r} of {source.name} can't be: {', '.join(Urgency)}")
    if not source.architectures:
        raise BadValue(f"{source.name} {source.version} names no architecture to build for, not even `any` or `all`")
    check_files(f"{source.name} {source.version}", source.files)
    found = [file for file in source.files if file.filename.endswith(".dsc")]
    if len(found) != 1:
        raise BadValue(f"{source.name} {source.version} has {len(found)} .dsc files among its files, and needs one")
    return found[0]


def check_version(source: str, version: str) -> None:
    """Refuse a version that dpkg could not compare.

    Raises:
        BadValue: names it.
    """
    from debian.debian_support import Version  # noqa: PLC0415 - takes 60 ms, and most commands submit nothing

    if _VERSION.fullmatch(version):
        with suppress(ValueError):
            Version(version)
            return
    raise BadValue(f"version {version!r} of {source} is no Debian version")

"""Names and other words people give the farm: what they may look like.  Pure; the database checks the same again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from storage.errors import BadValue
from storage.records import ArchivePurpose, NamedFile, NewSource

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9+._-]{0,63}")
_SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION: Final = re.compile(r"(?=.{1,255}\Z)([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+:~-]*")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FILENAME: Final = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]{1,255}")
_LAST_PORT: Final = 65535


def check_word(what: str, word: str) -> None:
    """Refuse a name that can't be part of a path or URL.

    Args:
        what: what it names, for the message.
        word: the name.

    Raises:
        BadValue: says what is allowed.
    """
    if not _WORD.fullmatch(word):
        raise BadValue(
            f"{what} {word!r} can't be: 1 to 64 of a-z, 0-9, plus, dot, dash and underscore, a letter or digit first"
        )


def check_url(url: str) -> None:
    """Refuse what is no address of a slave.

    Raises:
        BadValue: says what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadValue(f"{url!r} is no slave's URL: {error}; write buildd://HOST:PORT") from error
    wrong = {
        "the scheme must be buildd": parts.scheme != "buildd",
        "the host is missing": not parts.hostname or re.search(r"[\s\\]", url) is not None,
        "name and password do not belong there": "@" in parts.netloc,
        "the port is missing": port is None or not 0 < port <= _LAST_PORT,
        "nothing may follow the port": parts.path not in {"", "/"} or bool(parts.query or parts.fragment),
    }
    for reason, holds in wrong.items():
        if holds:
            raise BadValue(f"{url!r} is no slave's URL: {reason}; write buildd://HOST:PORT")


def archive_name(name: str, purpose: ArchivePurpose, owner: str | None) -> tuple[str, str | None]:
    """Return an archive's full name and owner: of a PPA `owner/name`, whichever way they were given.

    Raises:
        BadValue: a PPA without owner, or with two; a name that can't be.
    """
    before, slash, after = name.rpartition("/")
    if purpose == ArchivePurpose.PPA:
        if slash and owner is not None and owner != before:
            raise BadValue(f"archive {name!r} can't be {owner!r}'s: a PPA is named OWNER/NAME")
        owner = owner if owner is not None else before
        if not owner:
            raise BadValue(f"PPA {name!r} needs an owner: name it OWNER/NAME")
        name = f"{owner}/{after}"
    elif slash:
        raise BadValue(f"archive {name!r} can't be: only a PPA is named OWNER/NAME")
    check_word("archive", after)
    if owner is not None:
        check_word("owner", owner)
    return name, owner


def dsc_of(source: NewSource) -> NamedFile:
    """Return the `.dsc` among a source's files, after a look at everything else.

    Raises:
        BadValue: no `.dsc` or more than one; a name, version, hash or size that can't be; a filename twice.
    """
    if not _SOURCE.fullmatch(source.name):
        raise BadValue(f"source {source.name!r} can't be: 2 to 128 of a-z, 0-9, plus, dot and dash")
    if not _VERSION.fullmatch(source.version):
        raise BadValue(f"version {source.version!r} of {source.name} is no Debian version")
    if not source.architectures:
        raise BadValue(f"{source.name} {source.version} names no architecture to build for, not even `any` or `all`")
    check_files(f"{source.name} {source.version}", source.files)
    found = [file for file in source.files if file.filename.endswith(".dsc")]
    if len(found) != 1:
        raise BadValue(f"{source.name} {source.version} has {len(found)} .dsc files among its files, and needs one")
    return found[0]


def check_files(whose: str, files: Sequence[NamedFile]) -> None:
    """Refuse files that can't be stored.

    Raises:
        BadValue: names the file.
    """
    names = [file.filename for file in files]
    for file in files:
        if not _FILENAME.fullmatch(file.filename):
            raise BadValue(f"{whose}: filename {file.filename!r} can't be: it must be a single part of a path")
        if names.count(file.filename) > 1:
            raise BadValue(f"{whose}: file {file.filename!r} is named twice")
        if not _HASH.fullmatch(file.sha256):
            raise BadValue(f"{whose}: {file.filename}: {file.sha256!r} is no SHA-256 (64 hexadecimal digits)")
        if file.size < 0:
            raise BadValue(f"{whose}: {file.filename}: {file.size} is no size")

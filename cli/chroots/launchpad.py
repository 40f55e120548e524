"""A chroot tarball in the shape that launchpad-buildd takes: all of it below `chroot-autobuild/`, with a user `buildd`.

Made of one of ours, entry by entry, without unpacking it: owners, devices, links and extended attributes stay.  The
shape is that of docs/launchpad-buildd.md's source, and of no program's: one top directory, a `buildd` user of the
slave's ids, `/build/buildd`, `/dev/pts`, `/dev/shm`; packed with gzip, as the oldest of these slaves can read it.
"""

from __future__ import annotations

import io
import pwd
import re
import tarfile
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.chroots.tarball import LAUNCHPAD_TOP as TOP
from cli.chroots.tarball import unpacked
from cli.errors import BadInput
from cli.packages.host_apt import SourceEntry
from storage.errors import BadValue
from storage.words.series import check_apt_sources

USER: Final = "buildd"
_HOME: Final = "build/buildd"
_IDS = re.compile(r"(?P<user>[1-9][0-9]{0,8}):(?P<group>[1-9][0-9]{0,8})")
#: file → the line that makes the user, and by what it is seen that there is one
_ACCOUNTS: Final = {
    "etc/passwd": "buildd:x:{user}:{group}:buildd:/build/buildd:/bin/sh",
    "etc/group": "buildd:x:{group}:",
    "etc/shadow": "buildd:*:19000:0:99999:7:::",
    "etc/gshadow": "buildd:!::",
}
_PLACES: Final = {"build": 0o755, _HOME: 0o755, "dev": 0o755, "dev/pts": 0o755, "dev/shm": 0o1777}


@dataclass(frozen=True, slots=True)
class Ids:
    """Of the slave's user `buildd`: what `id buildd` says there."""

    user: int
    group: int


def read_ids(text: str | None) -> Ids:
    """Return the ids that `UID:GID` names; None: those of this machine's own user `buildd`.

    Raises:
        BadInput: they are none, or there is no such user here.
    """
    if text is None:
        try:
            here = pwd.getpwnam(USER)
        except KeyError:
            raise BadInput(
                "the user buildd in the chroot needs the ids that it has on the slaves, and this machine has no such"
                " user: run `id buildd` on one, and say --buildd-ids UID:GID"
            ) from None
        return Ids(here.pw_uid, here.pw_gid)
    found = _IDS.fullmatch(text)
    if found is None:
        raise BadInput(f"{text!r} are no ids: write UID:GID, as `id buildd` says them on a slave")
    return Ids(int(found["user"]), int(found["group"]))


def reshape(source: Path, target: Path, ids: Ids) -> None:
    """Write `source`, a chroot's tarball, to `target` in the shape that launchpad-buildd takes.

    Raises:
        OSError: one can't be read, or the other not be written.
    """
    with (
        unpacked(source) as stream,
        tarfile.open(fileobj=stream, mode="r|") as before,
        tarfile.open(target, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as after,
    ):
        after.addfile(_directory(TOP, 0o755))
        there = {TOP}
        for member in before:
            entry, content = _moved(member), _content(before, member, ids)
            if entry is None:
                continue
            if content is not None:
                entry.size = content.getbuffer().nbytes
            after.addfile(entry, content)
            there.add(entry.name)
        for name, mode in _PLACES.items():
            place = f"{TOP}/{name}"
            if place not in there:
                owner = (ids.user, ids.group) if name == _HOME else (0, 0)
                after.addfile(_directory(place, mode, *owner))


def apt_lines(entries: Iterable[SourceEntry]) -> tuple[str, ...]:
    """Return source entries as lines of a `sources.list`, for a series that has none: those that can be told."""
    return tuple(line for entry in entries for line in _lines(entry))


def _lines(entry: SourceEntry) -> Iterator[str]:
    key = entry.get("Signed-By").strip()
    options = [f"signed-by={key}"] if key.startswith("/") and "\n" not in key else []
    options += ["trusted=yes"] if entry.get("Trusted").strip().lower() in {"yes", "true"} else []
    stated = f"[{' '.join(options)}] " if options else ""
    for uri in entry.uris:
        for suite in entry.suites:
            line = f"deb {stated}{uri} {suite} {' '.join(entry.components)}".rstrip()
            try:
                check_apt_sources([line])
            except BadValue:
                continue  # with a password, above all
            yield line


def _moved(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return an entry below the top directory; None for the root itself."""
    name = member.name.removeprefix("./").strip("/")
    if name in {"", "."}:
        return None
    entry = copy(member)
    entry.name = f"{TOP}/{name}"
    if entry.isdir() and name in _PLACES:
        entry.mode = _PLACES[name]
    entry.pax_headers = {key: value for key, value in member.pax_headers.items() if key not in {"path", "linkpath"}}
    if member.islnk():
        linked = member.linkname.removeprefix("./").lstrip("/")
        entry.linkname = f"{TOP}/{linked}"
    return entry


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, ids: Ids) -> io.BytesIO | None:
    if not member.isreg():
        return None
    read = tar.extractfile(member)
    assert read is not None  # noqa: S101 - it is a regular file
    line = _ACCOUNTS.get(member.name.removeprefix("./"))
    content = read.read()
    if line is None:
        return io.BytesIO(content)
    others = [one for one in content.decode().splitlines() if one.partition(":")[0] != USER]
    return io.BytesIO("".join(f"{one}\n" for one in [*others, line.format(user=ids.user, group=ids.group)]).encode())


def _directory(name: str, mode: int, user: int = 0, group: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, user, group
    return entry

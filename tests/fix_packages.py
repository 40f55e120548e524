"""Published packages and builds that wait for them, without a database; and `.deb`s, good and bad."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.records import DependencyWait, PublishedPackage

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  #: when the last attempt began
PRIMARY, PPA = 1, 2  #: archives


def a_package(name: str = "libfoo", version: str = "1.0", *, minutes: float = 10, **fields: Any) -> PublishedPackage:
    """Return a package in the primary archive for i386, that came `minutes` after `NOON`."""
    row: dict[str, Any] = {
        "id": 1,
        "archive": PRIMARY,
        "series": "hoary",
        "name": name,
        "version": version,
        "architecture": "i386",
        "provides": (),
        "build": None,
        "created": NOON + timedelta(minutes=minutes),
    }
    return PublishedPackage(**(row | fields))


def a_wait(*dependencies: str, minutes: float = 20, **fields: Any) -> DependencyWait:
    """Return a build of the primary archive for i386, tried at `NOON`, which waits since five past; it is now `minutes` past."""
    row: dict[str, Any] = {
        "build": 1,
        "architecture": "i386",
        "series": "hoary",
        "archives": (PRIMARY,),
        "dependencies": dependencies,
        "since": NOON + timedelta(minutes=5),
        "tried": NOON,
        "missed": 1,
        "now": NOON + timedelta(minutes=minutes),
    }
    return DependencyWait(**(row | fields))


def exactly(architecture: str, tag: str) -> bool:
    """Return whether a tag means an architecture, where the only wildcards are `any` and `linux-any`."""
    return tag in {architecture, "any", "linux-any"}


def a_tar(*files: tuple[str, bytes]) -> bytes:
    """Return a tar archive of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def a_deb(control: bytes, packing: str = "", *, name: str = "control.tar") -> bytes:
    """Return a `.deb` with this control member, packed as it is."""
    return an_ar(("debian-binary", b"2.0\n"), (name + packing, control), ("data.tar", a_tar()))


def an_ar(*members: tuple[str, bytes]) -> bytes:
    """Return an ar archive."""
    parts = [b"!<arch>\n"]
    for name, content in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts += [header.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)

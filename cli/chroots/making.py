"""Chroot tarballs made with mmdebstrap from the host's own mirrors.

The tarball's own apt points at the host's mirrors with the host's proxies, does not mind expired lists, and holds no
resolv.conf and no hostname: the slave brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cli.chroots import mmdebstrap
from cli.chroots.emulation import check_runnable
from cli.chroots.mmdebstrap import Progress
from cli.errors import BadInput, NotReachable
from cli.packages import host_apt
from cli.packages.private_apt import entries_for

#: what a chroot is left without; run with its directory as $1
AS_FOUND = 'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname'

_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:=~*-]*")
_VARIANTS = (
    "extract",
    "custom",
    "essential",
    "apt",
    "required",
    "minbase",
    "buildd",
    "important",
    "debootstrap",
    "-",
    "standard",
)
_PASSED_ON = ("Acquire::http", "Acquire::Check-", "Acquire::Retries", "Acquire::Force")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a chroot."""

    suite: str  #: as `bookworm`
    architecture: str
    variant: str = "buildd"
    include: tuple[str, ...] = ()  #: packages beside the variant's

    def check(self) -> None:
        """Refuse words that mmdebstrap would take for something else.

        Raises:
            BadInput: names the word.
        """
        if not _SUITE.fullmatch(self.suite):
            raise BadInput(f"{self.suite!r} is no name of a suite: write one as {host_apt.codename() or 'bookworm'}")
        if self.variant not in _VARIANTS:
            raise BadInput(f"unknown variant {self.variant!r} (there are: {', '.join(_VARIANTS)})")
        for word in (self.architecture, *self.include):
            if not _WORD.fullmatch(word):
                raise BadInput(f"{word!r} is neither a package nor an architecture")


@contextmanager
def made(recipe: Recipe, directory: Path, progress: Progress) -> Iterator[Path]:
    """Make a chroot tarball, and give its path for the length of the block.

    Args:
        recipe: what goes into it.
        directory: the farm's own for apt; all is written below it, and a log is kept there.
        progress: told each step.

    Raises:
        BadInput: a word of the recipe can't be.
        NotReachable: mmdebstrap is not there or failed; its last words and where its log is.
    """
    recipe.check()
    mmdebstrap.require(directory)
    check_runnable(recipe.architecture)
    entries = own_sources(recipe.suite)
    if recipe.architecture != host_apt.architecture():  # an entry may be narrowed to those of this machine
        entries = tuple(entry.having(Architectures="") for entry in entries)
    with mmdebstrap.workshop(directory) as place:
        (place / "chroot.sources").write_text("\n".join(entry.stanza("deb") for entry in entries))
        (place / "chroot.conf").write_text(apt_settings())
        tarball = place / f"{recipe.suite}-{recipe.architecture}.tar.zst"
        log = directory / "mmdebstrap.log"
        code = mmdebstrap.run(_arguments(recipe, tarball.name, entries), place, log, progress)
        if code != 0:
            raise NotReachable(f"mmdebstrap {recipe.suite} failed: {mmdebstrap.last_words(log)}; its log is {log}")
        yield tarball


def reachable(entry: host_apt.SourceEntry) -> host_apt.SourceEntry:
    """Return an entry as a chroot can use it: mirror lists of the host replaced by the mirrors in them.

    Raises:
        NotReachable: it is a place that only this machine has.
    """
    uris: list[str] = []
    for uri in entry.uris:
        scheme, _, path = uri.partition(":")
        if scheme == "mirror+file":
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            uris += [words[0] for line in lines if (words := line.partition("#")[0].split())]
        elif scheme in {"file", "copy", "cdrom"}:
            raise NotReachable(
                f"{entry.place} takes packages from {uri}, which a chroot can't reach: use a mirror by HTTP"
            )
        else:
            uris.append(uri)
    return entry.having(URIs=" ".join(uris))


def own_sources(suite: str) -> tuple[host_apt.SourceEntry, ...]:
    """Return where a chroot of `suite` finds packages: this machine's own entries, as a chroot can use them."""
    return tuple(map(reachable, entries_for(host_apt.own_entries(), suite)))


def _arguments(recipe: Recipe, target: str, entries: tuple[host_apt.SourceEntry, ...]) -> list[str]:
    arguments = [
        f"--variant={recipe.variant}",
        f"--architectures={recipe.architecture}",
        "--format=tar",
        "--aptopt=chroot.conf",
        f"--customize-hook={AS_FOUND}",
    ]
    if recipe.include:
        arguments.append(f"--include={','.join(recipe.include)}")
    keyrings = {
        path for entry in entries if (path := entry.get("Signed-By").strip()).startswith("/") and "'" not in path
    }
    # A key of one's own must be there when apt runs inside.
    arguments += [
        f"--customize-hook=[ -e \"$1\"'{path}' ] || install -D -m 644 '{path}' \"$1\"'{path}'"
        for path in sorted(keyrings)
    ]
    return [*arguments, recipe.suite, target, "chroot.sources"]


def apt_settings() -> str:
    """Return what the chroot's apt needs of the host's settings; never a password."""
    lines = ['Acquire::Check-Valid-Until "false";\n', 'Acquire::Languages "none";\n']
    for key, value in host_apt.settings():
        if key.startswith(_PASSED_ON) and "Auto-Detect" not in key and not _has_password(value):
            lines.append(f'{key} "{value}";\n')
    return "".join(lines)


def _has_password(value: str) -> bool:
    try:
        return urlsplit(value).password is not None
    except ValueError:
        return False

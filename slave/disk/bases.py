"""Chroot tarballs, unpacked once: each is a *base* that builds lay their own files over, and never write to.

bases/<sha256>/root       the tarball's content; the name stands only when all of it is there
bases/<sha256>/boot       since when the machine has run: a crash of the machine, not of the slave, may leave holes
bases/<sha256>/lists      what `apt-get update` brought last: a layer to lay over the root
bases/<sha256>/lists.new  what a later one brought; takes the place of `lists` before the next build
bases/<sha256>.part       one that is being made; a leftover if no slave runs

A base lives no longer than its tarball does in the file cache (`slave.disk.cache`).  One build at a time uses them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from slave.core.build_args import SHA256
from slave.disk.collect import BadResult, directory_below
from slave.isolation.sandbox import Ran

MOST = 8  #: bases; beyond, the one that was used longest ago goes
#: What `apt-get update` leaves, and takes up again: all is verified against the signed index at each update.
APT_LISTS = "var/lib/apt/lists"
APT_CACHE = "var/cache/apt"
KEPT_OF_CACHE = frozenset({"pkgcache.bin", "srcpkgcache.bin"})
NOT_A_LIST = frozenset({"lock"})


@dataclass(frozen=True, slots=True)
class Base:
    """One unpacked tarball."""

    path: Path

    @property
    def root(self) -> Path:
        """The tarball's content."""
        return self.path / "root"

    def layers(self) -> tuple[Path, ...]:
        """Return the directories to lay over one another, topmost first.  No build may be using them."""
        lists, newer = self.path / "lists", self.path / "lists.new"
        if newer.exists():
            shutil.rmtree(lists, ignore_errors=True)
            newer.rename(lists)
        return (lists, self.root) if lists.exists() else (self.root,)

    def keep_lists(self, tree: Path) -> None:
        """Copy what `apt-get update` has brought out of a build's tree, for the next one.

        Called before any code of a package has run in the tree; even so only plain files are taken, by name, and no
        symbolic link is followed.

        Raises:
            OSError: there is no room; nothing is kept.
        """
        unfinished, newer = self.path / "lists.part", self.path / "lists.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        if not any(_differs(tree, self.path / "lists", where) for where in (APT_LISTS, APT_CACHE)):
            return
        try:
            for where in (APT_LISTS, APT_CACHE):
                _copy(tree, unfinished, where)
            shutil.rmtree(newer, ignore_errors=True)
            unfinished.rename(newer)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


class Bases:
    """All bases of one slave.

    Args:
        directory: made if it is not there; nobody else writes there.
        discard: moves a tree away at once, if it is there.
    """

    def __init__(self, directory: Path, discard: Callable[[Path], None]) -> None:
        self._directory = directory
        self._discard = discard
        directory.mkdir(exist_ok=True)

    def clean_up(self, cached: Collection[str]) -> None:
        """At a start, give up what an earlier life left half made as well, and bases of before the machine's own start.

        Those may have holes: nothing has been synced, for that may take longer than to unpack it again.
        """
        for path in self._directory.iterdir():
            if SHA256.fullmatch(path.name) is None or not _of_this_boot(path):
                self._discard(path)
        self.prune(cached)

    def prune(self, cached: Collection[str]) -> None:
        """Give up the bases whose tarball is not among `cached`."""
        for base in self._by_age():
            if base.name not in cached:
                self._discard(base)

    def give_up_others(self, sha256: str) -> bool:
        """Give up all bases but one, for the disk is full; return whether there were any."""
        others = [base for base in self._by_age() if base.name != sha256]
        for base in others:
            self._discard(base)
        return bool(others)

    def find(self, sha256: str) -> Base | None:
        """Return the base of a tarball, if it is there, and note its use."""
        path = self._directory / sha256
        if not path.exists():
            return None
        os.utime(path)
        return Base(path)

    async def make(self, sha256: str, unpack: Callable[[Path], Awaitable[Ran]]) -> Base | Ran:
        """Make a base.

        Args:
            sha256: of the tarball.
            unpack: unpacks it into a directory.

        Returns:
            the base, or how `unpack` failed; nothing is left then.
        """
        part = self._directory / f"{sha256}.part"
        self._discard(part)
        try:
            root = part / "root"
            root.mkdir(mode=0o755, parents=True)
            ran = await unpack(root)
            if ran.code != 0:
                return ran
            (part / "boot").write_text(_boot())
            part.rename(self._directory / sha256)
        finally:
            self._discard(part)
        for oldest in self._by_age()[:-MOST]:
            self._discard(oldest)
        return Base(self._directory / sha256)

    def _by_age(self) -> list[Path]:
        whole = [path for path in self._directory.iterdir() if SHA256.fullmatch(path.name)]
        return sorted(whole, key=lambda path: path.stat().st_mtime_ns)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def _of_this_boot(base: Path) -> bool:
    try:
        return (base / "boot").read_text() == _boot()
    except OSError:
        return False


def _files(directory: int, where: str) -> dict[str, os.stat_result]:
    """Return the plain files in `directory` that are worth keeping."""
    found: dict[str, os.stat_result] = {}
    for name in os.listdir(directory):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        wanted = name in KEPT_OF_CACHE if where == APT_CACHE else name not in NOT_A_LIST
        if wanted and stat.S_ISREG(status.st_mode):
            found[name] = status
    return found


def _differs(tree: Path, layer: Path, where: str) -> bool:
    """Say whether the files of `tree` are others than those in `layer`, by name, size and time."""
    seen: list[dict[str, tuple[int, int]]] = []
    for root in (tree, layer):
        try:
            with directory_below(root, where) as directory:
                files = _files(directory, where)
        except (BadResult, FileNotFoundError):
            files = {}
        seen.append({name: (status.st_size, status.st_mtime_ns) for name, status in files.items()})
    return seen[0] != seen[1]


def _copy(tree: Path, layer: Path, where: str) -> None:
    """Copy the files with their times, which apt asks the mirrors by."""
    target = layer
    for part in Path(where).parts:
        target /= part
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(0o755)  # whatever our umask is
    try:
        with directory_below(tree, where) as directory:
            for name, status in _files(directory, where).items():
                source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                with os.fdopen(source, "rb") as content, (target / name).open("xb") as copy:
                    shutil.copyfileobj(content, copy, 1 << 20)
                (target / name).chmod(0o644)
                os.utime(target / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    except BadResult:  # this chroot has no such directory
        return

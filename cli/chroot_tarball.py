"""Chroot tarballs made with mmdebstrap from the host's own mirrors.

The tarball's own apt points at the host's mirrors with the host's proxies, does not mind expired lists, and holds no
resolv.conf and no hostname: the slave brings its own.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cli import host_apt
from cli.errors import BadInput, NotReachable
from cli.private_apt import dying, entries_for, in_private_view, private_place
from slave import ordinary_user, subordinate_ids

#: mmdebstrap's steps that take time; what else it says goes to its log only
_STEP = re.compile(r"I: (?P<step>(?:running apt-get|downloading|extracting|installing|cleaning|creating).*)")
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

Progress = Callable[[str], None]  #: told the step that begins


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
    if shutil.which("mmdebstrap") is None:
        raise NotReachable("mmdebstrap makes the chroot and is not installed: run `apt-get install mmdebstrap` as root")
    entering = _entering(directory)
    entries = tuple(map(reachable, entries_for(host_apt.own_entries(), recipe.suite)))
    directory.mkdir(parents=True, exist_ok=True)
    with _workshop(directory) as place:
        (place / "chroot.sources").write_text("\n".join(entry.stanza("deb") for entry in entries))
        (place / "chroot.conf").write_text(apt_settings())
        tarball = place / f"{recipe.suite}-{recipe.architecture}.tar.zst"
        log = directory / "mmdebstrap.log"
        code = _run(_command(recipe, tarball.name, entries), place, entering, log, progress)
        if code != 0:
            raise NotReachable(f"mmdebstrap {recipe.suite} failed: {_last_words(log)}; its log is {log}")
        yield tarball


def _run(command: list[str], place: Path, entering: tuple[str, ...], log: Path, progress: Progress) -> int:
    """Run mmdebstrap in `place` and return its exit code."""
    inside = private_place(place, entering)
    child = subprocess.Popen(
        in_private_view(place, inside, command, where=inside, entering=entering),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,  # in trouble mmdebstrap signals its whole group
        env={**os.environ, "TMPDIR": str(inside), "LC_ALL": "C.UTF-8"},
    )
    with log.open("w", encoding="utf-8") as record, dying(child):
        for line in child.stderr or ():
            record.write(line)
            if found := _STEP.match(line):
                progress(found["step"].rstrip("."))
    return child.returncode


@contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    """Give an empty directory below `directory`, and remove it; those that killed processes left go as well."""
    for old in directory.glob("chroot-*"):
        descriptor = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(old)
        os.close(descriptor)
    place = Path(tempfile.mkdtemp(prefix="chroot-", dir=directory))
    held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        place.chmod(0o755)  # apt's sandbox user passes through
        yield place
    finally:
        _remove(place)
        os.close(held)


def _remove(place: Path) -> None:
    """Remove what mmdebstrap may have written with the ids of a whole system."""
    subprocess.run(subordinate_ids.as_owner(("rm", "-rf", "--one-file-system", "--", str(place))), check=False)


def _entering(directory: Path) -> tuple[str, ...]:
    """Return what makes an ordinary user root, as mmdebstrap has to be; nothing for root.

    Raises:
        NotReachable: this machine does not let him.
    """
    if os.geteuid() == 0:
        return ()
    lacks = ordinary_user.lacking(directory)
    if lacks:
        raise NotReachable(f"a chroot is made by an ordinary user in a user namespace: {ordinary_user.line(lacks)}")
    return subordinate_ids.entering() or ()


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


def _command(recipe: Recipe, target: str, entries: tuple[host_apt.SourceEntry, ...]) -> list[str]:
    command = [
        "mmdebstrap",
        "--mode=root",  # of the machine, or of a user namespace
        f"--variant={recipe.variant}",
        f"--architectures={recipe.architecture}",
        "--format=tar",
        "--aptopt=chroot.conf",
        "--customize-hook=rm -f $1/etc/resolv.conf $1/etc/hostname",
    ]
    if recipe.include:
        command.append(f"--include={','.join(recipe.include)}")
    keyrings = {
        path for entry in entries if (path := entry.get("Signed-By").strip()).startswith("/") and "'" not in path
    }
    # A key of one's own must be there when apt runs inside.
    command += [
        f"--customize-hook=[ -e \"$1\"'{path}' ] || install -D -m 644 '{path}' \"$1\"'{path}'"
        for path in sorted(keyrings)
    ]
    return [*command, recipe.suite, target, "chroot.sources"]


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


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("E: ") and "run_chroot" not in line]
    return (errors or lines or ["it said nothing"])[0].removeprefix("E: ")

"""The subordinate ids of an ordinary user, and the user namespace they make him root of.

Inside, root is he himself, so that his own directories stay open to it, and 1 to 65535 are the first of his subordinate
ids: every user of a Debian system is there.  newuidmap and newgidmap (setuid root) see to it that he takes no others.
What is missing is said by `slave.readiness.ordinary_user`.  Standard library only: it is imported before anything is installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEEDED = 65536  #: ids in one block: what `useradd` gives, and what Debian's ids go up to
FILES = (Path("/etc/subuid"), Path("/etc/subgid"))
PROGRAMS = ("newuidmap", "newgidmap")
SCRIPT = Path(__file__).with_name("user_namespace.py")
_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Block:
    """Ids that somebody may map."""

    owner: str  #: a login name or a user id
    first: int
    count: int

    @property
    def end(self) -> int:
        """The first id behind it."""
        return self.first + self.count


def blocks(text: str) -> Iterator[Block]:
    """Give the blocks of /etc/subuid or /etc/subgid; lines that are none are left out, as newuidmap does."""
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == _FIELDS and all(field.isascii() and field.isdigit() for field in fields[1:]):
            yield Block(fields[0], int(fields[1]), int(fields[2]))


def owned(text: str, names: frozenset[str]) -> tuple[Block, ...]:
    """Return the blocks of one person, in their order.

    Args:
        text: of the file.
        names: login name and user id of that person.
    """
    return tuple(block for block in blocks(text) if block.owner in names)


def names() -> frozenset[str]:
    """Return what we are called in those files."""
    return frozenset({login_name(), str(os.getuid())})


def login_name() -> str:
    """Return our login name; the user id of who has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def read(path: Path) -> str:
    """Return what the file says; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def entering() -> tuple[str, ...] | None:
    """Return what to put before an argv to run it as root of a user namespace with all ids; None if we have none."""
    if any(shutil.which(program) is None for program in PROGRAMS):
        return None
    large = [next((block for block in owned(read(path), names()) if block.count >= NEEDED), None) for path in FILES]
    users, groups = large
    if users is None or groups is None:
        return None
    return (sys.executable, "-I", "-S", "-B", str(SCRIPT), str(users.first), str(groups.first), str(NEEDED - 1))


def as_owner(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the argv that runs `argv` with power over the files of our subordinate ids.

    That is `argv` itself for root, and for who has no such ids.
    """
    return argv if os.geteuid() == 0 else (*(entering() or ()), *argv)

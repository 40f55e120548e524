"""Takes results out of a tree that a stranger's code has written: no symbolic link followed, regular files only.

Nothing of the build runs any more when this is called.  The `.changes` file names what was built; the master verifies
it again.

`python -m slave.disk.collect ROOT WHERE TARGET` does it in a process of its own, which says the ending as JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from debian.deb822 import Changes

from protocol.messages import ResultFile, WireOutcome
from slave.core.build_args import FILENAME
from slave.core.outcomes import Ending, builderfail, packagefail

MOST_FILES = 1000  #: results of one build
CHANGES_BYTES = 4 << 20  #: a `.changes` file is no larger
READ_BYTES = 1 << 20


class BadResult(Exception):
    """Something that the build left cannot be a result; the text is one line."""


def collect(root: Path, where: str, target: Path) -> Ending:
    """Copy the `.changes` file and all it names.

    Args:
        root: of the tree; trusted up to here.
        where: path of the directory with the results below `root`; nothing of it is trusted.
        target: a directory of our own; made, and fresh.

    Returns:
        OK with the files, or PACKAGEFAIL that says what is wrong with them.
    """
    target.mkdir(parents=True)
    try:
        with directory_below(root, where) as directory:
            names = sorted(name for name in os.listdir(directory) if name.endswith(".changes"))  # noqa: PTH208 - a descriptor
            if len(names) != 1:
                found = ", ".join(names[:5]) or "none"
                return packagefail(f"the build must leave one .changes file, and left {len(names)}: {found}")
            changes = _copy(directory, names[0], target)
            files = [changes, *(_copy(directory, name, target) for name in _named(target / changes.name))]
    except BadResult as wrong:
        return packagefail(str(wrong))
    return Ending(WireOutcome.OK, f"{len(files)} file{'' if len(files) == 1 else 's'}", files=tuple(files))


@contextlib.contextmanager
def directory_below(root: Path, where: str) -> Iterator[int]:
    """Open `where` below `root`, one component after the other; no symbolic link is followed behind `root`.

    Raises:
        BadResult: there is no such directory.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.open(root, flags)
    flags |= os.O_NOFOLLOW
    try:
        for part in Path(where).parts:
            try:
                deeper = os.open(part, flags, dir_fd=current)
            except OSError as wrong:
                raise BadResult(f"the directory of the results, {where}: {wrong.strerror}") from wrong
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)


def _named(changes: Path) -> tuple[str, ...]:
    """Return the files that a `.changes` names."""
    if changes.stat().st_size > CHANGES_BYTES:
        raise BadResult(f"{changes.name} is larger than {CHANGES_BYTES} bytes")
    try:
        fields = Changes(changes.read_bytes())
        names = [str(entry["name"]) for entry in fields.get("Files", [])]
    except (ValueError, KeyError, TypeError) as wrong:
        raise BadResult(f"{changes.name} cannot be parsed: {wrong}") from wrong
    if not names or len(names) > MOST_FILES or len(set(names)) != len(names) or changes.name in names:
        raise BadResult(f"{changes.name} names {len(names)} files; 1 to {MOST_FILES} different ones are possible")
    return tuple(names)


def _copy(directory: int, name: str, target: Path) -> ResultFile:
    if FILENAME.fullmatch(name) is None:
        raise BadResult(f"{name!r} is no name of a result")
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as wrong:
        raise BadResult(f"{name} cannot be read: {wrong.strerror}") from wrong
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise BadResult(f"{name} is no regular file")
    with os.fdopen(source, "rb", buffering=0) as content:
        hashed = hashlib.sha256()
        size = 0
        with (target / name).open("xb", buffering=0) as copy:
            while piece := content.read(READ_BYTES):
                copy.write(piece)
                hashed.update(piece)
                size += len(piece)
    return ResultFile(name, size, hashed.hexdigest())


def read_ending(said: str) -> Ending:
    """Return the ending that a process of its own said; it may have warned before."""
    plain = json.loads(said.splitlines()[-1])
    files = tuple(ResultFile(**file) for file in plain["files"])
    return Ending(WireOutcome(plain["outcome"]), plain["text"], files=files)


def main() -> None:
    """Collect as the command line says."""
    root, where, target = sys.argv[1:]
    try:
        ending = collect(Path(root), where, Path(target))
    except OSError as wrong:  # this machine's disk
        ending = builderfail(f"COLLECT: {wrong}")
    sys.stdout.write(json.dumps(asdict(ending)))


if __name__ == "__main__":
    main()

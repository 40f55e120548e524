"""The slave's directory: one slave at a time, its record, its builds, and what waits to be removed.

lock                     held while a slave runs; says its process id
state.json               `slave.core.record.Record`, replaced atomically
builds/<attempt>/        log, results/, tree/ (the chroot, while it builds)
cache/                   `slave.disk.cache`
trash/                   trees on their way out: moved here in no time, removed behind the builds' backs
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import uuid
from pathlib import Path

from slave.core.record import Record
from slave.errors import CannotStart, CorruptRecord
from slave.isolation import subordinate_ids


def removal(tree: Path) -> tuple[str, ...]:
    """Return the argv that removes `tree`, of which much may belong to subordinate ids.

    rm opens directories without following links, and one file system keeps it off whatever is mounted.
    """
    return subordinate_ids.as_owner(("nice", "-n", "19", "rm", "-rf", "--one-file-system", "--", str(tree)))


class StateDirectory:
    """One slave's directory; made if it is not there.

    Raises:
        CannotStart: another slave has it, or it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.cache = self.path / "cache"
        self._builds = self.path / "builds"
        self._trash = self.path / "trash"
        self._state = self.path / "state.json"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise CannotStart(f"state directory {self.path}: {wrong.strerror}") from wrong
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(self._lock, 32).decode(errors="replace").strip()
            os.close(self._lock)
            raise CannotStart(
                f"another buildd-slave (process {other or 'unknown'}) uses {self.path}: "
                "stop it, or give this one a --state-directory of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        for place in (self._builds, self._trash):
            place.mkdir(exist_ok=True)

    def close(self) -> None:
        """Let another slave have it."""
        os.close(self._lock)

    # -- the record --------------------------------------------------------------------------------------------------
    def load(self) -> Record:
        """Return what was saved last; a fresh record if nothing was.

        Raises:
            CannotStart: it cannot be read back.
        """
        try:
            return Record.from_plain(json.loads(self._state.read_text()))
        except FileNotFoundError:
            return Record()
        except (CorruptRecord, ValueError, AttributeError, OSError) as wrong:
            raise CannotStart(
                f"{self._state} cannot be read back ({wrong}): move it away, and the slave begins afresh"
            ) from wrong

    def save(self, record: Record) -> None:
        """Have `record` on the disk when this returns.

        Raises:
            OSError: it could not be written; what was saved before still stands.
        """
        try:
            self._write(record)
        except OSError as wrong:
            if wrong.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            self.empty_trash()  # a build that filled the disk has just been thrown there
            self._write(record)

    def _write(self, record: Record) -> None:
        unfinished = self._state.with_suffix(".part")
        with unfinished.open("w") as file:
            json.dump(record.to_plain(), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._state)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    # -- builds ------------------------------------------------------------------------------------------------------
    def build(self, attempt: str) -> Path:
        """Return the directory of an attempt."""
        return self._builds / attempt

    def log(self, attempt: str) -> Path:
        """Return the log of an attempt."""
        return self._builds / attempt / "log"

    def log_size(self, attempt: str | None) -> int:
        """Return the bytes of an attempt's log; 0 if there is none."""
        if attempt is None or not self.log(attempt).exists():
            return 0
        return self.log(attempt).stat().st_size

    def discard_all_but(self, attempt: str | None) -> None:
        """Move away the builds of an earlier life; of `attempt` only log and results stay."""
        for build in self._builds.iterdir():
            if build.name != attempt:
                self.discard(build)
            elif (build / "tree").exists():
                self.discard(build / "tree")

    def discard(self, path: Path) -> None:
        """Move a tree away at once, if it is there; `empty_trash` removes it."""
        if path.exists():
            path.rename(self._trash / str(uuid.uuid4()))

    def rubbish(self) -> tuple[Path, ...]:
        """Return what was discarded and is still there."""
        return tuple(self._trash.iterdir())

    def empty_trash(self) -> None:
        """Remove what was discarded, at once; `slave.daemon` does it behind the builds' backs."""
        for tree in self.rubbish():
            subprocess.run(removal(tree), check=False)

"""Tries out whether this machine's disk takes what the farm stores: logs, and files of the librarian.

What follows from it stands in `actors.core.attempts.own_disk`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from storage.errors import StorageError
from storage.files.librarian import Librarian

_TRIAL: Final = 64 * 1024  #: bytes


def refusal(logs: Path, librarian: Path) -> str:
    """Write a little beside the logs and beside the librarian's files, and remove it; return what was refused, or nothing."""
    trial = os.urandom(_TRIAL)  # a filesystem that compresses must make room for all of it
    try:
        with Librarian(librarian).incoming() as file:
            file.write(trial)
        with tempfile.TemporaryFile(dir=logs) as log:
            log.write(trial)
            log.flush()
            os.fsync(log.fileno())
    except StorageError as error:
        return str(error)
    except OSError as error:
        return f"{logs} can't be written: {error.strerror}"
    return ""

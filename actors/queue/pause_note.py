"""A note in the state directory that says why the master gives nothing away while its database can't be told.

`paused` is made at the start of the queue actor, as long as it will ever be, and overwritten in place: a disk that is
full takes it all the same.  Written by `actors.queue.actor`, read by the command line on the same machine.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_LENGTH: Final = 4096  #: bytes; one block
_MOST: Final = 600  #: characters of a reason; none is longer than six bytes there


@dataclass(frozen=True, slots=True)
class PauseNote:
    """Why nothing is given away, though the farm's row does not say so."""

    why: str
    since: str  #: time of day, in UTC


def write_note(file: Path, why: str) -> None:
    """Say why, or (empty) that there is no such reason any more.

    Raises:
        OSError: it can't be written.
    """
    note = PauseNote(why[:_MOST], f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    content = json.dumps(asdict(note)).encode().ljust(_LENGTH)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)


def read_note(file: Path) -> PauseNote | None:
    """Return what the running master says; None: nothing, or it is not ours to read."""
    try:
        note = PauseNote(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return note if note.why else None

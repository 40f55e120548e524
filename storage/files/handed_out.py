"""Which files a slave that downloads may have: those of its open attempt, nothing else."""

from __future__ import annotations

from uuid import UUID

from storage.database.queries import load
from storage.database.repository import Repository

_SQL = load("handed_out")


class HandedOut(Repository):
    """Reads in the caller's transaction."""

    def size(self, attempt: UUID, sha256: str) -> int | None:
        """Return the bytes of a file that `attempt` needs; None: it may not have that, or has ended, or is overdue."""
        found = self._values(_SQL["size_for_attempt"], attempt=attempt, sha256=sha256)
        return int(found[0]) if found else None

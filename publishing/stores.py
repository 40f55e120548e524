"""The repositories that this room works on: over PostgreSQL, or their in-memory twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.archives import Archives
from storage.files.library import Library
from storage.making import Making
from storage.publications import Publications

if TYPE_CHECKING:
    from psycopg import Connection

    from storage.memory.archives import MemoryArchives
    from storage.memory.library import MemoryLibrary
    from storage.memory.making import MemoryMaking
    from storage.memory.publications import MemoryPublications


@dataclass(frozen=True, slots=True)
class Stores:
    """One farm's."""

    archives: Archives | MemoryArchives
    publications: Publications | MemoryPublications
    making: Making | MemoryMaking
    library: Library | MemoryLibrary


def stores_on(connection: Connection[Any]) -> Stores:
    """Return the repositories of a database; connection and transaction are the caller's."""
    return Stores(Archives(connection), Publications(connection), Making(connection), Library(connection))

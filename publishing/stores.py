"""The repositories that this room works on: over PostgreSQL, or their in-memory twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.archives import Archives
from storage.chroots import Chroots
from storage.files.library import Library
from storage.making import Making
from storage.publications import Publications
from storage.series import Series
from storage.sources import Sources

if TYPE_CHECKING:
    from psycopg import Connection

    from storage.memory.archives import MemoryArchives
    from storage.memory.chroots import MemoryChroots
    from storage.memory.library import MemoryLibrary
    from storage.memory.making import MemoryMaking
    from storage.memory.publications import MemoryPublications
    from storage.memory.series import MemorySeries
    from storage.memory.sources import MemorySources


@dataclass(frozen=True, slots=True)
class Stores:
    """One farm's."""

    series: Series | MemorySeries
    chroots: Chroots | MemoryChroots
    archives: Archives | MemoryArchives
    sources: Sources | MemorySources
    publications: Publications | MemoryPublications
    making: Making | MemoryMaking
    library: Library | MemoryLibrary


def stores_on(connection: Connection[Any]) -> Stores:
    """Return the repositories of a database; connection and transaction are the caller's."""
    return Stores(
        Series(connection),
        Chroots(connection),
        Archives(connection),
        Sources(connection),
        Publications(connection),
        Making(connection),
        Library(connection),
    )

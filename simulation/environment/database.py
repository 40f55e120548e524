"""The database of a simulated farm: the twin in memory, as `actors.queue.desk` expects one that listens.

A `Server` is what survives every actor; now and then it is away, or the answer to a commit is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from actors.queue.storage import Changes
from storage.errors import DatabaseUnreachable
from storage.memory.archives import MemoryArchives
from storage.memory.binary_packages import MemoryBinaryPackages
from storage.memory.build_queue import MemoryBuildQueue
from storage.memory.builders import MemoryBuilders
from storage.memory.builds import MemoryBuilds
from storage.memory.chroots import MemoryChroots
from storage.memory.database import MemoryFarm
from storage.memory.dependency_waits import MemoryDependencyWaits
from storage.memory.farm import MemoryFarmStates
from storage.memory.library import MemoryLibrary
from storage.memory.publications import MemoryPublications
from storage.memory.series import MemorySeries
from storage.memory.sources import MemorySources
from storage.memory.verdicts import MemoryVerdicts

QUEUE: Final = "queue"  #: who, in the event log
#: table → what of a row its notifications name
_NAMES: Final[dict[str, Callable[[Any], object]]] = {
    "buildqueue": lambda row: row.id,
    "build": lambda row: row.id,
    "builder": lambda row: row.name,
    "attempt": lambda row: row.id,
    "archive": lambda row: row.id,
    "publication": lambda row: row.source,
    "source_release": lambda row: row.id,
    "binary_package": lambda row: row.id,
}
_TOLD: Final = frozenset({*_NAMES, "chroot", "distroseries", "distroarchseries", "processor_family", "farm"})


class Hand:
    """Whether somebody is at work; enter it to be."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.at_work = False

    def __enter__(self) -> None:
        """Begin to work."""
        self.at_work = True

    def __exit__(self, *_error: object) -> None:
        """Be done."""
        self.at_work = False


class Server:
    """The database server: rows, repositories, and who listens.

    Attributes:
        lose_commits: so many commits of the queue actor are done, and their answers lost.
    """

    def __init__(self, rows: MemoryFarm, farm: str, notify: Callable[[], None]) -> None:
        """Serve `rows`.

        Args:
            rows: all tables.
            farm: its name for slaves.
            notify: called when somebody has changed something that another listens to; has `deliver` called soon.
        """
        self.rows = rows
        self.farm = farm
        self.queue = MemoryBuildQueue(rows)
        self.builders = MemoryBuilders(rows)
        self.farm_states = MemoryFarmStates(rows)
        self.verdicts = MemoryVerdicts(rows)
        self.packages = MemoryBinaryPackages(rows)
        self.waits = MemoryDependencyWaits(rows)
        self.builds = MemoryBuilds(rows)
        self.series, self.chroots = MemorySeries(rows), MemoryChroots(rows)
        self.archives, self.sources = MemoryArchives(rows), MemorySources(rows)
        self.publications = MemoryPublications(rows)
        self.library = MemoryLibrary(rows)
        self.by_queue = Hand()  #: the queue actor's: it is not notified of what it does itself
        self.lose_commits = 0
        self._away = 0
        self._notify = notify
        self._listeners: list[SimulatedDatabase] = []
        self._under_way: list[tuple[str, str, list[object] | None]] = []  # notifications: table, operation, whose
        rows.watchers.append(self._changed)

    @property
    def away(self) -> bool:
        """Whether nobody can connect."""
        return self._away > 0

    def go_away(self) -> None:
        """Break every connection, and take no more."""
        self._away += 1
        for listener in self._listeners:
            listener.broken = True

    def come_back(self) -> None:
        """Take connections again."""
        self._away -= 1

    def connect(self) -> SimulatedDatabase:
        """Return a connection that listens from now on."""
        if self.away:
            raise DatabaseUnreachable("the database does not answer: connection refused")
        listener = SimulatedDatabase(self)
        self._listeners.append(listener)
        return listener

    def closed(self, listener: SimulatedDatabase) -> None:
        """Forget a connection."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _changed(self, table: str, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of any table
        if self.by_queue.at_work or table not in _TOLD:  # its own changes are known to it
            return
        operation = "INSERT" if before is None else "DELETE" if after is None else "UPDATE"
        name = _NAMES.get(table)
        ids = None if name is None else [name(before if after is None else after)]
        self._under_way.append((table, operation, ids))
        self._notify()

    def deliver(self) -> None:
        """Let who listens hear of what was changed: until then a turn knows nothing of it."""
        for notification in self._under_way:
            for listener in self._listeners:
                listener.pending.note(*notification)
        self._under_way.clear()


class SimulatedDatabase:
    """What one queue actor has of the database."""

    def __init__(self, server: Server) -> None:
        """Listen."""
        self.pending = Changes()
        self.broken = False
        self.farm = server.farm
        self._server = server

    @property
    def queue(self) -> MemoryBuildQueue:
        """Jobs and attempts."""
        self._look()
        return self._server.queue

    @property
    def builders(self) -> MemoryBuilders:
        """Builders."""
        self._look()
        return self._server.builders

    @property
    def farm_states(self) -> MemoryFarmStates:
        """The farm as a whole."""
        self._look()
        return self._server.farm_states

    @property
    def verdicts(self) -> MemoryVerdicts:
        """Evidence, and what follows from verdicts."""
        self._look()
        return self._server.verdicts

    @property
    def packages(self) -> MemoryBinaryPackages:
        """Binary packages."""
        self._look()
        return self._server.packages

    @property
    def waits(self) -> MemoryDependencyWaits:
        """Builds that wait for dependencies."""
        self._look()
        return self._server.waits

    def heard(self) -> bool:
        """See `actors.queue.storage.ListeningStorage`."""
        self._look()
        return bool(self.pending)

    def changes(self) -> Changes:
        """See `actors.queue.storage.ListeningStorage`."""
        self._look()
        changes, self.pending = self.pending, Changes()
        return changes

    def transaction(self, why: str = "") -> AbstractContextManager[object]:
        """See `actors.queue.storage.QueueStorage`."""
        self._look()
        if self._server.lose_commits:
            return self._lost(why)
        return self._server.rows.acting(QUEUE, why)

    def wait_for_disk(self, *, wait: bool) -> None:
        """Nothing here is ever on a disk."""

    def close(self) -> None:
        """See `actors.queue.storage.ListeningStorage`."""
        self.broken = True
        self._server.closed(self)

    @contextmanager
    def _lost(self, why: str) -> Iterator[None]:
        self._server.lose_commits -= 1
        with self._server.rows.acting(QUEUE, why):
            yield
        self.broken = True
        raise DatabaseUnreachable("the database does not answer: the connection broke during COMMIT")

    def _look(self) -> None:
        if self.broken:
            raise DatabaseUnreachable("the database does not answer: the connection is broken")

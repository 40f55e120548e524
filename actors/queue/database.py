"""The queue actor's two connections to PostgreSQL (architecture §3).

One only LISTENs: a query on a listening connection swallows notifications, and its socket never becomes readable.  The
other works.  What is decided with the rows stands in `actors.core`; when, in `actors.queue.actor`.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from actors.queue.storage import Changes
from actors.system import signs
from storage.binary_packages import BinaryPackages
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.database.connection import acting, connect, farm_id
from storage.database.patience import PromptConnection
from storage.database.repository import in_words
from storage.dependency_waits import DependencyWaits
from storage.farm import FarmStates
from storage.verdicts import Verdicts

CHANNEL: Final = "farm"
WHO: Final = "queue"  #: who, in the event log
_MOST_READS: Final = 1000  #: buffers read before something else gets its turn


class _Connection(PromptConnection):
    """Gives a sign of life with each journey, none of which takes longer than five seconds: many of them are no hang."""

    def wait(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - psycopg's signature
        """Wait for the server."""
        signs.stamp()
        return super().wait(*args, **kwargs)


class QueueDatabase:
    """Both connections, and the repositories on the one that works.

    Attributes:
        queue, builders, farm_states, verdicts, packages, waits: on the working connection; outside `transaction` every
            statement is its own.
        farm: UUID of the farm.
    """

    def __init__(self, dsn: str) -> None:
        """Connect, and listen before anything is read: what is read later is never older than what was heard.

        Raises:
            DatabaseUnreachable: nothing is left open.
        """
        self._changes = Changes()
        self._listening = connect(dsn, application=f"{WHO} (listens)", kind=_Connection)
        try:
            with in_words():
                self._listening.execute(f"LISTEN {CHANNEL}")  # autocommit: in force when this returns
            self._working = connect(dsn, application=WHO, kind=_Connection)
            self._working.prepare_threshold = 0  # the same few statements all day, and the first job waits too
            with in_words():  # planning them anew each time costs more than they do
                self._working.execute("SET plan_cache_mode TO force_generic_plan")
        except BaseException:  # whatever it was: nobody else would close what is open
            self._listening.close()
            raise
        try:
            self._server = self._working.info.backend_pid
            self.farm = farm_id(self._working)
        except BaseException:  # as above
            self.close()
            raise
        self.queue = BuildQueue(self._working)
        self.farm_states = FarmStates(self._working)
        self.verdicts = Verdicts(self._working)
        self.builders = Builders(self._working)
        self.packages = BinaryPackages(self._working)
        self.waits = DependencyWaits(self._working)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when somebody notifies."""
        return self._listening.fileno()

    def heard(self) -> bool:
        """Take in what was notified, without waiting; return whether others changed anything.

        Our own changes wake us as well, and are known already.

        Raises:
            DatabaseUnreachable: the listening connection is broken.
        """
        for pid, payload in self._notifications():
            if pid != self._server:
                self._changes.add(payload)
        return bool(self._changes)

    def changes(self) -> Changes:
        """Return what others have changed since the last call; does not wait.

        Raises:
            DatabaseUnreachable: the listening connection is broken.
        """
        self.heard()
        changes, self._changes = self._changes, Changes()
        return changes

    def _notifications(self) -> Iterator[tuple[int, str]]:
        pgconn = self._listening.pgconn
        waiting = select.poll()  # `select.select` ends at descriptor 1024, and this actor has one for each builder
        waiting.register(pgconn.socket, select.POLLIN)
        for _ in range(_MOST_READS):
            with in_words():
                pgconn.consume_input()  # one buffer's worth
            while (notify := pgconn.notifies()) is not None:
                yield notify.be_pid, notify.extra.decode()
            if not waiting.poll(0):
                return

    def transaction(self, why: str = "") -> AbstractContextManager[object]:
        """Return a transaction whose changes are the queue actor's doing, because of `why`."""
        return acting(self._working, WHO, why)

    def wait_for_disk(self, *, wait: bool) -> None:
        """Say whether the commit of the present transaction waits until it is on disk; at first it does."""
        with in_words():
            self._working.execute(f"SET LOCAL synchronous_commit TO {'on' if wait else 'off'}")

    def close(self) -> None:
        """Close both connections; harmless twice."""
        self._listening.close()
        self._working.close()

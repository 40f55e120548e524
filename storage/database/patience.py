"""A connection that waits for its server no longer than it may, whatever the server does.

The server's own limit (`statement_timeout`) is no help where the server hangs: a stopped process, a disk that does not
answer, a machine that is gone behind a socket of its own.  Where connections are opened: `storage.database.connection`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

GRACE_SECONDS = 0.3  #: beyond a statement's own limit, so that a server that lives gets to say what was wrong


class PromptConnection(Connection[Any]):
    """Gives its server up, and itself, when no answer comes in time.

    Attributes:
        patience: seconds without a byte from the server while an answer is due; None: for ever.
    """

    patience: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - psycopg's signature
        """Run `gen` to its end.

        Raises:
            psycopg.OperationalError: no answer in time; the connection is closed, and what was under way may yet happen.
        """
        return super().wait(self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what `gen` wants to wait for and what came, while something does."""
        try:
            wanted = next(gen)
            since = time.monotonic()
            while True:
                ready = yield wanted  # nothing: the driver looks up now and again
                now = time.monotonic()
                if ready:
                    since = now
                elif self.patience is not None and now - since >= self.patience:
                    gen.close()
                    self.pgconn.finish()
                    message = f"no answer within {self.patience:g} seconds"
                    raise psycopg.OperationalError(message)
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


@contextmanager
def unhurried(conn: Connection[Any]) -> Iterator[None]:
    """Let statements of the block take as long as they take."""
    if not isinstance(conn, PromptConnection):
        yield
        return
    before, conn.patience = conn.patience, None
    try:
        yield
    finally:
        conn.patience = before

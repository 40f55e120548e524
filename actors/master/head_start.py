"""What a master begins before it has loaded itself: its state directory is its own, and its database starts meanwhile.

Loading the actors takes as long as starting PostgreSQL does; each would wait for the other.  Loads nothing that is slow
to load, so neither psycopg nor Thespian; `actors.wiring` goes on from here.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Self

from storage.database.embedded import Embedded
from storage.errors import StorageError

if TYPE_CHECKING:
    from actors.settings import Settings


class CannotStart(Exception):
    """The farm can't start: one line that says what is wrong, where, and what to do."""


class HeadStart:
    """A state directory that is this master's, and the embedded server in it, if the farm was given no other."""

    def __init__(self, settings: Settings) -> None:
        """Begin, and wait for nothing.

        Raises:
            CannotStart: nothing is held or runs.
        """
        self.server: Embedded | None = None
        with ExitStack() as begun:
            try:
                self._begin(settings, begun)
            except (StorageError, OSError) as error:
                raise CannotStart(" ".join(str(error).split())) from error
            self._begun = begun.pop_all()

    def _begin(self, settings: Settings, begun: ExitStack) -> None:
        settings.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _own(settings, begun)
        if settings.database:
            return
        if os.geteuid() == 0 and not settings.user:
            message = "PostgreSQL never runs as root: set `user` to a system user, or `database` to a DSN of your own"
            raise CannotStart(message)
        self.server = Embedded(settings.state_directory / "postgres", user=settings.user)
        begun.callback(self.server.stop)
        self.server.launch()

    def stop(self) -> None:
        """Stop the server, then let go of the directory; harmless twice."""
        self._begun.close()

    def __enter__(self) -> Self:
        """Hold both."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def _own(settings: Settings, begun: ExitStack) -> None:
    """Refuse a second master in one state directory (record locks are not inherited by children)."""
    lock: IO[bytes] = begun.enter_context((settings.state_directory / "lock").open("ab"))
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        message = f"another master runs in {settings.state_directory}: stop it, or set another state_directory"
        raise CannotStart(message) from error

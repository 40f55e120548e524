"""The actor system as its founder has it: two processes at its root, Thespian's admin and the supervisor.

Forks them, asks the supervisor, sees when one of them dies or hangs, and ends the whole session.  What is asked, and
what follows from an end, is `actors.wiring`'s.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from thespian.actors import ActorAddress, ActorSystem, ActorSystemException

from actors.core.supervision.hangs import EndHung, HangWatch, LimitChanged, Looked
from actors.master.head_start import CannotStart
from actors.system import signs
from actors.system.transport import adopt_orphans, raise_open_files, secure, write_key
from host.service import notify

SUPERVISOR: Final = "actors.supervision.supervisor.Supervisor"
DIED: Final = "a process at the root of the actors died"
_UP_SECONDS = 30.0  #: for the supervisor to answer, and again for every actor to run: since the last of them was born
_PATIENCE_USEC = int(2e6 * _UP_SECONDS)  #: of systemd, from each such moment, should its own have come to an end
_ROOT_SECONDS = 0.5  #: between two looks whether the roots live, while they are waited for
_LOG = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s thespian: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}


class RootLost(CannotStart):
    """A process at the root of the actors died while the farm was starting; the next start may go well."""


class Roots:
    """Admin and supervisor of one actor system, or of none yet."""

    def __init__(self, hung: float) -> None:
        """Begin with none.

        Args:
            hung: seconds without a sign of life after which a process hangs.
        """
        self._system: Any = None
        self._supervisor: ActorAddress | None = None
        self._session = 0
        self._alive: tuple[int, ...] = ()  #: pidfds of admin and supervisor
        self._page: signs.Page | None = None
        self._hangs = HangWatch(hung)
        self._hung = False  #: one of them: it is not asked to stop

    @property
    def forked(self) -> bool:
        """Return whether there is an actor system."""
        return self._system is not None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return what becomes readable when a root dies."""
        return self._alive

    @property
    def look_every(self) -> float:
        """Return after how many seconds to look for hangs again."""
        return self._hangs.every

    def fork(self, port: int, key_file: Path) -> None:
        """Fork the actor system; its admin listens on this port of loopback."""
        gc.freeze()  # all that is loaded stays shared between the actors' processes: no collector touches it again
        gc.enable()
        raise_open_files()
        adopt_orphans()
        secure(write_key(key_file))
        self._page = signs.lay_out(self._hangs.limit)
        self._system = ActorSystem("multiprocTCPBase", {"Admin Port": port}, logDefs=_LOG, transientUnique=True)
        self._supervisor = self._system.createActor(SUPERVISOR, globalName="supervisor")
        admin = self._page.pid(signs.ADMIN)
        self._session = os.getsid(admin)
        self.watch(admin)
        with suppress(ChildProcessError):
            os.waitpid(-self._session, os.WNOHANG)  # the process between us and the admin, which is done

    def watch(self, pid: int) -> None:
        """Look from now on whether this root dies: the admin first, then the supervisor."""
        self._alive = (*self._alive, os.pidfd_open(pid))

    def ask(self, message: object, answer: type[Any], failure: str) -> Any:  # noqa: ANN401 - an `answer`
        """Ask the supervisor, and wait as long as actors are being born.

        Raises:
            CannotStart: it does not answer; its first words are `failure`.
            RootLost: nor will it.
        """
        born, deadline = 0, time.monotonic() + _UP_SECONDS
        heard = self._system.ask(self._supervisor, message, _ROOT_SECONDS)
        while heard is None and time.monotonic() < deadline:
            if self._page is not None and (by_now := self._page.born_so_far()) > born:
                born, deadline = by_now, time.monotonic() + _UP_SECONDS  # a large farm on a busy machine takes longer
                # A first start has a time-out, one afresh has the watchdog: births satisfy both.
                notify(f"STATUS=starting: {born} processes", f"EXTEND_TIMEOUT_USEC={_PATIENCE_USEC}", "WATCHDOG=1")
            if select.select(self._alive, [], [], 0)[0]:
                text = f"{failure}: {DIED}"
                raise RootLost(text)
            heard = self._system.listen(_ROOT_SECONDS)
        if not isinstance(heard, answer):
            text = f"{failure} within {_UP_SECONDS:.0f} s ({type(heard).__name__}); see the log above"
            raise CannotStart(text)
        return heard

    def answers(self, message: object, answer: type[Any], seconds: float) -> bool:
        """Return whether the supervisor gives this answer to `message`; one that came late counts, too."""
        try:
            return isinstance(self._system.ask(self._supervisor, message, seconds), answer)
        except ActorSystemException:
            return False

    def hanging(self) -> tuple[EndHung, ...]:
        """Return which of them give no sign of life."""
        if self._page is None:
            return ()
        seen = (self._page.sign(signs.ADMIN, "Thespian's admin", 1), self._page.sign(signs.SUPERVISOR, "supervisor", 1))
        hung = self._hangs.handle(Looked(time.monotonic(), seen))
        self._hung = bool(hung)
        return hung

    def set_limit(self, hung: float) -> None:
        """Have all processes give signs of life as often as this limit wants."""
        if self._page is not None and hung != self._hangs.limit:
            self._page.set_limit(hung)
            self._hangs.handle(LimitChanged(time.monotonic(), hung))

    def stop(self, polite_seconds: float) -> None:
        """Ask the tree to end, and kill what is left of its session after so many seconds; see it gone, for good."""
        if self._system is None:
            return
        if len(self._alive) > 1 and not self._hung:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._alive[1], signal.SIGTERM)
            select.select([self._alive[1]], [], [], polite_seconds)
        if self._session:
            _end_session(self._session)
        for descriptor in self._alive:
            os.close(descriptor)
        self._system, self._supervisor, self._session, self._alive, self._page = None, None, 0, (), None


def _end_session(session: int) -> None:
    """Kill every process of an actor system, and see the last one gone (as orphans they are our children)."""
    while True:
        try:
            os.killpg(session, signal.SIGKILL)
        except ProcessLookupError:
            return
        with suppress(ChildProcessError):
            while os.waitpid(-session, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)

"""Composition root: one farm, from settings to running actors, and back to nothing.

`run_master` and the benchmarks use `Farm`.  Starts the embedded database when no other is set, holds the database's
lock, has the actor system forked, watches its two roots (`actors.master.roots`) and keeps what runs beside.  Decides
nothing about builders or jobs.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import secrets
import select
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from thespian.actors import ActorSystemException

from actors.addressed import Alive, Cast, FarmAwaited, FarmUp, Here, SettingsChanged, Start
from actors.farm_actor import set_log_level
from actors.master.head_start import CannotStart, HeadStart
from actors.master.roots import DIED, SUPERVISOR, RootLost, Roots
from actors.master.run_file import RunningFarm, write_run_file
from actors.master.web_server import WebServers
from actors.master.webhook import WebhookProcess
from actors.system.ports import free_port, port_refused
from storage.database.connection import MasterLock, acting, connect, shown
from storage.database.migration import migrate, pending_migrations
from storage.errors import AnotherMaster, StorageError
from storage.events.retention import Forgetting
from storage.files.credentials import make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.settings import Settings
    from storage.database.embedded import Embedded

_CERTIFICATES_SECONDS = 3600.0  #: between two looks at what expires
_CHECK_SECONDS = 5.0  #: between two looks at the database's server and lock
_ALIVE_SECONDS = 2.0  #: for the supervisor to answer in between: a signal to stop waits as long
_TAKEN_SECONDS = 5.0  #: for the supervisor to take other settings

log = logging.getLogger("buildd_master.actors.wiring")


class Halt(StrEnum):
    """Why `Farm.watch` returned."""

    ASKED = "asked"  #: the descriptor that it was given became readable
    ROOT_DIED = DIED
    ROOT_HUNG = "a process at the root of the actors hung"
    LOCK_LOST = "another master took the database"


class Farm:
    """A build farm's master, running in child processes of this one."""

    def __init__(self, settings: Settings, cast: Cast | None = None, begun: HeadStart | None = None) -> None:
        """Describe the farm; nothing more is started or made.

        Args:
            settings: how it shall be.
            cast: the actors' classes; None: the real ones.
            begun: with these settings; ends with the farm.
        """
        self.settings = settings
        self._begun = begun
        self.up: FarmUp | None = None
        self._cast = cast or Cast()
        self._open = ExitStack()
        self._lock: MasterLock | None = None
        self._embedded: Embedded | None = None
        self._roots = Roots(settings.timers.hung)
        self._check_due = 0.0  #: monotonic seconds
        self._dsn = ""
        self._web = WebServers()
        self._forgetting = Forgetting()
        self._webhook = WebhookProcess()
        self._certificates_due = 0.0  #: monotonic seconds

    def start(self) -> FarmUp:
        """Start everything and wait until every actor runs.

        Raises:
            CannotStart: whatever was started is stopped again.
            RootLost: the same, and nobody knows a reason why it should happen again.
        """
        try:
            self._start()
        except RootLost:
            self.stop()
            raise
        except (CannotStart, StorageError, OSError, ActorSystemException) as error:
            self.stop()
            raise CannotStart(" ".join(str(error).split())) from error
        except BaseException:  # ^C too: nothing that was started stays behind
            self.stop()
            raise
        assert self.up is not None  # noqa: S101 - `_start` sets it or raises
        return self.up

    def stop(self) -> None:
        """Stop everything and wait until its last process is gone; harmless twice."""
        with suppress(OSError):
            if self._roots.forked:
                self.settings.run_file.unlink(missing_ok=True)
        self._roots.stop(self.settings.stop_seconds)
        self._roots = Roots(self.settings.timers.hung)
        self._open.close()
        self.up = None

    def watch(self, wake: int, healthy: Callable[[bool], None] = lambda _: None, *, every: float = math.inf) -> Halt:
        """Wait until the descriptor `wake` is readable, or a process at the root is gone or hangs.

        Args:
            wake: the descriptor.
            healthy: called now and again with whether the farm is: its roots live, the supervisor answers, and the
                database did or is being waited for.  What is asked for here may be asked for without end.
            every: seconds between two such calls, at most.
        """
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        for root in self._roots.descriptors:
            poll.register(root, select.POLLIN)
        while True:
            wait = min(_CHECK_SECONDS, self._roots.look_every, every)
            ready = {descriptor for descriptor, _ in poll.poll(wait * 1000)}
            if wake in ready:
                return Halt.ASKED
            if ready:
                return Halt.ROOT_DIED
            if self._root_hangs():
                return Halt.ROOT_HUNG
            if time.monotonic() < self._check_due:
                continue
            self._check_due = time.monotonic() + min(_CHECK_SECONDS, every)
            self._keep_server()
            self._web.keep()
            self._keep_certificates()
            self._webhook.keep()
            self._forgetting.look(self._dsn, self.settings.keep_events_days, time.monotonic())
            self._bury_orphans()
            if not self._keep_lock():
                return Halt.LOCK_LOST
            if every < math.inf:
                healthy(self._roots.answers(Alive(), Alive, _ALIVE_SECONDS))

    def reload(self, settings: Settings) -> bool:
        """Give every actor these settings; return whether the supervisor has taken them."""
        self.settings = settings
        set_log_level(settings.log_level)
        self._webhook.take_up(settings, self._dsn)
        self._roots.set_limit(settings.timers.hung)
        return self._roots.answers(SettingsChanged(settings), Alive, _TAKEN_SECONDS)

    # --- the order of starting --------------------------------------------------------------------

    def _start(self) -> None:
        begun, self._begun = self._begun or HeadStart(self.settings), None
        self._embedded = self._open.enter_context(begun).server
        self._load_actors()
        self._make_directories()
        self._dsn = dsn = self._await_database()
        settings = self.settings.model_copy(update={"database": dsn})
        port = self._choose_port()
        with MasterLock(dsn):
            pass  # refused before anything is forked …
        self._roots.fork(port, self.settings.key_file)
        # … and held only now: a connection that the actors inherited would keep the lock when this process is killed.
        self._lock = MasterLock(dsn)
        self._lock.acquire()
        self._open.callback(self._lock.release)
        self._open.callback(self._web.stop)
        self._web.hand_out_files(self.settings, dsn)  # before there is anybody whose slave would ask for one
        here = self._roots.ask(
            Start("supervisor", "supervisor", 1, settings, self._cast), Here, "the supervisor did not start"
        )
        self._roots.watch(here.pid)
        self.up = self._roots.ask(FarmAwaited(), FarmUp, "the actors did not come up")
        if self.up.trouble:
            message = f"the queue actor crashes: {self.up.trouble}; see the log above"
            raise CannotStart(message)
        if self.settings.enroll_listen:
            self._open_authority()
            self._web.serve_enrolment(self.settings, dsn)
        self._open.callback(self._webhook.stop)
        self._webhook.take_up(self.settings, dsn)
        supervisor_port = here.address.addressDetails.sockname[1]
        farm = RunningFarm(os.getpid(), port, supervisor_port, shown(dsn), self._lock.farm())
        write_run_file(self.settings.run_file, farm)

    def _make_directories(self) -> None:
        settings = self.settings
        for directory in (settings.librarian_directory, settings.logs_directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            descriptor = os.open(settings.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(32) + "\n")
        if settings.files_listen:
            make_key(settings.state_directory)

    def _load_actors(self) -> None:
        """Load what actors consist of: once here, instead of once in every process, and while the database starts."""
        for name in (SUPERVISOR, self._cast.queue, self._cast.nursery, self._cast.builder):
            importlib.import_module(name.rpartition(".")[0])
        if self.settings.files_listen:
            importlib.import_module("actors.builder.launchpad_link")

    def _await_database(self) -> str:
        if self._embedded is not None:
            dsn = self._embedded.await_ready()
            migrate(dsn)
            return dsn
        pending = pending_migrations(self.settings.database)
        if pending:
            message = (
                f"the schema of the database {shown(self.settings.database)} is outdated"
                f" ({len(pending)} migrations missing): run `buildd-master db migrate`"
            )
            raise CannotStart(message)
        return self.settings.database

    def _choose_port(self) -> int:
        port = self.settings.admin_port
        why = port_refused(port) if port else ""
        if why:
            message = f"can't listen on port {port} of 127.0.0.1 ({why}): set another admin_port (0: any)"
            raise CannotStart(message)
        return port or free_port()

    def _open_authority(self) -> None:
        """Have an authority of the farm's own, for enrolment."""
        from storage.access.authority import FarmAuthority  # noqa: PLC0415 - loads a library that other farms never need

        with (
            connect(self._dsn, application="master") as connection,
            acting(connection, "master", "enroll_listen is set"),
        ):
            FarmAuthority(connection, self.settings.state_directory, datetime.now(UTC)).open()

    # --- while it runs ----------------------------------------------------------------------------

    def _root_hangs(self) -> bool:
        """Return whether the admin or the supervisor gives no sign of life."""
        hung = self._roots.hanging()
        for one in hung:
            log.error("%s %s", one.name, one.reason)
        return bool(hung)

    def _keep_server(self) -> None:
        """Start the embedded server again if it died (killed, or no room for its log); the actors wait for it."""
        if self._embedded is None or not self._embedded.ended:
            return
        try:
            self._embedded.start()
        except (StorageError, OSError) as error:
            log.error(  # noqa: TRY400 - its words tell; a traceback would tell of our own code only
                "the embedded database is down and does not start: %s", " ".join(str(error).split())
            )
        else:
            log.warning("the embedded database had ended and was started again")

    def _keep_certificates(self) -> None:
        """Once an hour, renew certificates and warn of those that end."""
        now = time.monotonic()
        if now < self._certificates_due or not (self.settings.state_directory / "ca").exists():
            return
        self._certificates_due = now + _CERTIFICATES_SECONDS
        from storage.access.authority import look_after  # noqa: PLC0415 - loads a library that other farms never need

        try:
            warnings = look_after(self._dsn, self.settings.state_directory, datetime.now(UTC))
        except StorageError as error:
            warnings = (f"the certificates can't be looked after: {error}",)
        for warning in warnings:
            log.warning("%s", warning)

    def _bury_orphans(self) -> None:
        """Take the exit status of adopted processes, as a killed database server leaves them."""
        own = {child.pid for child in (self._embedded, self._webhook, *self._web.running) if child is not None}
        with suppress(ChildProcessError):
            while (gone := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if gone.si_pid in own:
                    return  # no orphan: whoever keeps it will see that it ended
                os.waitpid(gone.si_pid, 0)

    def _keep_lock(self) -> bool:
        """Take the lock again after the database was away; False if somebody else was faster."""
        if self._lock is None or self._lock.held():
            return True
        self._lock.release()
        try:
            self._lock.acquire()
        except AnotherMaster:
            return False
        except StorageError:
            return True  # still away; the actors wait for it too
        return True

"""Start a build farm's master, say READY, keep it running, stop it on SIGTERM or SIGINT, reread settings on SIGHUP.

`python run_master.py [--settings FILE] [--state-directory DIR]`; `buildd-master up` calls `main` here.  As root it
becomes the unprivileged user of the settings first.  What the farm consists of is wired in `actors.wiring`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actors.core.supervision.intensity import Intensity
from actors.master.head_start import CannotStart, HeadStart
from actors.master.reload import reload
from actors.master.settings_file import BadSetting, load_settings
from actors.settings import Settings
from host.journal import log_to_journal_or_stderr
from host.service import Terminal, notify, notify_reloading, watchdog_seconds
from host.unprivileged import (
    CannotRunUnprivileged,
    become,
    ensure_user,
    give_directory,
    interpreter_paths,
    keep_bytecode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.wiring import Farm, Halt

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
_PR_SET_DUMPABLE = 4

log = logging.getLogger("buildd_master")


def main(read: Callable[[], Settings] | None = None) -> int:
    """Run a farm until told to stop; return the exit code.

    Args:
        read: gives the settings, now and at each SIGHUP; raises BadSetting.  None: those of our own command line.
    """
    # `Farm.start` freezes what is loaded, and turns this on again.
    gc.disable()
    try:
        read = read or _command_line()
        settings = read()
        _become_unprivileged(settings)
        begun = HeadStart(settings)
    except (BadSetting, CannotRunUnprivileged, CannotStart) as error:
        return _refuse(error)
    # Here, and not above: it takes as long as the database does to start.
    from actors.wiring import Farm  # noqa: PLC0415

    log_to_journal_or_stderr("buildd-master", logging.WARNING)
    log.setLevel(settings.log_level)
    try:
        return _run(Farm(settings, begun=begun), read)
    except CannotStart as error:
        return _refuse(error)


def _refuse(error: Exception) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"buildd-master: {line}\n")
    return 1


def _command_line() -> Callable[[], Settings]:
    parser = argparse.ArgumentParser(description="Run a build farm's master in the foreground.")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML file")
    parser.add_argument("--state-directory", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    return partial(load_settings, arguments.settings, state_directory=arguments.state_directory)


def _become_unprivileged(settings: Settings) -> None:
    """As root, become the settings' user, making it and the state directory if they are missing."""
    user = settings.user
    if os.geteuid() != 0 or not user:
        return
    if ensure_user(user):
        sys.stderr.write(f"buildd-master: made the system user {user}\n")
    try:
        give_directory(settings.state_directory, user)
    except OSError as error:
        where = settings.state_directory
        message = f"can't make the state directory {where}: {error.strerror}; set state_directory"
        raise CannotRunUnprivileged(message) from error
    parent, dies_with_parent = os.getppid(), _dies_with_parent()
    keep_bytecode()
    become(user, (*interpreter_paths(), settings.state_directory))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 1)  # nothing of root's is in here that its new owner may not look at
    if dies_with_parent:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            sys.exit(0)


def _dies_with_parent() -> bool:
    """Return whether who started us wants us to end with it; a change of user would make the kernel forget."""
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value != 0


def _run(farm: Farm, read: Callable[[], Settings]) -> int:
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    terminal = Terminal()
    signal.set_wakeup_fd(woken.fileno())
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()  # `nohup` keeps its word
    for number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} - ignored:
        signal.signal(number, lambda *_: None)
    try:
        return _keep_running(farm, _Signals(wake, terminal), read)
    finally:
        notify("STOPPING=1")
        farm.stop()


class _Signals:
    """The signals that came."""

    def __init__(self, wake: socket.socket, terminal: Terminal) -> None:
        """Take the socket into which each signal's number is written."""
        self._wake, self._terminal = wake, terminal

    def fileno(self) -> int:
        """Return the descriptor that is readable when one came."""
        return self._wake.fileno()

    def stop(self) -> bool:
        """Forget those that came; return whether one of them means to stop, and not to read the settings again."""
        came = set(self._wake.recv(4096))
        return bool(came & {signal.SIGTERM, signal.SIGINT}) or self._terminal.hung_up()


def _keep_running(farm: Farm, signals: _Signals, read: Callable[[], Settings]) -> int:
    from actors.wiring import Halt  # noqa: PLC0415 - loaded by now

    deaths = Intensity()
    while True:
        halt = _live(farm, signals, read)
        if halt is Halt.ASKED:
            return 0
        if halt is Halt.LOCK_LOST:
            log.error("%s: the farm is stopped", halt)
            return 1
        limit, window = farm.settings.fresh_starts, farm.settings.fresh_start_window_seconds
        if deaths.too_often(time.monotonic(), limit=limit, window=window):
            log.critical("%s, %d times in %g s: the master gives up", halt, len(deaths.times), window)
            notify(f"STATUS=gave up: {halt}")
            return 1
        log.error("%s: the farm is started afresh", halt)
        farm.stop()


def _live(farm: Farm, signals: _Signals, read: Callable[[], Settings]) -> Halt:
    """Start the farm and keep it running; return why it does no longer."""
    from actors.master.roots import RootLost  # noqa: PLC0415 - loaded by now
    from actors.wiring import Halt  # noqa: PLC0415 - the same

    try:
        up = farm.start()
    except RootLost as error:
        log.error("%s", error)  # noqa: TRY400 - its words tell
        return Halt.ROOT_DIED
    sys.stdout.write(f"READY {up.builders} builders, state in {farm.settings.state_directory}\n")
    sys.stdout.flush()
    notify("READY=1", f"STATUS={up.builders} builders")
    halt = _watch(farm, signals)
    while halt is Halt.ASKED and not signals.stop():
        _read_again(farm, read)
        halt = _watch(farm, signals)
    return halt


def _watch(farm: Farm, signals: _Signals) -> Halt:
    """Wait until something is to be done, and tell systemd's watchdog meanwhile that the farm is healthy."""
    seconds = watchdog_seconds()
    if seconds is None:
        return farm.watch(signals.fileno())
    ill = False

    def healthy(well: bool) -> None:  # noqa: FBT001 - called with one thing only
        nonlocal ill
        if well is ill:
            notify("STATUS=running" if well else "STATUS=the supervisor does not answer")
            log.warning("the supervisor %s", "answers again" if well else "does not answer")
            ill = not well
        if well:
            notify("WATCHDOG=1")

    return farm.watch(signals.fileno(), healthy, every=seconds / 3)


def _read_again(farm: Farm, read: Callable[[], Settings]) -> None:
    """Take up what changed in the settings, and say what can't change while the farm runs."""
    notify_reloading()
    try:
        found = reload(farm.settings, read())
    except BadSetting as error:
        log.error("SIGHUP: nothing changed: %s", "; ".join(str(error).splitlines()))  # noqa: TRY400 - it is the file's
    else:
        log.warning("SIGHUP: changed: %s", ", ".join(found.changed) or "nothing")
        if found.waiting:
            log.warning("%s changed: takes effect at the next start", ", ".join(found.waiting))
        if found.changed and not farm.reload(found.settings):
            log.error("the supervisor did not take the settings: the next start will")
    notify("READY=1")


if __name__ == "__main__":
    sys.exit(main())

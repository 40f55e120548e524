"""Start a build farm's master, say READY, keep it running, stop it on SIGTERM or SIGINT.

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
from pathlib import Path
from typing import TYPE_CHECKING

from actors.settings import BadSetting, Settings, load_settings
from storage.unprivileged import (
    CannotRunUnprivileged,
    become,
    ensure_user,
    give_directory,
    interpreter_paths,
)

if TYPE_CHECKING:
    from actors.wiring import Farm

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
_PR_SET_DUMPABLE = 4
_RESTART_SECONDS = 60.0  #: a farm that dies twice in this time is left dead: systemd, or a person, takes over


def main(settings: Settings | None = None) -> int:
    """Run a farm until told to stop; return the exit code."""
    # `Farm.start` freezes what is loaded, and turns this on again.
    gc.disable()
    try:
        settings = settings or _settings()
        # Here, and not above: a bad setting is told at once; and before the change of user, who may not keep bytecode.
        from actors.wiring import CannotStart, Farm  # noqa: PLC0415

        _become_unprivileged(settings)
    except (BadSetting, CannotRunUnprivileged) as error:
        return _refuse(error)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("buildd_master").setLevel(settings.log_level)
    try:
        return _run(Farm(settings))
    except CannotStart as error:
        return _refuse(error)


def _refuse(error: Exception) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"buildd-master: {line}\n")
    return 1


def _settings() -> Settings:
    parser = argparse.ArgumentParser(description="Run a build farm's master in the foreground.")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML file")
    parser.add_argument("--state-directory", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    return load_settings(arguments.settings, state_directory=arguments.state_directory)


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


def _run(farm: Farm) -> int:
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    signal.set_wakeup_fd(woken.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        return _keep_running(farm, wake)
    finally:
        _notify("STOPPING=1")
        farm.stop()


def _keep_running(farm: Farm, wake: socket.socket) -> int:
    from actors.wiring import Halt  # noqa: PLC0415 - loaded by now

    restarted = -_RESTART_SECONDS
    while True:
        up = farm.start()
        sys.stdout.write(f"READY {up.builders} builders, state in {farm.settings.state_directory}\n")
        sys.stdout.flush()
        _notify("READY=1")
        halt = farm.watch(wake.fileno())
        if halt is Halt.ASKED:
            return 0
        logging.getLogger("buildd_master").error("%s: the farm is stopped", halt)
        if halt is Halt.LOCK_LOST or time.monotonic() - restarted < _RESTART_SECONDS:
            return 1
        restarted = time.monotonic()
        farm.stop()


def _notify(state: str) -> None:
    """Tell systemd, if it started us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


if __name__ == "__main__":
    sys.exit(main())

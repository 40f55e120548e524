"""Processes that the harness started, and theirs: found through /proc, signalled through pidfds, never by name."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


class Victim:
    """One process; its number may be another's by the time it is signalled again, its descriptor never."""

    def __init__(self, pid: int) -> None:
        """Take hold of it.

        Raises:
            ProcessLookupError: it is gone.
        """
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return False if the process is gone."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        return True

    def release(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def stat_of(pid: int) -> tuple[int, str, str] | None:
    """Return parent, state and name of a process; None: it is gone."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    return int(fields[1]), fields[0], name.partition("(")[2]


def descendants(root: int) -> dict[int, str]:
    """Return number and command line of every living process below `root`."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        found = stat_of(int(place.name))
        if found is not None and found[1] != "Z":
            parents[int(place.name)] = found[0]
    family = {root}
    while grown := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
        family |= grown
    return {pid: command(pid) for pid in sorted(family - {root})}


def command(pid: int) -> str:
    """Return the command line of a process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def reap() -> None:
    """Take the exit status of every child that ended and that nobody else waits for."""
    with suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return

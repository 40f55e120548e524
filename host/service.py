"""What systemd is told by a service of ours, and what it wants to hear; nothing happens where it did not start us.

The protocol is `sd_notify(3)`: datagrams of `KEY=value` lines.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time


def notify(*lines: str) -> None:
    """Tell systemd, if it wants to be told; a socket that is gone is nobody's fault here."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            channel.send("\n".join(lines).encode())
        except OSError as error:
            sys.stderr.write(f"systemd can't be told {lines[0]}: {error.strerror}\n")


def notify_reloading() -> None:
    """Tell systemd that settings are being read again; `READY=1` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_seconds() -> float | None:
    """Return within which time systemd wants to hear `WATCHDOG=1` from this process again; None if it does not."""
    wanted, whom = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or int(wanted) == 0 or (whom and whom != str(os.getpid())):
        return None
    return int(wanted) / 1e6


class Terminal:
    """Tells a terminal that hung up from a `kill -HUP`: the first ends a program, the second has it read settings again."""

    def __init__(self) -> None:
        """Look, at the start, whether standard input is a terminal: of one that is gone it can't be asked."""
        self._there = os.isatty(0)

    def hung_up(self) -> bool:
        """Return whether the terminal that we were started from is gone."""
        if not self._there:
            return False
        poll = select.poll()
        poll.register(0, 0)  # a hang-up is always told
        return any(event & select.POLLHUP for _, event in poll.poll(0))

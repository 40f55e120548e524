"""TCP ports of loopback.  A room of its own: who only asks for one need not load Thespian, which looks this host's name up."""

from __future__ import annotations

import os
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """Return a TCP port that nobody listens on, on loopback."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_refused(port: int) -> str:
    """Return why this process can't listen on `port` of loopback, in the kernel's words; empty if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
    return ""

"""Sockets that nobody waits for without end: for the threads of `actors.builder.http_lane`."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any


class TimedSocket(socket.socket):
    """A socket whose every wait ends: with the whole call, or after some time without a byte."""

    until: float = float("inf")
    idle: float = float("inf")

    def limit(self) -> None:
        """Wait no longer, the next time, than is left."""
        left = min(self.until - time.monotonic(), self.idle)
        if left <= 0:
            raise TimeoutError
        self.settimeout(None if left == float("inf") else left)

    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - the signature is the library's
        """Receive, within the time that is left."""
        self.limit()
        return super().recv_into(*arguments, **named)

    def sendall(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """Send, within the time that is left."""
        self.limit()
        super().sendall(*arguments, **named)

    def cut(self) -> None:
        """Have whoever waits for it wait no longer."""
        with suppress(OSError):  # it is not connected yet, or no more
            self.shutdown(socket.SHUT_RDWR)

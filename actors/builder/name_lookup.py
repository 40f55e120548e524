"""The addresses of a host, without waiting for them: a name server may take longer than an actor may be silent.

An address is its own answer, at once.  A name is looked up in a thread, and the descriptor becomes readable when that
is done.
"""

from __future__ import annotations

import ipaddress
import socket
from threading import Thread
from typing import Any

Found = tuple[int, Any]  #: family, and what `connect` takes


class Lookup:
    """One question."""

    def __init__(self, host: str, port: int) -> None:
        """Ask."""
        self._answer: tuple[Found, ...] | str | None = None
        self._ours, self._threads = socket.socketpair()
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            Thread(target=self._ask, args=(host, port), daemon=True, name=f"looks up {host}").start()
        else:
            self._answer = ((socket.AF_INET6 if version == 6 else socket.AF_INET, (host, port)),)  # noqa: PLR2004 - IPv6
            self._threads.close()

    def fileno(self) -> int:
        """Return what becomes readable when there is an answer."""
        return self._ours.fileno()

    def found(self) -> tuple[Found, ...] | str | None:
        """Return the addresses, at least one; or in words why there are none; None: there is no answer yet."""
        return self._answer

    def close(self) -> None:
        """Ask no more; a thread that still waits ends by itself."""
        self._ours.close()

    def _ask(self, host: str, port: int) -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._answer = tuple((family, address) for family, _, _, _, address in told)
        except (OSError, UnicodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "no host name"
            self._answer = f"the name {host} can't be looked up: {words}"
        self._threads.close()  # the other end becomes readable

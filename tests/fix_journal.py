"""Sockets in the place of systemd's: the journal's, and the one that services notify."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.waiting import wait_until


class FakeJournal:
    """The journal's socket, and what arrives at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(15)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def entry(self) -> dict[str, str]:
        """Wait for the next entry and return its fields."""
        data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 20, 1)
        for descriptor in descriptors:  # too large for a datagram
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                data = file.read()
        return _fields(data)

    def wait_entry(self, words: str) -> dict[str, str]:
        """Wait for an entry whose message has these words."""
        while words not in (entry := self.entry())["MESSAGE"]:
            pass
        return entry


def _fields(data: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


class NotifySocket:
    """What a service of systemd's tells it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(15)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def next(self) -> list[str]:
        """Wait for the next telling and return its lines."""
        return self._socket.recv(4096).decode().splitlines()

    def ready(self) -> list[str]:
        """Wait for what is told after a start; it was told before how far the start is, if that took long."""
        told = self.next()
        while told[0].startswith("STATUS=starting: ") and told[1].startswith("EXTEND_TIMEOUT_USEC="):
            told = self.next()
        return told

    def wait_key(self, key: str) -> None:
        """Wait until something is told of `key`; what comes before is dropped."""
        self._wait(lambda lines: any(line.startswith(f"{key}=") for line in lines), key)

    def wait_line(self, line: str) -> None:
        """Wait until a line is told; what comes before is dropped."""
        self._wait(lambda lines: line in lines, line)

    def _wait(self, told: Callable[[list[str]], bool], what: str) -> None:
        wait_until(lambda: told(self.next()), f"{what} was told", meanwhile=lambda: None)

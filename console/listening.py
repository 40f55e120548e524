"""The console's end of taps: a TCP port of loopback where tapped actors say what they do (`actors.console.tap`).

Listens in a thread of its own, so that actors are drained whatever the person does; what was heard goes to a sink.
Who does not begin with the secret is not one of ours and is not listened to.
"""

from __future__ import annotations

import hmac
import json
import secrets
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.console.tap import SHAPE
from actors.system.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

Copy = dict[str, Any]  #: one line of a tap: `actors.console.tap` says what is in it
_READ: Final = 256 * 1024  #: bytes at once
NO_WORD: Final = "its process is gone"  #: why a tap ended whose actor has not said why
_LONGEST_GREETING: Final = 1000  #: bytes


@dataclass(slots=True)
class _Peer:
    """One actor that is connected."""

    socket: socket.socket
    unread: bytearray
    known: bool = False
    who: tuple[str, int] | None = None  #: name and generation, while it has not said its last


class Listener:
    """Hears actors that are tapped."""

    def __init__(self, sink: Callable[[Copy], None]) -> None:
        """Listen, and hand each line to `sink`, in the listening thread."""
        self._sink = sink
        self.secret = secrets.token_hex(16)
        self._door = socket.create_server((LOOPBACK, 0), backlog=1024)
        self.port: int = self._door.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._changed = threading.Condition()
        self.ended: set[tuple[str, int]] = set()  #: actors that have said their last
        self.begun: set[tuple[str, int]] = set()  #: actors that have said anything
        self._thread = threading.Thread(target=self._listen, name="taps", daemon=True)
        self._thread.start()

    def wait(self, fact: Callable[[], bool], seconds: float) -> bool:
        """Wait until `fact` is true, looking again after each line; return whether it is."""
        with self._changed:
            return self._changed.wait_for(fact, seconds)

    def close(self) -> None:
        """Listen no more."""
        self._wake.close()
        self._thread.join()
        self._door.close()
        self._woken.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self._door, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        for one in [one for one in selector.get_map().values() if one.data is not None]:
                            one.data.socket.close()
                        return
                    if key.data is None:
                        peer = _Peer(self._door.accept()[0], bytearray())
                        selector.register(peer.socket, selectors.EVENT_READ, peer)
                    elif not self._hear(key.data):
                        selector.unregister(key.data.socket)
                        key.data.socket.close()
                        self._over(key.data)

    def _hear(self, peer: _Peer) -> bool:
        """Take in what one actor says; return False when it is over."""
        try:
            octets = peer.socket.recv(_READ)
        except OSError:
            return False
        peer.unread += octets
        *lines, rest = peer.unread.split(b"\n")
        peer.unread = rest
        for line in lines:
            if not self._take(peer, bytes(line)):
                return False
        return bool(octets) and (peer.known or len(rest) <= _LONGEST_GREETING)

    def _take(self, peer: _Peer, line: bytes) -> bool:
        try:
            copy = json.loads(line)
        except ValueError:
            return False
        if not isinstance(copy, dict):
            return False
        if not peer.known:
            peer.known = hmac.compare_digest(str(copy.get("secret")), self.secret) and copy.get("shape") == SHAPE
            return peer.known
        who = (str(copy.get("actor")), int(copy.get("generation") or 0))
        peer.who = None if copy.get("kind") == "ended" else who
        self._heard(copy, who)
        return True

    def _over(self, peer: _Peer) -> None:
        """Who ends without a word was killed, or hung until it was."""
        if peer.who is not None:
            name, generation = peer.who
            told = {"kind": "ended", "actor": name, "generation": generation, "at": time.monotonic(), "why": NO_WORD}
            self._heard(told, peer.who)

    def _heard(self, copy: Copy, who: tuple[str, int]) -> None:
        self._sink(copy)
        with self._changed:
            self.begun.add(who)
            if copy.get("kind") == "ended":
                self.ended.add(who)
            self._changed.notify_all()

"""The sockets of a simulated launchpad-buildd: XML-RPC and files over HTTP."""

from __future__ import annotations

import re
import sys
import time
import xmlrpc.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from simulation.slaves.launchpad.hazards import Hazards

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


class Refusal(Exception):
    """A call that it refuses: fault 8002 with string `error`, whatever the reason."""


class Slave(Protocol):
    """For whom it listens."""

    hazards: Hazards

    def call(self, method: str, arguments: tuple[Any, ...]) -> object:
        """Obey one call; raise `Refusal`."""

    def content(self, path: str) -> bytes | None:
        """Return the file at `path`; None: there is none."""


class Server(ThreadingHTTPServer):
    """Listens for one slave; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, slave: Slave) -> None:
        """Listen on a port of loopback; 0: any that is free."""
        self.slave = slave
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of masters that went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        """Answer a call."""
        slave = self.server.slave
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arguments, method = xmlrpc.client.loads(body, use_builtin_types=True)
        try:
            value: Any = slave.call(str(method), arguments)
            answer = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)
        except Refusal:
            answer = xmlrpc.client.dumps(xmlrpc.client.Fault(8002, "error"))
        said = slave.hazards.say.get(str(method), bytes)(answer.encode())
        while str(method) in slave.hazards.hold:
            time.sleep(0.01)
        self._pause()
        self._answer(200, said, {"Content-Type": "text/xml"})

    def do_GET(self) -> None:
        """Hand out a file."""
        slave = self.server.slave
        content = slave.content(self.path) if self.path.startswith("/filecache/") else None
        if content is not None and slave.hazards.serve is not None:
            content = slave.hazards.serve(self.path, content)
        self._pause()
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if content is None:
            self._answer(405 if self.path == "/rpc" else 404, b"")
        elif asked is None or not slave.hazards.ranges:
            self._answer(200, content)
        elif int(asked[1]) >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        else:
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            place = f"bytes {first}-{last}/{len(content)}"
            self._answer(206, content[first : last + 1], {"Content-Range": place})

    def _pause(self) -> None:
        while self.server.slave.hazards.pause.is_set():
            time.sleep(0.01)

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

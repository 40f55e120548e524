"""A webhook's receiver on loopback: a real small HTTP server that answers as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver:
    """What was posted, and what is answered.

    Attributes:
        documents: that were posted, in order, whatever was answered.
        answers: statuses, one for each post; then 200.
        headers: of the last post.
        paths: of all requests.
    """

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.hung = threading.Event()  #: set: nobody hangs any more
        self.hung.set()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/farm"

    def up(self) -> None:
        """Listen; again where it listened before."""
        receiver = self

        class _Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.paths.append(self.path)
                receiver.headers = dict(self.headers)
                receiver.documents.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.hung.wait(20)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - as http.server wants it

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self.hung.set()
        self._server.shutdown()
        self._server.server_close()

    def words(self) -> list[str]:
        return [one["words"] for one in self.documents]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.down()

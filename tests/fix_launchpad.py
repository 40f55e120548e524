"""Simulated launchpad-buildd slaves, and a place that hands out files to them, for tests of a builder's shell."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from actors.core.timers import Timers
from actors.messages import Assign, Finished, Ready
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.launchpad.hazards import Hazards
from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Script
from storage.files.credentials import FILES_HEADER, fits, make_key, read_key
from storage.files.librarian import Librarian, NoSuchContent
from storage.records import BuildOrder
from tests.fix_builder_shell import BuilderStage, StagedBuilder

#: short waits, so that tests are quick; each is of the kind that some test waits for
QUICK = {"poll_building": 0.02, "poll_idle": 0.1, "first_retry": 0.05}


class HandedOut:
    """Hands out a librarian's files to whoever shows an attempt's password; in place of `web.files` and its database."""

    def __init__(self, state_directory: Path, librarian: Librarian) -> None:
        make_key(state_directory)
        self.key, self.librarian = read_key(state_directory), librarian
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Be gone; harmless twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(10)

    def content(self, path: str, authorization: str) -> bytes | None:
        self.asked.append(path)
        user, _, word = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        attempt, _, sha256 = path.strip("/").partition("/")
        if user != attempt or not user or not fits(self.key, UUID(user), word):
            return None
        try:
            return self.librarian.path(sha256).read_bytes()
        except NoSuchContent:
            return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        here = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                content = here.content(self.path, self.headers.get("Authorization", ""))
                self.send_response(401 if content is None else 200)
                self.send_header(FILES_HEADER, "files")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content or b"")

        return Handler


class LaunchpadStage(BuilderStage):
    """Everything a builder's shell needs to drive launchpad-buildd slaves, but an actor system and a database."""

    def __init__(self, directory: Path, slaves: SlaveHost) -> None:
        super().__init__(directory, slaves)
        self.files = HandedOut(directory, self.librarian)
        self.settings = self.settings.model_copy(update={"files_listen": self.files.listen})
        self.launchpad: list[LaunchpadSlave] = []
        self.use()

    def use(self, **timers: float) -> None:
        super().use(**{**QUICK, **timers})
        self.settings = self.settings.model_copy(update={"timers": Timers(**{**QUICK, **timers})})

    def slave(self, script: Script | None = None, hazards: Hazards | None = None) -> LaunchpadSlave:
        """Return a slave that listens."""
        slave = LaunchpadSlave("bob", script, hazards=hazards)
        slave.start()
        self.launchpad.append(slave)
        return slave

    def ready(self, slave: LaunchpadSlave, **row: Any) -> StagedBuilder:
        """Return a builder's actor whose slave is IDLE."""
        builder = self.builder(slave.url, **row)
        builder.wait_told(Ready)
        return builder

    def built(self, slave: LaunchpadSlave, **fields: Any) -> tuple[StagedBuilder, BuildOrder, Finished]:
        """Have one build done; return how it was reported."""
        builder, order = self.ready(slave), self.order(**fields)
        builder.hear(Assign("bob", 1, order))
        return builder, order, builder.wait_told(Finished)

    def close(self) -> None:
        for builder in self.builders:
            builder.ended()
            builder._link.release()
        for slave in self.launchpad:
            slave.stop()
        self.files.close()


@pytest.fixture
def launchpad_stage(tmp_path: Path, slave_host: SlaveHost) -> Iterator[LaunchpadStage]:
    """A stage without slaves."""
    stage = LaunchpadStage(tmp_path / "state", slave_host)
    yield stage
    stage.close()

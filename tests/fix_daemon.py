"""The slave daemon in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from protocol.messages import Welcome
from slave.core.machine import Traits
from slave.core.record import Record
from slave.daemon import Daemon
from slave.disk.state_directory import StateDirectory
from slave.joining.credentials import Credentials
from slave.session import Timing
from tests.fix_slaves import MasterClient
from tests.waiting import PATIENCE

TOKEN = "a-token-of-tests"
ATTEMPT = "a0000000-0000-4000-8000-000000000000"


class DaemonThread:
    """A daemon in a thread of its own."""

    def __init__(self, directory: Path, timing: Timing, record: Record | None = None, log: bytes = b"") -> None:
        """Start it; it speaks TLS if it finds that it is enrolled."""
        state = StateDirectory(directory)
        if record is not None:
            state.save(record)
            (state.build(ATTEMPT) / "results").mkdir(parents=True)
            state.log(ATTEMPT).write_bytes(log)
        self.state = state
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

        async def make() -> tuple[Daemon, int]:
            found = Credentials(directory)
            credentials = found if found.enrolled else None
            traits = Traits("tester", ("amd64",), "host")
            daemon = Daemon(traits, state, TOKEN, credentials=credentials, timing=timing)
            return daemon, await daemon.start("127.0.0.1", 0)

        self.daemon, self.port = asyncio.run_coroutine_threadsafe(make(), self.loop).result(PATIENCE)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.daemon.stop(), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()
        self.state.close()

    def master(self, epoch: int) -> MasterClient:
        master = MasterClient(self.port)
        assert isinstance(master.hello(TOKEN, epoch=epoch), Welcome)
        return master

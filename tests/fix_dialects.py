"""A simulated slave of either dialect, as tests of the whole farm look at it: what it was asked for, in the farm's words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest

from actors.system.ports import free_port
from protocol.messages import Abort, Build, Clean, Hello, PutChunk
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.buildd.slave import SimulatedSlave
from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Script


class WatchedSlave(ABC):
    """One slave."""

    settings: dict[str, Any]  #: of a farm that drives it

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL to register."""

    @abstractmethod
    def sessions(self) -> int:
        """Return how often a session was begun."""

    @abstractmethod
    def asked(self) -> list[tuple[str, str]]:
        """Return what was asked for, in order: `file` and a hash, `build` and an attempt, `abort`, `clean`."""

    @abstractmethod
    def go_away(self) -> None:
        """Listen no more; the build goes on."""

    @abstractmethod
    def come_back(self) -> None:
        """Listen again."""

    @abstractmethod
    def finish(self) -> None:
        """Let a build that hangs come to its end."""

    @abstractmethod
    def hash_of(self, content: Any) -> str:
        """Return what this slave calls a file by."""

    def builds(self) -> list[str]:
        """Return the attempts that it was asked to build."""
        return [what for kind, what in self.asked() if kind == "build"]


class OurSlave(WatchedSlave):
    """A slave of our own protocol."""

    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __init__(self, host: SlaveHost, slave: SimulatedSlave) -> None:
        self.host, self.slave = host, slave

    @property
    def url(self) -> str:
        return self.slave.url

    def sessions(self) -> int:
        return sum(isinstance(passed.message, Hello) for passed in tuple(self.slave.heard))

    def asked(self) -> list[tuple[str, str]]:
        found = []
        for passed in tuple(self.slave.heard):
            match passed.message:
                case PutChunk(sha256):
                    found.append(("file", sha256))
                case Build(attempt=attempt):
                    found.append(("build", attempt))
                case Abort():
                    found.append(("abort", ""))
                case Clean():
                    found.append(("clean", ""))
        return found

    def go_away(self) -> None:
        self.host.run(self.slave.go_away())

    def come_back(self) -> None:
        self.host.run(self.slave.start())

    def finish(self) -> None:
        self.host.call(self.slave.finish)

    def hash_of(self, content: Any) -> str:
        return str(content.sha256)


class TheirSlave(WatchedSlave):
    """A launchpad-buildd slave."""

    def __init__(self, slave: LaunchpadSlave) -> None:
        self.slave = slave
        self.settings = {"files_listen": f"127.0.0.1:{free_port()}"}

    @property
    def url(self) -> str:
        return self.slave.url

    def sessions(self) -> int:
        return len(self.slave.calls("info"))

    def asked(self) -> list[tuple[str, str]]:
        found, fetched = [], set[str]()
        for call in tuple(self.slave.heard):
            match call.method:
                case "ensurepresent" if call.arguments[0] not in fetched:
                    fetched.add(call.arguments[0])
                    found.append(("file", str(call.arguments[0])))
                case "build":
                    found.append(("build", str(call.arguments[0])[:36]))
                case "abort" | "clean":
                    found.append((call.method, ""))
        return found

    def go_away(self) -> None:
        self.slave.go_away()

    def come_back(self) -> None:
        self.slave.start()

    def finish(self) -> None:
        self.slave.finish()

    def hash_of(self, content: Any) -> str:
        return str(content.sha1)


class Slaves:
    """Makes slaves of one dialect."""

    def __init__(self, dialect: str, host: SlaveHost) -> None:
        self.dialect, self.host = dialect, host
        self._theirs: list[LaunchpadSlave] = []

    def add(self, name: str, script: Script) -> WatchedSlave:
        """Return a slave that listens."""
        if self.dialect == "buildd":
            return OurSlave(self.host, self.host.add(name, script))
        slave = LaunchpadSlave(name, script)
        slave.start()
        self._theirs.append(slave)
        return TheirSlave(slave)

    def close(self) -> None:
        for slave in self._theirs:
            slave.stop()


@pytest.fixture(params=["buildd", pytest.param("launchpad-buildd", marks=pytest.mark.slow)])
def slaves_of_either_dialect(request: pytest.FixtureRequest, slave_host: SlaveHost) -> Iterator[Slaves]:
    """What makes slaves of one dialect, then of the other."""
    slaves = Slaves(request.param, slave_host)
    yield slaves
    slaves.close()

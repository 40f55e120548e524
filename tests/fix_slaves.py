"""Slaves for tests, simulated and real, and a plain synchronous master to talk to them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import pytest

from protocol.connection import Connection, NeedData, PeerClosed, Role
from protocol.messages import (
    Abort,
    Accepted,
    Build,
    ChunkAck,
    Clean,
    EnsurePresent,
    Fetch,
    FetchData,
    Heartbeat,
    Hello,
    Log,
    Message,
    Present,
    PushFailed,
    PutChunk,
    Query,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from protocol.transfer import Incoming, Push
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from tests.fix_sources import FOREVER, SourcePackage, make_source
from tests.waiting import PATIENCE

FARM = "6f0d7c1e-6a0c-4d6e-9a52-5c9f5b7c0001"
CHECKOUT = Path(__file__).parent.parent

M = TypeVar("M")

epochs = itertools.count(1)


class Gone(Exception):
    """The slave has closed the connection."""


class MasterClient:
    """One connection to a slave, as a master without any actors makes it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.connection = Connection(Role.MASTER)
        self.log = b""
        self.statuses: list[Status] = []
        self._ids = itertools.count(1)
        self._kept: list[Message] = []  # heard while something else was waited for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def next_id(self) -> int:
        return next(self._ids)

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.socket.sendall(self.connection.send(message))

    def say_bytes(self, junk: bytes) -> None:
        self.socket.sendall(junk)

    def hear(self) -> Message:
        """Return the next message but heartbeats; logs and statuses are noted on the way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            event = self.connection.next_event()
            if isinstance(event, NeedData):
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    self.connection.receive_data(self.socket.recv(65536))
                except ConnectionResetError:
                    raise Gone from None
            elif isinstance(event, PeerClosed):
                raise Gone
            elif not isinstance(event, Heartbeat):
                self._note(event)
                return event

    def _note(self, message: Message) -> None:
        if isinstance(message, Log):
            assert message.offset == len(self.log), "the log has a gap, or comes twice"
            self.log += message.data
        elif isinstance(message, Status):
            self.statuses.append(message)

    def wait_for(self, kind: type[M], which: Callable[[M], bool] = lambda _: True) -> M:
        """Return the next message of that kind, and keep what comes before it."""
        for message in self._kept:
            if isinstance(message, kind) and which(message):
                self._kept.remove(message)
                return message
        while True:
            message = self.hear()
            if isinstance(message, kind) and which(message):
                return message
            self._kept.append(message)

    def wait_gone(self) -> None:
        """Wait until the slave has closed."""
        with contextlib.suppress(Gone):
            while True:
                self.hear()

    def hello(self, token: str | None, *, epoch: int | None = None, farm: str = FARM, versions: Any = (1,)) -> Message:
        """Greet; return what the slave says to that."""
        self.say(Hello(versions, farm, next(epochs) if epoch is None else epoch, token))
        return self.hear()

    def ask(self, kind: type[Any], *fields: Any) -> Message:
        """Make a request and return its answer."""
        number = self.next_id
        self.say(kind(number, *fields))
        return self.wait_for(object, lambda message: getattr(message, "id", None) == number)  # type: ignore[return-value]

    def status(self) -> Status:
        """Ask for the state."""
        known = len(self.statuses)
        self.say(Query(self.next_id))
        while len(self.statuses) == known:
            self._kept.append(self.hear())
        return self.statuses[-1]

    def wait_state(self, state: SlaveState) -> Status:
        """Return the first status, known or yet to come, that is the last known and has this state."""
        while not self.statuses or self.statuses[-1].state is not state:
            self._kept.append(self.hear())
        return self.statuses[-1]

    def ensure_present(self, content: bytes) -> Present:
        present = self.ask(EnsurePresent, hashlib.sha256(content).hexdigest(), len(content))
        assert isinstance(present, Present), present
        return present

    def push(self, content: bytes, *, chunks: int | None = None, sha256: str | None = None) -> ChunkAck | PushFailed:
        """Push a file, or its next few chunks; return the last thing the slave said to it."""
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
        present = self.ask(EnsurePresent, sha256, len(content))
        assert isinstance(present, Present), present
        if present.have:
            return ChunkAck(sha256, len(content))
        push, sent, end = Push(sha256, len(content), present.offset), 0, -1
        answer = ChunkAck(sha256, present.offset)
        while not push.done and (chunks is None or sent < chunks or answer.offset != end):
            span = push.take() if chunks is None or sent < chunks else None
            if span is not None:
                sent, end = sent + 1, span.offset + span.length
                self.say(PutChunk(sha256, span.offset, content[span.offset : end]))
                continue
            said = self.wait_for(object, lambda m: isinstance(m, (ChunkAck, PushFailed)) and m.sha256 == sha256)
            if isinstance(said, PushFailed):
                return said
            assert isinstance(said, ChunkAck)
            answer = said
            push.acked(answer.offset)
        return answer

    def fetch(self, attempt: str, name: str, size: int, *, offset: int = 0, most: int | None = None) -> bytes:
        """Fetch a result from `offset` on; stop after `most` bytes."""
        number, incoming, content = self.next_id, Incoming(size, offset), b""
        self.say(Fetch(number, attempt, name, offset))
        while True:
            piece = self.wait_for(object, lambda message: getattr(message, "id", None) == number)
            assert isinstance(piece, FetchData), piece
            incoming.accept(piece.offset, piece.data, last=piece.last)
            content += piece.data
            if piece.last or (most is not None and len(content) >= most):
                return content


def new_attempt() -> str:
    return str(uuid4())


@pytest.fixture
def slave_host() -> Iterator[SlaveHost]:
    """A thread to put simulated slaves into."""
    with SlaveHost() as host:
        yield host


# -- slaves under the contract -----------------------------------------------------------------------------------------
ARCHITECTURE = "amd64"


@dataclass
class SlaveUnderContract:
    """A slave, whichever kind, and what it takes to have it build."""

    kind: str  #: `simulated` or `real`
    port: int
    token: str
    chroot: bytes | None  #: content of a tarball to push; None for the backend `host`
    sources: dict[str, SourcePackage]  #: `quick` ends well, `slow` never ends, `broken` fails in the build
    restart: Callable[[], None]  #: killed with -9 and started again, on the same port and state

    def connect(self) -> MasterClient:
        """Return a connection that nobody has spoken on."""
        return MasterClient(self.port)

    def master(self) -> MasterClient:
        """Return a master with an open session."""
        master = self.connect()
        welcome = master.hello(self.token)
        assert isinstance(welcome, Welcome), welcome
        master.statuses.append(welcome.status)
        return master

    def order(self, source: str, **args: Any) -> tuple[str, str, str, dict[str, str], dict[str, Any]]:
        """Return the fields of a `Build` after its id; `args` over those that fit, None to leave one out."""
        package = self.sources[source]
        fitting = {
            "dsc": package.dsc.name,
            "architecture": ARCHITECTURE,
            "arch_indep": True,
            "suite": "unstable",
            "trusted": True,
            "wall_seconds": 600,
        }
        given = {name: value for name, value in (fitting | args).items() if value is not None}
        chroot = "" if self.chroot is None else hashlib.sha256(self.chroot).hexdigest()
        return new_attempt(), "binarypackage", chroot, package.hashes, given

    def push_all(self, master: MasterClient, source: str) -> None:
        """Push all that a build of `source` needs."""
        if self.chroot is not None:
            master.push(self.chroot)
        for path in self.sources[source].files.values():
            master.push(path.read_bytes())

    def announced(self, content: bytes) -> str:
        """Return the hash by which this slave announces a result of that content."""
        return hashlib.sha256(content).hexdigest()

    def start(self, master: MasterClient, source: str) -> str:
        """Have a build of `source` begin; return its attempt."""
        self.push_all(master, source)
        attempt, *rest = self.order(source)
        answer = master.ask(Build, attempt, *rest)
        assert isinstance(answer, Accepted), answer
        return attempt

    def be_idle(self) -> None:
        """Have whatever is there aborted and cleaned."""
        with self.master() as master:
            status = master.status()
            if status.state is SlaveState.BUILDING:
                master.ask(Abort, status.attempt)
            if status.state is not SlaveState.IDLE:
                master.wait_state(SlaveState.WAITING)
                assert isinstance(master.ask(Clean, status.attempt), Accepted)
                master.wait_state(SlaveState.IDLE)


@pytest.fixture(scope="session")
def contract_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourcePackage]:
    """Source packages for the contract: how they go is in their name."""
    directory = tmp_path_factory.mktemp("contract-sources")
    builds = {
        "quick": "true",
        "slow": f"echo sleeping ; {FOREVER}",
        "broken": "echo this package fails ; exit 3",
    }
    return {name: make_source(directory / name, name, build=build) for name, build in builds.items()}


def _simulated(host: SlaveHost, sources: dict[str, SourcePackage]) -> SlaveUnderContract:
    by_dsc = {
        sources["slow"].dsc.name: Conduct(hangs=True),
        sources["broken"].dsc.name: Conduct(outcome=WireOutcome.PACKAGEFAIL, log=b"this package fails\n" * 100),
        sources["quick"].dsc.name: Conduct(log=b"a line of the log\n" * 1000),
    }
    slave = host.add("contract", Script(by_dsc=by_dsc), architectures=(ARCHITECTURE,))
    return SlaveUnderContract(
        "simulated", slave.port, host.token, b"tarball", sources, restart=lambda: host.run(slave.restart())
    )


class RealSlave:
    """The daemon as a process; `options` go to its command line, and the last of a kind counts."""

    def __init__(self, directory: Path, token: str, *options: str) -> None:
        self.options = options
        self.prefix: tuple[str, ...] = ()  #: a command that becomes the one behind it
        self.token_file = directory / "token"
        self.token_file.write_text(token + "\n")
        self.token_file.chmod(0o600)
        self.state_directory = directory / "state"
        self.errors = directory / "stderr"
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it on the port it had, and wait until it says READY."""
        command = [*self.prefix, sys.executable, "-m", "buildd_master.slave", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--state-directory", str(self.state_directory), "--token-file", str(self.token_file)]
        command += ["--backend", "host", "--name", "contract", *self.options]
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if readable else ""
        assert line.startswith("READY buildd://127.0.0.1:"), line + self.errors.read_text()
        self.port = int(line.rpartition(":")[2])

    def end(self, number: signal.Signals) -> None:
        """End it with that signal, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """Kill it with -9, and start it again."""
        self.end(signal.SIGKILL)
        self.start()


@pytest.fixture(scope="session")
def real_slave(
    tmp_path_factory: pytest.TempPathFactory, contract_sources: dict[str, SourcePackage]
) -> Iterator[SlaveUnderContract]:
    """The real slave, one for all tests."""
    slave = RealSlave(tmp_path_factory.mktemp("real-slave"), "a-token-of-tests")
    slave.start()
    under = SlaveUnderContract("real", slave.port, "a-token-of-tests", None, contract_sources, slave.restart)
    yield under
    slave.end(signal.SIGTERM)
    assert slave.process is not None
    assert slave.process.returncode == 0, slave.errors.read_text()


@pytest.fixture(params=["simulated", "real"])
def any_slave(request: pytest.FixtureRequest, contract_sources: dict[str, SourcePackage]) -> SlaveUnderContract:
    """A slave that is IDLE; the test is run with either kind."""
    if request.param == "simulated":
        return _simulated(request.getfixturevalue("slave_host"), contract_sources)
    slave: SlaveUnderContract = request.getfixturevalue("real_slave")
    slave.be_idle()
    return slave


@pytest.fixture
def launchpad_slave(tmp_path: Path, contract_sources: dict[str, SourcePackage]) -> Iterator[SlaveUnderContract]:
    """A simulated launchpad-buildd slave, spoken to through the farm's link."""
    from tests.fix_link_client import launchpad_under_contract  # noqa: PLC0415 - it knows this module

    with contextlib.ExitStack() as kept:
        yield launchpad_under_contract(tmp_path, contract_sources, kept.callback)


@pytest.fixture(params=["simulated", "real", "launchpad"])
def slave_of_any_dialect(
    request: pytest.FixtureRequest, contract_sources: dict[str, SourcePackage]
) -> SlaveUnderContract:
    """A slave that is IDLE, of any kind; the test is of what both dialects keep to."""
    if request.param == "simulated":
        return _simulated(request.getfixturevalue("slave_host"), contract_sources)
    slave: SlaveUnderContract = request.getfixturevalue(f"{request.param}_slave")
    slave.be_idle()
    return slave


@pytest.fixture(params=["simulated", "real"])
def slave_with_results(
    request: pytest.FixtureRequest, contract_sources: dict[str, SourcePackage]
) -> SlaveUnderContract:
    """A slave that is WAITING with the results of `quick`; the real one may have them from the test before."""
    return _with_results(request, contract_sources)


@pytest.fixture(params=["simulated", "real", "launchpad"])
def any_dialect_with_results(
    request: pytest.FixtureRequest, contract_sources: dict[str, SourcePackage]
) -> SlaveUnderContract:
    """The same of any kind."""
    return _with_results(request, contract_sources)


def _with_results(request: pytest.FixtureRequest, contract_sources: dict[str, SourcePackage]) -> SlaveUnderContract:
    slave: SlaveUnderContract
    if request.param == "launchpad":
        slave = request.getfixturevalue("launchpad_slave")
    elif request.param == "simulated":
        slave = _simulated(request.getfixturevalue("slave_host"), contract_sources)
    else:
        slave = request.getfixturevalue("real_slave")
        with slave.master() as master:
            if master.status().outcome is WireOutcome.OK:
                return slave
        slave.be_idle()
    with slave.master() as master:
        slave.start(master, "quick")
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.OK
    return slave

"""The master of the contract tests, speaking to a launchpad-buildd slave through the link that the farm uses.

Has what `tests.fix_slaves.MasterClient` has, as far as the contract of both dialects goes, so that a test can't tell.
"""

from __future__ import annotations

import hashlib
import itertools
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from actors.builder.happenings import Down, Heard, Up
from actors.builder.launchpad_link import LaunchpadSlaveLink
from actors.core.timers import Timers
from protocol.messages import (
    Build,
    ChunkAck,
    EnsurePresent,
    Message,
    Phase,
    Present,
    Query,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Conduct, Script
from storage.files.credentials import FilesPlace
from storage.files.librarian import Librarian
from storage.records import BuildOrder, NamedFile
from tests.fix_builder import an_order
from tests.fix_launchpad import HandedOut
from tests.fix_slaves import FARM, Gone, MasterClient, SlaveUnderContract, epochs
from tests.fix_sources import SourcePackage
from tests.waiting import wait_until


class LinkClient(MasterClient):
    """One connection, as far as there is such a thing."""

    def __init__(self, slave: LaunchpadUnderContract) -> None:
        self.slave = slave
        self.order = slave.order_of(Build(0, "0" * 8 + "-0000-4000-8000-" + "0" * 12, "binarypackage", "", {}, {}))
        place = FilesPlace(f"http://{slave.files.listen}", slave.files.key)
        timers = Timers(poll_building=0.02, poll_idle=0.1)
        self.link = LaunchpadSlaveLink(timers, place, "", order=lambda: self.order, read=slave.read)
        self.log = b""
        self.statuses: list[Status] = []
        self._ids = itertools.count(1)
        self._kept: list[Message] = []
        self._heard: list[Message] = []
        self.link.connect("127.0.0.1", slave.port, tls=False)
        self._await(Up)
        self.link.greet(next(epochs), FARM)
        welcome = self.hear()
        assert isinstance(welcome, Welcome)
        self.welcome = welcome
        self.statuses.append(welcome.status)
        if welcome.status.phase is Phase.COLLECT:  # it asks first how much there is to fetch
            self.wait_state(SlaveState.WAITING)
            self.statuses = self.statuses[-1:]

    def __exit__(self, *_: object) -> None:
        self.link.release()

    def __enter__(self) -> Self:
        return self

    def say(self, *messages: Message) -> None:
        for message in messages:
            if isinstance(message, Build):
                self.order = self.slave.order_of(message)
            self.link.send(message)  # type: ignore[arg-type]

    def hear(self) -> Message:
        wait_until(lambda: self._heard, "the slave says something", meanwhile=self._pump)
        message = self._heard.pop(0)
        self._note(message)
        return message

    def status(self) -> Status:
        known = len(self.statuses)
        self.say(Query(self.next_id))
        while len(self.statuses) == known:
            self._kept.append(self.hear())
        return self.statuses[-1]

    def push(self, content: bytes, **_: Any) -> ChunkAck:
        """Have the slave fetch a file."""
        present = self.ask(EnsurePresent, hashlib.sha256(content).hexdigest(), len(content))
        assert isinstance(present, Present), present
        assert present.have
        return ChunkAck(hashlib.sha256(content).hexdigest(), len(content))

    def _await(self, kind: type[Up]) -> None:
        wait_until(
            lambda: any(isinstance(one, kind) for one in self._turn()), "there is a connection", meanwhile=lambda: None
        )

    def _pump(self) -> None:
        for happening in self._turn():
            if isinstance(happening, Down):
                raise Gone
            if isinstance(happening, Heard):
                self._heard.append(happening.message)

    def _turn(self) -> list[object]:
        if not self.link.eager:
            select.select([self.link], [], [], min(0.05, max(0.0, self.link.due - time.monotonic())))
        return list(self.link.pump())


class LaunchpadUnderContract(SlaveUnderContract):
    """A launchpad-buildd slave, and the files that it may fetch."""

    files: HandedOut
    simulated: LaunchpadSlave
    known: dict[str, NamedFile]

    def master(self) -> MasterClient:
        return LinkClient(self)

    def read(self, sha256: str, limit: int) -> bytes:
        return self.files.librarian.path(sha256).read_bytes()[:limit]

    def order_of(self, message: Build) -> BuildOrder:
        """Return the order of which our own dialect's `message` would be made."""
        wanted = message.files or {file.filename: sha256 for sha256, file in self.known.items()}
        unknown = "f" * 40
        files = tuple(
            NamedFile(name, sha256, 1, self.known[sha256].sha1 if sha256 in self.known else unknown)
            for name, sha256 in wanted.items()
        )
        chroot = self.known[hashlib.sha256(self.chroot or b"").hexdigest()]
        return an_order(
            attempt=UUID(message.attempt),
            build_type=message.build_type,
            chroot=chroot,
            files=files,
            dsc=str(message.args.get("dsc", "")),
            architecture=str(message.args.get("architecture", "amd64")),
            suite="unstable",
        )

    def announced(self, content: bytes) -> str:
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    def be_idle(self) -> None:
        """Be idle: it is a new one for every test."""


def launchpad_under_contract(
    directory: Path, sources: dict[str, SourcePackage], keep: Callable[[Callable[[], None]], object]
) -> LaunchpadUnderContract:
    """Return a launchpad-buildd slave that goes by the names of the contract's sources."""
    by_dsc = {
        sources["slow"].dsc.name: Conduct(hangs=True),
        sources["broken"].dsc.name: Conduct(outcome=WireOutcome.PACKAGEFAIL, log=b"this package fails\n" * 100),
        sources["quick"].dsc.name: Conduct(log=b"a line of the log\n" * 1000),
    }
    slave = LaunchpadSlave("contract", Script(by_dsc=by_dsc), architecture="amd64")
    slave.start()
    under = LaunchpadUnderContract("launchpad", slave.port, "", b"tarball", sources, restart=slave.restart)
    librarian = Librarian(directory / "librarian")
    under.files, under.simulated, under.known = HandedOut(directory, librarian), slave, {}
    contents = [("chroot", b"tarball")]
    contents += [(name, path.read_bytes()) for package in sources.values() for name, path in package.files.items()]
    for name, content in contents:
        kept = librarian.add_bytes(content)
        under.known[kept.sha256] = NamedFile(name, kept.sha256, kept.size, kept.sha1)
    keep(slave.stop)
    keep(under.files.close)
    return under

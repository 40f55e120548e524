"""Slaves that answer in the dialect of launchpad-buildd and lie: the session ends with words, and nothing else does."""

from __future__ import annotations

import socket
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from actors.messages import (
    AdoptionWanted,
    Assign,
    BuilderTroubled,
    Cancel,
    Disown,
    Finished,
    Ready,
    Recorded,
    Started,
)
from protocol.messages import WireOutcome
from simulation.slaves.launchpad.hazards import Hazards
from simulation.slaves.script import Conduct, Script
from storage.records import NotOkKind, Outcome
from tests.fix_builder_shell import StagedBuilder
from tests.fix_launchpad import LaunchpadStage
from tests.protocol.test_launchpad_buildd import BOMB
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

METHODS = ("echo", "info", "status", "ensurepresent", "build", "abort", "clean")


def said(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


LIES: dict[str, Callable[[bytes], bytes]] = {
    "ten megabytes": lambda _: said("x" * 10_000_000),
    "a bomb": lambda _: BOMB,
    "no UTF-8": lambda body: body.replace(b"<value>", b"<value>\xff\xfe", 1),
    "another type": lambda _: said({"a": [7]}),
    "nothing": lambda _: b"",
}


class Farm:
    """A queue actor in two lines: gives out one build, cancels it once it runs, records its end."""

    def __init__(self, stage: LaunchpadStage, builder: StagedBuilder) -> None:
        self.stage, self.builder, self.orders, self.readies = stage, builder, 0, 0

    def turn(self) -> None:
        self.builder.turn()
        said, self.builder.said = self.builder.said, []
        for message in said:
            match message:
                case Ready():
                    self.readies += 1
                    if self.orders < 1:
                        self.orders += 1
                        self.builder.hear(Assign("bob", 1, self.stage.order()))
                case Started(attempt=attempt):
                    self.builder.hear(Cancel("bob", 1, attempt))
                case Finished(attempt=attempt):
                    self.builder.hear(Recorded("bob", 1, attempt))
                case AdoptionWanted(attempt=attempt):
                    self.builder.hear(Disown("bob", 1, attempt, "closed"))
                case _:
                    self.builder.said.append(message)

    def play_until(self, fact: Callable[[], bool], what: str) -> None:
        wait_until(fact, lambda: f"{what}: {self.builder.described()}", meanwhile=self.turn)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_lie_in_any_answer_ends_the_session_and_nothing_else(
    launchpad_stage: LaunchpadStage, method: str, lie: Callable[[bytes], bytes]
) -> None:
    launchpad_stage.use(background_retry=0.02, background_retry_limit=0.02, reconnect=0.2, abort_polite=0.5)
    slave = launchpad_stage.slave(Script(conducts=(Conduct(hangs=True),)))
    slave.hazards.say[method] = lie
    farm = Farm(launchpad_stage, launchpad_stage.builder(slave.url))
    farm.play_until(lambda: bool(farm.builder.heard(BuilderTroubled)), f"a lie in {method}() is told")
    trouble = farm.builder.heard(BuilderTroubled)[0]
    assert trouble.kind is NotOkKind.MISFIT
    assert "broke the protocol" in trouble.failnotes
    assert trouble.failnotes.isprintable()
    assert len(trouble.failnotes) < 1000
    del slave.hazards.say[method]
    before = farm.readies
    farm.play_until(lambda: farm.readies > before, "it is used again")


@pytest.mark.parametrize(
    ("filemap", "words"),
    [
        ({"../../etc/passwd": "a" * 40}, "no name of a file"),
        ({"foo.deb": "../../etc/passwd"}, "no SHA-1"),
        ({"a\nb": "a" * 40}, "no name of a file"),
        ({f"f{number}": "a" * 40 for number in range(5000)}, "no map of files"),
    ],
    ids=["a path for a name", "a path for a hash", "a line break", "too many"],
)
def test_a_lie_about_results_is_the_slaves_fault(
    launchpad_stage: LaunchpadStage, filemap: dict[str, str], words: str
) -> None:
    launchpad_stage.use(background_retry=0.02, background_retry_limit=0.02)

    def lie(body: bytes) -> bytes:
        (status,), _ = xmlrpc.client.loads(body, use_builtin_types=True)
        assert isinstance(status, dict)
        return said({**status, "filemap": filemap}) if "filemap" in status else body

    slave = launchpad_stage.slave(hazards=Hazards(say={"status": lie}))
    _, _, end = launchpad_stage.built(slave)
    assert end.outcome is Outcome.BUILDERFAIL
    assert words in end.text


def test_a_file_that_is_announced_and_not_there_is_the_slaves_fault(launchpad_stage: LaunchpadStage) -> None:
    def lie(body: bytes) -> bytes:
        return body.replace(b"<name>filemap</name>\n<value><struct>", b"<name>filemap</name>\n<value><struct>" + GHOST)

    slave = launchpad_stage.slave(Script(conducts=(Conduct(outcome=WireOutcome.OK),)), Hazards(say={"status": lie}))
    _, _, end = launchpad_stage.built(slave)
    assert end.outcome is Outcome.BUILDERFAIL
    assert "foo_dbg.deb" in end.text


GHOST = b"<member><name>foo_dbg.deb</name><value><string>" + b"0" * 40 + b"</string></value></member>"


class Rude:
    """A listener that answers every connection in its own way, and never with HTTP."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(ours,))
            self._threads.append(thread)
            thread.start()

    def _one(self, ours: socket.socket) -> None:
        ours.settimeout(1)  # who hung up with a full window is never heard of again
        with ours, suppress(OSError):
            self._answer(ours)

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)


def _wait(ours: socket.socket) -> None:
    ours.settimeout(10)
    while ours.recv(4096):
        pass


def _drip(ours: socket.socket) -> None:
    ours.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        ours.sendall(b" ")
        time.sleep(0.02)


def _endless_headers(ours: socket.socket) -> None:
    ours.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        ours.sendall(b"X: " + b"y" * 10_000 + b"\r\n")


def _endless_continue(ours: socket.socket) -> None:
    while True:
        ours.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def _endless_body(ours: socket.socket) -> None:
    ours.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        ours.sendall(b"<" * 100_000)


RUDE: dict[str, Callable[[socket.socket], None]] = {
    "silence": _wait,
    "hangs up": lambda _: None,
    "zeros": lambda ours: ours.sendall(bytes(1000)),
    "a byte at a time": _drip,
    "endless headers": _endless_headers,
    "endless continue": _endless_continue,
    "endless body": _endless_body,
    "no such thing": lambda ours: ours.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    "a mad length": lambda ours: ours.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nx"),
    "a mad chunk": lambda ours: ours.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
}


@pytest.fixture(params=list(RUDE))
def rude(request: pytest.FixtureRequest) -> Iterator[Rude]:
    """Something that is no launchpad-buildd."""
    listener = Rude(RUDE[request.param])
    yield listener
    listener.close()


def test_what_is_no_slave_is_told_of_in_bounded_time(launchpad_stage: LaunchpadStage, rude: Rude) -> None:
    launchpad_stage.use(connect=0.3, first_retry=0.01, second_retry=0.02)
    builder = launchpad_stage.builder(rude.url)
    trouble = builder.wait_told(BuilderTroubled)
    assert trouble.kind in {NotOkKind.UNREACHABLE, NotOkKind.MISFIT}
    assert trouble.failnotes.startswith(f"the slave at 127.0.0.1 port {rude.url.rpartition(':')[2]}")

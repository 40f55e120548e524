"""The faulty cable: late is not lost, a reset is a reset, and one way is one way."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Cable, Cables

PATIENCE = 10.0  #: seconds
MOMENT = 0.2  #: seconds in which nothing is to come


class Ends:
    """A master's and a slave's end of one connection."""

    def __init__(self, cables: Cables) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.cable: Cable = cables.add(self.listening.getsockname()[1])
        self.master = socket.create_connection(("127.0.0.1", self.cable.port), PATIENCE)
        self.slave, _ = self.listening.accept()
        self.slave.settimeout(PATIENCE)

    def close(self) -> None:
        for one in (self.master, self.slave, self.listening):
            one.close()


@pytest.fixture
def cables() -> Iterator[Cables]:
    with Cables() as running:
        yield running


@pytest.fixture
def ends(cables: Cables) -> Iterator[Ends]:
    made = Ends(cables)
    yield made
    made.close()


def hears(end: socket.socket, seconds: float = PATIENCE) -> bytes:
    """Return what an end hears; nothing: nothing in time."""
    end.settimeout(seconds)
    try:
        return end.recv(1000)
    except TimeoutError:
        return b""


def test_what_is_said_passes_both_ways(ends: Ends) -> None:
    ends.master.sendall(b"build this")
    assert hears(ends.slave) == b"build this"
    ends.slave.sendall(b"built")
    assert hears(ends.master) == b"built"


def test_what_is_said_over_a_cut_cable_comes_when_it_is_mended(cables: Cables, ends: Ends) -> None:
    cables.cut(ends.cable)
    ends.master.sendall(b"late")
    assert hears(ends.slave, MOMENT) == b""
    cables.mend(ends.cable)
    assert hears(ends.slave) == b"late"


def test_a_mute_slave_still_hears(cables: Cables, ends: Ends) -> None:
    cables.cut(ends.cable, to_slave=False)
    ends.slave.sendall(b"unheard")
    ends.master.sendall(b"heard")
    assert hears(ends.slave) == b"heard"
    assert hears(ends.master, MOMENT) == b""


def test_nobody_learns_over_a_cut_cable_that_the_other_has_hung_up(cables: Cables, ends: Ends) -> None:
    cables.cut(ends.cable)
    ends.slave.close()
    assert hears(ends.master, MOMENT) == b""
    ends.master.settimeout(PATIENCE)
    cables.mend(ends.cable)
    assert ends.master.recv(10) == b"", "the end"


def test_a_reset_is_one_for_both_ends(cables: Cables, ends: Ends) -> None:
    cables.reset(ends.cable)
    for end in (ends.master, ends.slave):
        end.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            end.recv(10)


def test_a_slow_cable_takes_its_time_and_loses_nothing(cables: Cables, ends: Ends) -> None:
    cables.slow(ends.cable, 100_000.0)
    sent = bytes(50_000)
    threading.Thread(target=ends.master.sendall, args=(sent,)).start()
    heard = b""
    while len(heard) < len(sent):
        heard += ends.slave.recv(100_000)
    assert heard == sent


def test_nobody_listens_behind_the_cable(cables: Cables) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    cable = cables.add(port)
    with (
        socket.create_connection(("127.0.0.1", cable.port), PATIENCE) as master,
        contextlib.suppress(ConnectionResetError),
    ):
        assert master.recv(10) == b""

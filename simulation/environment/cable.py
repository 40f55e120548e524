"""The network between the master and one slave's machine, and the TCP connections over it.

What TCP promises is kept: in order, nothing twice, nothing lost while the connection stands; what can't pass waits until
the network is whole again, and what arrives where nobody listens any more resets the connection.  Messages pass as
objects; one of them in `HONESTY` goes through the real codec, and must come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, Protocol

from protocol.codec import decode, encode
from protocol.messages import Message
from simulation.environment.agenda import Agenda

HONESTY: Final = 199
RETRANSMITTED: Final = 0.7  #: seconds after a cut until TCP tries again
_PREFIX: Final = 4  #: bytes of a frame's length


class Way(IntEnum):
    """A direction."""

    TO_SLAVE = 0
    TO_MASTER = 1


class End(Protocol):
    """Who is at an end of a connection."""

    def hear(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Take what has arrived."""

    def part(self, connection: Connection, reason: str) -> None:
        """Take in that the connection is gone."""


class Cable:
    """The network to one machine.

    Attributes:
        slow: so many times the latency.
        cuts: how often each way is cut.
        watched: heartbeats are sent and heard as messages, one by one, because something may keep them from coming.
    """

    def __init__(self, agenda: Agenda, latency: float) -> None:
        """Lay it."""
        self.agenda = agenda
        self.latency = latency
        self.slow = 1.0
        self.watched = 0
        self.cuts = [0, 0]
        self._waiting: list[Callable[[], None]] = []
        self._passed = 0

    @property
    def whole(self) -> bool:
        """Whether everything passes, both ways."""
        return not any(self.cuts)

    def passes(self, way: Way) -> bool:
        """Return whether anything passes this way."""
        return self.cuts[way] == 0

    def cut(self, *ways: Way) -> None:
        """Let nothing pass; as often as it is cut it must be mended."""
        for way in ways:
            self.cuts[way] += 1

    def mend(self, *ways: Way) -> None:
        """Let things pass again, where nothing else keeps them; what has waited comes a moment later."""
        for way in ways:
            self.cuts[way] -= 1
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            self.agenda.after(RETRANSMITTED, again)

    def when_mended(self, again: Callable[[], None]) -> None:
        """Call `again` when something was mended."""
        self._waiting.append(again)

    def delay(self) -> float:
        """Return the seconds that one way takes."""
        return self.latency * self.slow

    def honest(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages, now and then as the real codec reads what it has written."""
        self._passed += len(messages)
        if self._passed < HONESTY:
            return messages
        self._passed = 0
        read = tuple(decode(encode(message)[_PREFIX:]) for message in messages)
        if read != tuple(messages):
            raise AssertionError(f"the codec made {read} of {messages}")
        return read


class _Lane:
    """One direction of a connection."""

    __slots__ = ("closed", "ends_at", "held", "pending", "receiver", "stopped", "way")

    def __init__(self, way: Way, receiver: End) -> None:
        self.way = way
        self.receiver = receiver
        self.closed = False  # the receiver has gone
        self.ends_at = 0.0  # when what was sent last arrives
        self.pending = False  # waits for the cable
        self.stopped: list[Sequence[Message] | str] = []  # was on its way when the cable was cut
        self.held: list[Sequence[Message] | str] = []  # was sent since


class Connection:
    """One TCP connection; a text among what is sent is its end."""

    def __init__(self, cable: Cable, master: End, slave: End) -> None:
        """Connect."""
        self._cable = cable
        self._to_slave = _Lane(Way.TO_SLAVE, slave)
        self._to_master = _Lane(Way.TO_MASTER, master)

    def to_slave(self, messages: Sequence[Message]) -> None:
        """Send what the master says."""
        self._send(self._to_slave, messages)

    def to_master(self, messages: Sequence[Message]) -> None:
        """Send what the slave says."""
        self._send(self._to_master, messages)

    def close_master(self, reason: str = "the master closed the connection") -> None:
        """Close the master's end; the slave hears of it after what was sent."""
        if not self._to_master.closed:
            self._to_master.closed = True
            self._send(self._to_slave, reason)

    def close_slave(self, reason: str = "the slave closed the connection", *, silently: bool = False) -> None:
        """Close the slave's end; the master hears of it after what was sent, unless the whole machine is gone."""
        if not self._to_slave.closed:
            self._to_slave.closed = True
            if not silently:
                self._send(self._to_master, reason)

    def reset(self) -> None:
        """Break it for both ends, as a middlebox does that has forgotten it."""
        for lane in (self._to_slave, self._to_master):
            if not lane.closed:
                lane.closed = True
                lane.receiver.part(self, "connection reset by peer")

    def _send(self, lane: _Lane, what: Sequence[Message] | str) -> None:
        cable = self._cable
        if lane.held or lane.stopped or cable.cuts[lane.way]:
            lane.held.append(what)
            self._wait(lane)
            return
        arrives_at = cable.agenda.now + cable.latency * cable.slow
        lane.ends_at = max(lane.ends_at, arrives_at)
        cable.agenda.at(lane.ends_at, self._arrive, lane, what)

    def _wait(self, lane: _Lane) -> None:
        if not lane.pending:
            lane.pending = True
            self._cable.when_mended(lambda: self._try_again(lane))

    def _try_again(self, lane: _Lane) -> None:
        lane.pending = False
        waiting, lane.stopped, lane.held = (*lane.stopped, *lane.held), [], []
        for what in waiting:
            self._send(lane, what)

    def _arrive(self, lane: _Lane, what: Sequence[Message] | str) -> None:
        cable = self._cable
        if lane.stopped or cable.cuts[lane.way]:
            lane.stopped.append(what)
            self._wait(lane)
        elif lane.closed:
            if not isinstance(what, str):
                self._reset_sender(lane)
        elif isinstance(what, str):
            lane.closed = True
            lane.receiver.part(self, what)
        else:
            lane.receiver.hear(self, cable.honest(what))

    def _reset_sender(self, lane: _Lane) -> None:
        """Tell whoever sent something that its peer is no more."""
        back = self._to_master if lane is self._to_slave else self._to_slave
        if not back.closed:
            self._send(back, "connection reset by peer")

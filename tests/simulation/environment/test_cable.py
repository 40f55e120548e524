"""The virtual network keeps TCP's promises."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Heartbeat, Message
from simulation.environment.agenda import Agenda
from simulation.environment.cable import HONESTY, Cable, Connection, Way

BOTH = (Way.TO_SLAVE, Way.TO_MASTER)


class Peer:
    """Remembers what it heard, and when."""

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.heard: list[float] = []
        self.times: list[float] = []
        self.parted: list[str] = []

    def hear(self, connection: Connection, messages: Sequence[Message]) -> None:  # noqa: ARG002 - an end's signature
        for message in messages:
            assert isinstance(message, Heartbeat)
            self.heard.append(message.t)
            self.times.append(self.agenda.now)

    def part(self, connection: Connection, reason: str) -> None:  # noqa: ARG002 - an end's signature
        self.parted.append(reason)


def connected(latency: float = 0.01) -> tuple[Agenda, Cable, Peer, Peer, Connection]:
    agenda = Agenda()
    cable = Cable(agenda, latency)
    master, slave = Peer(agenda), Peer(agenda)
    return agenda, cable, master, slave, Connection(cable, master, slave)


@given(
    cuts=st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 30)), max_size=5),
    sent=st.lists(st.floats(0, 40), min_size=1, max_size=30),
    slow=st.floats(1, 100),
)
def test_everything_arrives_once_and_in_order_whatever_is_cut_and_mended(
    cuts: list[tuple[float, float]], sent: list[float], slow: float
) -> None:
    agenda, cable, _, slave, connection = connected()
    for at, seconds in cuts:
        agenda.at(at, cable.cut, *BOTH)
        agenda.at(at + seconds, cable.mend, *BOTH)
    agenda.at(5.0, setattr, cable, "slow", slow)
    for number, at in enumerate(sorted(sent)):
        agenda.at(at, connection.to_slave, [Heartbeat(float(number))])
    agenda.run(1000.0)
    assert slave.heard == [float(number) for number in range(len(sent))]


def test_one_way_is_cut_and_the_other_is_not() -> None:
    agenda, cable, master, slave, connection = connected()
    cable.cut(Way.TO_MASTER)
    connection.to_slave([Heartbeat(1.0)])
    connection.to_master([Heartbeat(2.0)])
    agenda.run(10.0)
    assert (slave.heard, master.heard) == ([1.0], [])
    cable.mend(Way.TO_MASTER)
    agenda.run(20.0)
    assert master.heard == [2.0]


def test_an_end_that_closes_is_heard_of_after_all_that_it_said() -> None:
    agenda, _, master, slave, connection = connected()
    connection.to_slave([Heartbeat(1.0)])
    connection.close_master("bye")
    agenda.run(1.0)
    assert (slave.heard, slave.parted, master.parted) == ([1.0], ["bye"], [])


def test_who_speaks_to_nobody_is_reset() -> None:
    agenda, _, master, _, connection = connected()
    connection.close_slave(silently=True)
    connection.to_slave([Heartbeat(1.0)])
    agenda.run(1.0)
    assert master.parted == ["connection reset by peer"]


def test_now_and_then_a_message_goes_through_the_codec() -> None:
    agenda, _, _, slave, connection = connected()
    original = Heartbeat(7.0)
    for _ in range(HONESTY + 1):
        connection.to_slave([original])
    agenda.run(1.0)
    assert slave.heard == [7.0] * (HONESTY + 1)

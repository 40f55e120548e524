"""A call finds who listens at the other end of the cable; it is refused, or nothing answers, or nobody waits any more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from protocol.messages import Heartbeat, Message
from simulation.environment.agenda import Agenda
from simulation.environment.cable import Cable, Connection, Way
from simulation.environment.network import Network

PORT = 10_000


class Machine:
    """Listens, if it is up."""

    up = True

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.connections: list[Connection] = []

    def accept(self, connection: Connection) -> None:
        self.connections.append(connection)

    def hear(self, connection: Connection, messages: Sequence[Message]) -> None:  # noqa: ARG002 - an end's signature
        self.heard += messages

    def part(self, connection: Connection, reason: str) -> None:
        """Nobody closes anything here."""


class Caller(Machine):
    """Waits for a connection."""

    alive = True

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def connected(self, connection: Connection) -> None:
        self.connections.append(connection)

    def not_connected(self, reason: str) -> None:
        self.refused.append(reason)


class Scene:
    """One machine on the network, and who calls it."""

    def __init__(self) -> None:
        self.agenda = Agenda()
        self.network = Network(self.agenda)
        self.machine, self.caller = Machine(), Caller()
        self.cable: Cable = self.network.lay("bob", 0.01)
        self.network.attach(PORT, self.cable, self.machine)

    def call(self) -> None:
        self.network.connect(self.caller, PORT)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_call_takes_both_ways_and_then_both_ends_have_one_connection(scene: Scene) -> None:
    scene.call()
    scene.agenda.run(0.02)
    assert scene.caller.connections == []
    scene.agenda.run(0.03)
    assert scene.caller.connections == scene.machine.connections
    (connection,) = scene.caller.connections
    connection.to_slave([Heartbeat(1.0)])
    connection.to_master([Heartbeat(2.0)])
    scene.agenda.run(1.0)
    assert (scene.machine.heard, scene.caller.heard) == ([Heartbeat(1.0)], [Heartbeat(2.0)])


def test_a_machine_that_is_not_up_refuses(scene: Scene) -> None:
    scene.machine.up = False
    scene.call()
    scene.agenda.run(1.0)
    assert (scene.caller.refused, scene.caller.connections) == (["connection refused"], [])


def test_nothing_answers_a_call_over_a_cable_that_is_cut_though_it_is_mended_at_once(scene: Scene) -> None:
    scene.cable.cut(Way.TO_MASTER)
    scene.call()
    scene.agenda.run(0.01)
    scene.cable.mend(Way.TO_MASTER)
    scene.agenda.run(100.0)
    assert (scene.caller.refused, scene.caller.connections) == ([], [])


def test_a_cable_that_is_cut_meanwhile_brings_nothing(scene: Scene) -> None:
    scene.call()
    scene.cable.cut(Way.TO_SLAVE)
    scene.agenda.run(1.0)
    assert (scene.caller.refused, scene.machine.connections) == ([], [])


def test_who_hangs_up_gets_nothing(scene: Scene) -> None:
    scene.call()
    scene.network.hang_up(scene.caller)
    scene.agenda.run(1.0)
    assert (scene.caller.connections, scene.machine.connections) == ([], [])


def test_of_two_calls_the_latest_counts(scene: Scene) -> None:
    scene.call()
    scene.agenda.run(0.015)
    scene.call()
    scene.agenda.run(0.03)
    assert scene.caller.connections == []
    scene.agenda.run(1.0)
    assert len(scene.caller.connections) == 1


def test_a_caller_that_has_died_meanwhile_gets_nothing(scene: Scene) -> None:
    scene.call()
    scene.caller.alive = False
    scene.agenda.run(1.0)
    assert (scene.caller.connections, scene.machine.connections) == ([], [])

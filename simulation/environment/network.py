"""The network as a whole: a cable to each machine, and who listens at its end.

What passes over a connection that stands is the business of `simulation.environment.cable`.
"""

from __future__ import annotations

from typing import Protocol

from simulation.environment.agenda import Agenda
from simulation.environment.cable import Cable, Connection, End


class Caller(End, Protocol):
    """Who wants a connection."""

    @property
    def alive(self) -> bool:
        """Whether it waits for one still."""

    def connected(self, connection: Connection) -> None:
        """Take the connection."""

    def not_connected(self, reason: str) -> None:
        """Take in that there is none."""


class Machine(End, Protocol):
    """Who listens on a machine."""

    @property
    def up(self) -> bool:
        """Whether anybody listens."""

    def accept(self, connection: Connection) -> None:
        """Take a new connection."""


class Network:
    """All cables.

    Attributes:
        cables: by the name of the builder whose machine is at the end.
    """

    def __init__(self, agenda: Agenda) -> None:
        """Begin with none."""
        self.cables: dict[str, Cable] = {}
        self._agenda = agenda
        self._machines: dict[int, tuple[Cable, Machine]] = {}  # by port
        self._calls: dict[Caller, int] = {}  # connections that are being made
        self._call = 0

    def lay(self, builder: str, latency: float) -> Cable:
        """Lay the cable to a builder's machine."""
        cable = self.cables[builder] = Cable(self._agenda, latency)
        return cable

    def attach(self, port: int, cable: Cable, machine: Machine) -> None:
        """Have who calls `port` come to a machine."""
        self._machines[port] = cable, machine

    def connect(self, caller: Caller, port: int) -> None:
        """Connect to the machine that listens there; `caller` is told how that went, unless nothing passes."""
        cable, machine = self._machines[port]
        self._call += 1
        self._calls[caller] = self._call
        if cable.whole:  # else nothing answers
            self._agenda.after(2 * cable.delay(), self._connected, caller, cable, machine, self._call)

    def hang_up(self, caller: Caller) -> None:
        """Forget a connection that is being made."""
        self._calls.pop(caller, None)

    def _connected(self, caller: Caller, cable: Cable, machine: Machine, call: int) -> None:
        if self._calls.get(caller) != call or not caller.alive or not cable.whole:
            return
        del self._calls[caller]
        if not machine.up:
            caller.not_connected("connection refused")
            return
        connection = Connection(cable, caller, machine)
        machine.accept(connection)
        caller.connected(connection)

"""A way in for people: attach to the actor system of a running farm.

Starts nothing and stops nothing: Thespian's own way in, where nobody listens, would start a system of its own.
"""

from __future__ import annotations

import getpass
import os
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from actors.system.transport import read_key, secure  # isort: skip - first: it loads Thespian's transport without a warning
from thespian.actors import ActorAddress
from thespian.system.systemBase import ExternalOpsToActors
from thespian.system.transport import ExternalInterfaceTransportInit, TransmitIntent
from thespian.system.transport.IPBase import TCPv4ActorAddress
from thespian.system.transport.TCPTransport import TCPTransport

from actors.addressed import Here
from actors.console.orders import Census, ConsoleOrder, Held, Injected, Told, WhoIsHere
from actors.master.run_file import running_farm
from actors.messages import Describe, Description
from actors.system.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.settings import Settings

_ANSWER_SECONDS = 3.0

Answer = TypeVar("Answer", Held, Told)


class NotAttached(Exception):
    """No farm runs, or it does not let us in; one line that says which, and what to do."""


class _Guest(ExternalOpsToActors):  # type: ignore[misc]  # Thespian is untyped
    """Thespian's side of a process that speaks to actors from outside: a transport, and nothing that could start."""

    def __init__(self, admin_port: int) -> None:
        capabilities = {"Admin Port": admin_port}
        self.transport = TCPTransport(ExternalInterfaceTransportInit(), capabilities, None, None)
        super().__init__(TCPTransport.getAdminAddr(capabilities))


class Attached:
    """A connection to the actors of one running farm."""

    def __init__(self, settings: Settings) -> None:
        """Attach to the farm in `settings.state_directory`.

        Raises:
            NotAttached: no farm runs there, or its key is not for us.
        """
        self._settings = settings
        place = settings.state_directory
        try:
            farm = running_farm(settings.run_file)
            if farm is None:
                message = f"no farm runs in {place}: start it with `buildd-master up`, or name another state directory"
                raise NotAttached(message)
            self._farm = farm
            self._key = read_key(settings.key_file)
        except (OSError, ValueError) as error:
            message = f"the farm in {place} is not ours to enter: {error}; ask as its user, or as root"
            raise NotAttached(message) from error
        secure(self._key)
        self._supervisor = ActorAddress(TCPv4ActorAddress(LOOPBACK, farm.supervisor_port))
        self.who = os.environ.get("SUDO_USER") or getpass.getuser()
        self._guest: Any = _Guest(farm.admin_port)
        try:
            self.census()
        except NotAttached:
            self.close()
            raise

    @property
    def farm(self) -> str:
        """Return the UUID of the farm, as its database has it."""
        return self._farm.farm

    def __enter__(self) -> Self:
        """Return itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of every socket (Thespian's own `close` leaves them to the garbage collector)."""
        transport = self._guest.transport
        for holder in (*transport._openSockets.values(), *transport._transmitIntents.values()):  # noqa: SLF001
            holder.socket.close()
        for incoming in transport._incomingSockets.values():  # noqa: SLF001
            incoming.close()
        transport.socket.close()

    def again(self) -> Attached:
        """Attach once more, for another thread.

        Raises:
            NotAttached: as above.
        """
        return Attached(self._settings)

    def census(self) -> Census:
        """Ask the supervisor which actors there are.

        Raises:
            NotAttached: it does not answer.
        """
        self._post(self._supervisor, WhoIsHere())
        for said in self._heard():  # late answers of others may come first
            if isinstance(said, Census):
                return said
        raise NotAttached(self._why_silent())

    def _why_silent(self) -> str:
        place = self._settings.state_directory
        farm = running_farm(self._settings.run_file)
        if farm is None:
            return f"the farm in {place} has ended, or was killed: `buildd-master up` starts it"
        if farm != self._farm:
            return f"the farm in {place} has been started anew: enter again"
        return "the farm's supervisor does not answer: it hangs, or the key file is of another start"

    def describe(self, actors: tuple[Here, ...]) -> dict[str, Description]:
        """Return what the actors say of themselves, by name; those that do not answer in time are left out."""
        for here in actors:
            self._post(here.address, Describe())
        wanted = {(here.name, here.generation) for here in actors}
        heard: dict[str, Description] = {}
        for said in self._heard() if wanted else ():
            if isinstance(said, Description) and (said.name, said.generation) in wanted:
                heard[said.name] = said
            if len(heard) == len(wanted):
                break
        return heard

    def ask(self, here: Here, order: ConsoleOrder, answer: type[Answer]) -> Answer | None:
        """Have an actor do what the console asks, and return its answer; None: it gave none in time."""
        self._post(here.address, order)
        for said in self._heard():
            if isinstance(said, answer) and (said.name, said.generation) == (here.name, here.generation):
                return said
        return None

    def tell(self, here: Here, order: ConsoleOrder) -> bool:
        """Have an actor do what the console asks; return whether it took the order in time."""
        return self._delivered(self._post(here.address, order))

    def inject(self, to: Here, message: object, sender: Here | None) -> bool:
        """Have an actor handle `message` as if `sender` had sent it; it says so in the farm's log.

        Returns:
            False if it did not take the message in time; it may still do so later.
        """
        address = None if sender is None else sender.address
        return self._delivered(self._post(to.address, Injected(message, address, self.who)))

    def _delivered(self, taken: list[object]) -> bool:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not taken and time.monotonic() < deadline:
            self._guest.listen(0.01)
        return bool(taken)

    def _heard(self) -> Iterator[object]:
        """Yield what actors say to us, until they have had time enough."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            said = self._guest.listen(left)
            if said is not None:
                yield said

    def _post(self, address: ActorAddress, message: object) -> list[object]:
        """Begin to send; the list is no longer empty when the message was taken.

        Thespian's own `tell` waits a minute for every message under way, those to an actor that hangs included.
        """
        secure(self._key)  # Thespian has one key a process, and another farm may have been asked in between
        taken: list[object] = []

        def note(result: object, intent: object) -> None:  # noqa: ARG001 - the signature is Thespian's
            taken.append(result)

        self._guest.transport.scheduleTransmit(None, TransmitIntent(address, message, onSuccess=note))
        return taken

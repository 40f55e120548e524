"""Some actors that are tapped: in the life they have, and in their next ones.

Lines go to a sink, in threads that are not the person's.  They are those of `actors.console.tap`, with the peers' names in the
place of their addresses, and `gone`: an actor that has no next life.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actors.console.attach import NotAttached
from actors.console.orders import Tap, Untap
from console.line import BadCommand
from console.listening import Copy, Listener
from console.next_lives import NextLives

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.addressed import Here
    from actors.console.attach import Attached
    from actors.console.orders import Census

_PATIENCE: Final = 3.0  #: seconds for an actor to begin, and to end


class Tapped:
    """Some actors, tapped in this life and in their next ones; ends with `close`."""

    def __init__(
        self,
        farm: Attached,
        actors: Sequence[Here],
        sink: Callable[[Copy], None],
        types: frozenset[str],
        *,
        cores: bool,
    ) -> None:
        """Tap them.

        Raises:
            BadCommand: they can't be tapped; nobody is.
        """
        self._farm, self._sink = farm, sink
        #: the generation of each actor that was heard last
        self._last = {here.name: here.generation for here in actors}
        self._names: dict[str, str] = {}  #: of actors, by their addresses
        self._gone: set[str] = set()  #: actors that are no more
        self._census(farm.census())
        self._listener = Listener(self._heard)
        order = Tap(self._listener.port, self._listener.secret, types, cores=cores)
        self._next_lives = NextLives(farm.again, order, self._census, self._no_more)
        try:
            self._begin(actors, order)
        except BaseException:  # ^C too
            self.close()
            raise

    @property
    def over(self) -> bool:
        """Whether nobody is left who could say anything."""
        return self._gone >= self._last.keys()

    def wait(self, fact: Callable[[], bool], seconds: float) -> bool:
        """Wait until `fact` is true, looking again after each line; return whether it is."""
        return self._listener.wait(fact, seconds)

    def close(self) -> None:
        """Tap nobody any more."""
        self._next_lives.close()
        tapped = {(name, generation) for name, generation in self._last.items()} & self._listener.begun
        left = tapped - self._listener.ended
        with suppress(NotAttached):  # the farm is gone, and they with it
            for here in self._farm.census().here if left else ():
                if (here.name, here.generation) in left:
                    self._farm.tell(here, Untap(self._listener.port))
            self._listener.wait(lambda: left <= self._listener.ended, _PATIENCE)
        self._listener.close()

    def _begin(self, actors: Sequence[Here], order: Tap) -> None:
        for here in actors:
            if not self._farm.tell(here, order):
                raise BadCommand(f"{here.name} (pid {here.pid}) does not take messages now")
        wanted = {(here.name, here.generation) for here in actors}
        if not self._listener.wait(lambda: wanted <= self._listener.begun, _PATIENCE):
            raise BadCommand("the actors do not say anything; is a firewall on loopback?")

    def _heard(self, copy: Copy) -> None:
        name, generation = str(copy.get("actor")), int(copy.get("generation") or 0)
        self._last[name] = generation
        peer = copy.get("peer")
        self._sink(copy if peer is None else {**copy, "peer": self._names.get(peer, "the console, or one just born")})
        if copy.get("kind") == "begun":
            self._next_lives.lives(name, generation)
        elif copy.get("kind") == "ended":
            self._next_lives.died(name, generation)

    def _census(self, census: Census) -> None:
        self._names.update((str(here.address), here.name) for here in census.here)

    def _no_more(self, name: str, generation: int) -> None:
        self._gone.add(name)
        self._sink({"kind": "gone", "actor": name, "generation": generation, "at": time.monotonic()})

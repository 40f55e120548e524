"""Actors that died while they were tapped are tapped again in their next life.

In a thread, and through a way in of its own: the person's may be in use, or the person at the prompt.  Asks the
supervisor a few times a second who is there, only while somebody's next life is awaited.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actors.console.attach import NotAttached

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.console.attach import Attached
    from actors.console.orders import Census, Tap

_LOOK: Final = 0.25  #: seconds between two looks
_Life = tuple[str, int]  # name and generation of an actor


class NextLives:
    """Waits for the next lives of actors, and taps them."""

    def __init__(
        self,
        enter: Callable[[], Attached],
        order: Tap,
        seen: Callable[[Census], None],
        gone: Callable[[str, int], None],
    ) -> None:
        """Wait for nobody yet.

        Args:
            enter: attaches to the farm once more.
            order: what the next life is told.
            seen: takes who is there, before any of them is told.
            gone: takes name and generation of an actor that has no next life: nobody misses it.
        """
        self._enter, self._order, self._seen, self._gone = enter, order, seen, gone
        self._news: queue.Queue[tuple[_Life, bool] | None] = queue.Queue()  # whether it lives; None: enough
        self._thread = threading.Thread(target=self._wait, name="next lives", daemon=True)
        self._thread.start()

    def lives(self, name: str, generation: int) -> None:
        """An actor is tapped in this life of it."""
        self._news.put(((name, generation), True))

    def died(self, name: str, generation: int) -> None:
        """This life of an actor is over."""
        self._news.put(((name, generation), False))

    def close(self) -> None:
        """Wait for nobody any more."""
        self._news.put(None)
        self._thread.join()

    def _wait(self) -> None:
        dead: dict[str, int] = {}
        while True:
            with suppress(queue.Empty):
                news = self._news.get(timeout=_LOOK if dead else None)
                if news is None:
                    return
                (name, generation), alive = news
                if alive:
                    dead.pop(name, None)
                else:
                    dead[name] = generation
            if dead and self._news.empty():
                with suppress(NotAttached), self._enter() as farm:  # else it may come back
                    self._look(farm, dead)

    def _look(self, farm: Attached, dead: dict[str, int]) -> None:
        """Tell those that live again, and give up those that nobody misses."""
        census = farm.census()
        self._seen(census)
        for here in census.here:
            if dead.get(here.name, here.generation) != here.generation:
                farm.tell(here, self._order)  # again and again until it says so: it may die before it has heard
        for name in dead.keys() - {here.name for here in census.here} - {name for name, _ in census.absent}:
            self._gone(name, dead.pop(name))

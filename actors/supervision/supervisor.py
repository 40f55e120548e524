"""Starts every actor, knows where each lives, and starts again what died.

The decisions are `actors.core.supervision.lives`'s.  Never opens a database or slave socket: its children would inherit
it.  `actors.wiring` starts it and watches its process; when it dies, everything below dies with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, assert_never

from actors.addressed import Alive, FarmAwaited, FarmUp, Fork, Here, QueueMoved, SettingsChanged, Start
from actors.console.orders import Census, Silence, WhoIsHere
from actors.core.supervision.events import (
    AnnounceQueue,
    Begun,
    BuildersSeen,
    ChangeBuilder,
    Ended,
    Event,
    GoneRecorded,
    Order,
    QueueUp,
    ReportGone,
    RetireBuilder,
    StartBuilder,
    StartNursery,
    StartQueue,
    TimePassed,
    WakeUp,
)
from actors.core.supervision.lives import QUEUE, Life, Standing, Supervision
from actors.messages import BuilderChanged, BuilderGone, BuildersKnown, ChildGone, Crashed, GoneNoted, Retire
from actors.supervision.parent import Parent
from actors.system import signs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from thespian.actors import ActorAddress

    from actors.supervision.children import Child
    from storage.records import Builder


class Supervisor(Parent):
    """The root of the tree of actors."""

    obeys_sigterm = True
    exit_within = 4.0

    def begin(self, start: Start) -> None:
        """Start the queue actor; it says which builders there are."""
        super().begin(start)
        farm = start.settings
        self._core = Supervision(farm.crashes, farm.crash_window_seconds, farm.builders_per_nursery)
        self._slots = signs.Slots()
        self._registry: dict[str, Here] = {}
        self._builders_known = False
        self._awaiting: list[ActorAddress] = []
        self._do(Begun(time.monotonic()))

    def receive(self, message: object, sender: ActorAddress) -> None:
        """Turn messages into events of the core, and answer the console and the wiring."""
        now = time.monotonic()
        match message:
            case Here():
                self._here(message, now)
            case BuildersKnown(builders):
                self._builders_known = True
                self._seen(builders, now)
            case BuilderChanged(builder):
                self._seen((*self._others(builder.name), builder), now)
            case Retire(builder):
                self._seen(self._others(builder), now)
            case Crashed():
                self.children.last_words(message)
            case ChildGone():
                self._gone(message.builder, message.generation, message.reason, now)
            case GoneNoted():
                self._do(GoneRecorded(message.builder, message.generation, now))
            case WhoIsHere():
                self.tell(sender, self._census())
            case FarmAwaited():
                self._awaiting.append(sender)
            case Alive():
                self.tell(sender, message)
            case SettingsChanged():
                self._take_up(message)
                self.tell(sender, Alive())
            case _:
                self.log.warning("%s is not for the supervisor", type(message).__name__)
        self._answer_waiting()

    def child_ended(self, child: Child) -> None:
        """The queue actor or a nursery ended."""
        self._gone(child.name, child.generation, child.reason, time.monotonic())
        self._answer_waiting()

    def time_came(self) -> None:
        """Start again what was held."""
        self._do(TimePassed(time.monotonic()))

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return where every actor stands."""
        return tuple(
            (
                name,
                f"{life.standing}, generation {life.generation}" + (f", {life.last_reason}" * bool(life.last_reason)),
            )
            for name, life in self._core.lives.items()
        )

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        """Who lives is decided in one core; who hangs is not told."""
        self._core = wrap("supervision", self._core)

    # --- events -----------------------------------------------------------------------------------

    def _take_up(self, changed: SettingsChanged) -> None:
        farm = changed.settings
        self._core.crashes, self._core.window = farm.crashes, farm.crash_window_seconds
        self._core.builders_per_nursery = farm.builders_per_nursery
        self.change_settings(changed)

    def _here(self, here: Here, now: float) -> None:
        life = self._core.lives.get(here.name)
        if life is None or life.generation != here.generation:
            return
        self._registry[here.name] = here
        if here.name == QUEUE:
            self._do(QueueUp(here.generation, now))

    def _others(self, name: str) -> tuple[Builder, ...]:
        return tuple(builder for builder in self._core.builders.values() if builder.name != name)

    def _seen(self, builders: tuple[Builder, ...], now: float) -> None:
        self._do(BuildersSeen(builders, now))

    def _gone(self, name: str, generation: int, reason: str, now: float) -> None:
        here = self._registry.get(name)
        if here is not None and here.generation == generation:
            del self._registry[name]
        if name in self._core.nurseries:
            for builder in [one for one, nursery in self._core.nursery_of.items() if nursery == name]:
                self._registry.pop(builder, None)
        life = self._core.lives.get(name)
        retiring = life is not None and life.standing is Standing.RETIRING
        if not retiring:
            about = {"builder": name} if name in self._core.nursery_of else {}
            self.log.warning("%s, generation %d, ended: %s", name, generation, reason, extra=about)
        self._do(Ended(name, generation, reason, now))

    # --- orders -----------------------------------------------------------------------------------

    def _do(self, event: Event) -> None:
        self._notes.heard(event.at, event)
        orders = self._core.handle(event)
        self._notes.answered(orders)
        for order in orders:
            self._obey(order)

    def _obey(self, order: Order) -> None:
        match order:
            case StartQueue(generation):
                self.queue = self.fork(self._cast.queue, self._start_message(QUEUE, QUEUE, generation))
            case StartNursery(nursery, generation):
                self.fork(self._cast.nursery, self._start_message(nursery, "nursery", generation))
            case StartBuilder(nursery, builder, generation):
                start = self._start_message(builder.name, "builder", generation, builder)
                self.tell_child(nursery, Fork(start))
            case ChangeBuilder(nursery, builder):
                self.tell_child(nursery, BuilderChanged(builder))
            case RetireBuilder(nursery, name):
                self.tell_child(nursery, Retire(name))
            case AnnounceQueue():
                for nursery in self._core.nurseries:
                    self.tell_child(nursery, QueueMoved(self.queue))
            case ReportGone(builder=name, generation=generation, failnotes=failnotes):
                self.tell_child(QUEUE, BuilderGone(name, generation, failnotes))
            case WakeUp(after):
                self.wake_after(after)
            case _:
                assert_never(order)

    def _start_message(self, name: str, kind: str, generation: int, builder: Builder | None = None) -> Start:
        queue = self.queue if kind == "builder" else None
        slot = self._slots.give(name, lambda one: self._core.lives[one].standing is not Standing.GONE)
        return Start(name, kind, generation, self.settings, self._cast, self.myAddress, queue, builder, slot)

    # --- answers ----------------------------------------------------------------------------------

    def _census(self) -> Census:
        myself = Here(self.name, self.kind, self.generation, self.pid, self.myAddress)
        absent = tuple(
            (name, _absence(life))
            for name, life in self._core.lives.items()
            if name not in self._registry and life.standing is not Standing.GONE
        )
        here = sorted(self._registry.values(), key=_by_kind)
        return Census((myself, *here), tuple(self._silences(here)), absent, tuple(self._core.nursery_of.items()))

    def _silences(self, here: Iterable[Here]) -> Iterator[Silence]:
        page, now = signs.page(), time.monotonic()
        if page is None:
            return
        for one in here:
            sign = page.sign(self._slots[one.name], one.name, one.generation)
            yield Silence(one.name, max(0.0, now - sign.at), sign.excuse)

    def _answer_waiting(self) -> None:
        """Answer `FarmAwaited` once everything that should run does, or the queue actor keeps crashing."""
        if not self._awaiting:
            return
        lives = self._core.lives
        trouble = lives[QUEUE].last_reason if lives[QUEUE].standing is Standing.HELD else ""
        running = {name for name, life in lives.items() if life.standing is Standing.RUNNING}
        if trouble or (self._builders_known and running <= self._registry.keys()):
            for address in self._awaiting:
                self.tell(address, FarmUp(self.pid, self.parent_pid, len(self._core.builders), trouble))
            self._awaiting = []


def _absence(life: Life) -> str:
    words = {Standing.RUNNING: "starting", Standing.HELD: "held after too many crashes"}.get(life.standing, "ending")
    return f"{words}; last crash: {life.last_reason}" if life.last_reason else words


def _by_kind(here: Here) -> tuple[int, str]:
    return ("queue", "nursery", "builder").index(here.kind), here.name

"""Who lives, who is started again, and when: the supervisor's decisions (dispatch-rules §6, architecture §7).

Knows names, generations and crash times; no process, address or clock.  The shells `actors.supervision.supervisor` and
`actors.supervision.nursery` obey the orders and report every end of an actor, as often as they hear of it: an end counts once,
for the generation that it was of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

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
from actors.core.supervision.intensity import Intensity

if TYPE_CHECKING:
    from storage.records import Builder

WITHOUT_A_WORD = "process ended without a word (signal?)"  #: reason of an end that no `Crashed` came before
QUEUE = "queue"  #: name of the queue actor
MOST_UNRECORDED: Final = (
    8  #: reports of one builder's crashes that are kept while the database is away, for days perhaps
)


class Standing(StrEnum):
    """Where an actor stands in its lives."""

    RUNNING = "RUNNING"
    HELD = "HELD"  #: crashed too often; started again at `held_until`
    RETIRING = "RETIRING"  #: told to exit
    GONE = "GONE"  #: builder: not registered; its generation is remembered


@dataclass(slots=True)
class Life:
    """One name, through all its lives."""

    standing: Standing = Standing.GONE
    generation: int = 0
    held_until: float = 0.0
    crashes: Intensity = field(default_factory=Intensity)
    last_reason: str = ""  #: of the last crash; for people

    def begin(self) -> int:
        """Start the next life and return its generation."""
        self.standing = Standing.RUNNING
        self.generation += 1
        return self.generation


@dataclass(slots=True)
class Supervision:
    """Crash history and generation of every actor below the supervisor, and the verdict on each end."""

    crashes: int = 3  #: more of them …
    window: float = 60.0  #: … in so many seconds: not restarted until the window has passed
    builders_per_nursery: int = 32
    lives: dict[str, Life] = field(default_factory=dict)  #: by name; builders have their own names
    builders: dict[str, Builder] = field(default_factory=dict)  #: registered, as last seen
    nursery_of: dict[str, str] = field(default_factory=dict)  #: builder → nursery; also while it is retiring
    nurseries: list[str] = field(default_factory=list)
    queue_up: bool = False
    unrecorded: list[ReportGone] = field(default_factory=list)  #: until the queue actor says that it has each
    dropped: dict[str, int] = field(default_factory=dict)  #: builder → crashes that no report tells of any more

    def handle(self, event: Event) -> tuple[Order, ...]:
        """Return the orders that `event` calls for, in the order to obey them."""
        match event:
            case Begun():
                return (StartQueue(self._life(QUEUE).begin()),)
            case BuildersSeen():
                return self._seen(event)
            case QueueUp():
                return self._queue_up(event)
            case Ended():
                return self._ended(event)
            case GoneRecorded(builder, generation):
                done = (builder, generation)
                self.unrecorded = [one for one in self.unrecorded if (one.builder, one.generation) != done]
                if all(one.builder != builder for one in self.unrecorded):
                    self.dropped.pop(builder, None)
                return ()
            case TimePassed():
                return self._time_passed(event.at)
            case _:
                assert_never(event)

    def _life(self, name: str) -> Life:
        return self.lives.setdefault(name, Life())

    # --- the queue actor --------------------------------------------------------------------------

    def _queue_up(self, event: QueueUp) -> tuple[Order, ...]:
        if event.generation != self._life(QUEUE).generation:
            return ()
        self.queue_up = True
        # Reports first: a builder that hears of the new queue actor says that all is well again.  What the old one
        # was told and did not acknowledge may have died with it, or hung for long.
        # Whoever was started in the first one's time knows its address.
        return (*self.unrecorded, *([AnnounceQueue()] if event.generation > 1 else []))

    # --- builders come, change, go ----------------------------------------------------------------

    def _seen(self, event: BuildersSeen) -> tuple[Order, ...]:
        if event.builders == tuple(self.builders.values()):
            return ()  # as at nearly every reading of everything
        orders: list[Order] = []
        before, self.builders = self.builders, {builder.name: builder for builder in event.builders}
        for name in before.keys() - self.builders.keys():
            orders += self._retire(name)
        for name, builder in self.builders.items():
            was = before.get(name)
            if was is None:
                orders += self._admit(builder)
            elif was is not builder and was != builder and self._life(name).standing is Standing.RUNNING:
                orders.append(ChangeBuilder(self.nursery_of[name], builder))
        return tuple(orders)

    def _retire(self, name: str) -> list[Order]:
        life = self._life(name)
        if life.standing is Standing.RUNNING:
            life.standing = Standing.RETIRING
            return [RetireBuilder(self.nursery_of[name], name)]
        if life.standing is Standing.HELD:
            self._forget(name)
        return []

    def _forget(self, name: str) -> None:
        self._life(name).standing = Standing.GONE
        self.nursery_of.pop(name, None)

    def _admit(self, builder: Builder) -> list[Order]:
        life = self._life(builder.name)
        if life.standing is Standing.RETIRING:
            return []  # registered again while its actor still exits: started when that has ended
        orders: list[Order] = []
        nursery = self._room()
        if nursery is None:
            nursery = f"nursery-{len(self.nurseries) + 1}"
            self.nurseries.append(nursery)
            orders.append(StartNursery(nursery, self._life(nursery).begin()))
        self.nursery_of[builder.name] = nursery
        life.crashes.forget()
        orders += self._start(builder.name)
        return orders

    def _room(self) -> str | None:
        taken = list(self.nursery_of.values())
        return next((name for name in self.nurseries if taken.count(name) < self.builders_per_nursery), None)

    def _start(self, name: str) -> list[Order]:
        """Start a builder's actor, or leave it to the restart of its nursery."""
        life, nursery = self._life(name), self.nursery_of[name]
        if self._life(nursery).standing is Standing.HELD:
            life.standing, life.held_until = Standing.HELD, self._life(nursery).held_until
            return []
        return [StartBuilder(nursery, self.builders[name], life.begin())]

    # --- ends and restarts ------------------------------------------------------------------------

    def _ended(self, event: Ended) -> tuple[Order, ...]:
        life = self.lives.get(event.name)
        if life is None or event.generation != life.generation:
            return ()
        match life.standing:
            case Standing.RUNNING:
                return self._crashed(event, life)
            case Standing.RETIRING:
                self._forget(event.name)
                return tuple(self._admit(self.builders[event.name])) if event.name in self.builders else ()
            case Standing.HELD | Standing.GONE:
                return ()  # told before
            case _:
                assert_never(life.standing)

    def _crashed(self, event: Ended, life: Life) -> tuple[Order, ...]:
        life.last_reason = event.reason
        held = life.crashes.too_often(event.at, limit=self.crashes, window=self.window)
        orders: list[Order] = []
        if event.name == QUEUE:
            self.queue_up = False
        elif event.name in self.nursery_of:
            orders += self._report(event, held=held)
        if not held:
            return (*orders, *self._restart(event.name, event.at))
        life.standing, life.held_until = Standing.HELD, event.at + self.window
        if event.name in self.nurseries:
            self._hold_builders_of(event.name, life.held_until)
        return (*orders, WakeUp(self.window))

    def _report(self, event: Ended, *, held: bool) -> list[Order]:
        notes = f"actor of the builder crashed: {event.reason}"
        if held:
            notes += f"; {self.crashes + 1} crashes in {self.window:g} s: started again when these have passed"
        if dropped := self._make_room(event.name):
            notes += f"; {dropped} crashes before that are not written down: the database was away"
        report = ReportGone(event.name, event.generation, notes)
        self.unrecorded.append(report)
        return [report] if self.queue_up else []

    def _make_room(self, builder: str) -> int:
        """Drop the oldest of too many reports of one builder; return how many of its were dropped by now."""
        kept = [one for one in self.unrecorded if one.builder == builder]
        if len(kept) >= MOST_UNRECORDED:
            self.unrecorded.remove(kept[0])
            self.dropped[builder] = self.dropped.get(builder, 0) + 1
        return self.dropped.get(builder, 0)

    def _restart(self, name: str, at: float) -> list[Order]:
        if name == QUEUE:
            return [StartQueue(self._life(QUEUE).begin())]
        if name in self.nursery_of:
            return self._start(name)
        # A nursery: its builders died with it, and none of them is to blame.
        orders: list[Order] = [StartNursery(name, self._life(name).begin())]
        for builder in [one for one, nursery in self.nursery_of.items() if nursery == name]:
            life = self._life(builder)
            if builder not in self.builders:
                self._forget(builder)
            elif life.standing is not Standing.HELD or life.held_until <= at:
                orders += self._start(builder)
        return orders

    def _hold_builders_of(self, nursery: str, until: float) -> None:
        for builder in [one for one, home in self.nursery_of.items() if home == nursery]:
            if builder in self.builders:
                life = self._life(builder)
                life.standing, life.held_until = Standing.HELD, max(until, life.held_until)
            else:
                self._forget(builder)

    def _time_passed(self, at: float) -> tuple[Order, ...]:
        orders: list[Order] = []
        held = [name for name, life in self.lives.items() if life.standing is Standing.HELD]
        for name in sorted(held, key=lambda one: one in self.nursery_of):  # nurseries before their builders
            life = self.lives[name]
            if life.standing is Standing.HELD and life.held_until <= at:
                orders += self._restart(name, at)
        waiting = [life.held_until - at for life in self.lives.values() if life.standing is Standing.HELD]
        if waiting:
            orders.append(WakeUp(min(waiting)))
        return tuple(orders)

"""The supervisor and its nurseries without Thespian: obeys the real core (`actors.core.supervision.lives`)."""

from __future__ import annotations

from typing import Final, assert_never

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
from actors.core.supervision.lives import QUEUE, Standing, Supervision
from actors.messages import BuilderChanged, BuilderGone, BuildersKnown, GoneNoted
from simulation.environment.ground import Ground
from simulation.farm.builder import VirtualBuilder
from simulation.farm.queue import VirtualQueue
from storage.records import Builder

FORKING: Final = 0.03  #: seconds that the start of an actor takes
NOTICED: Final = 0.005  #: seconds until the end of a process is noticed
STAMP: Final = 15.0  #: seconds after which an actor that does nothing is killed (dispatch-rules §8)


class VirtualSupervisor:
    """One life of the supervisor, and of all below it.

    Attributes:
        actors: builders' actors that live, by name.
        queue: the queue actor; None: it is being started.
    """

    def __init__(self, ground: Ground) -> None:
        """Begin its life; `begin` starts the queue actor."""
        self.actors: dict[str, VirtualBuilder] = {}
        self.queue: VirtualQueue | None = None
        self.core = Supervision()
        self._ground = ground
        self._agenda = ground.agenda
        self._alive = True

    def begin(self) -> None:
        """Start everything."""
        self._do(Begun(self._agenda.now))

    def kill(self) -> None:
        """End its process, and all below it."""
        self._alive = False
        if self.queue is not None:
            self.queue.kill()
        for actor in self.actors.values():
            actor.kill()
        self.actors.clear()

    def receive(self, message: object) -> None:
        """Take a message of the queue actor."""
        if not self._alive:
            return
        match message:
            case BuildersKnown(builders):
                self._seen(builders)
            case BuilderChanged(builder):
                others = (one for one in self.core.builders.values() if one.name != builder.name)
                self._seen((*others, builder))
            case GoneNoted(builder, generation):
                self._do(GoneRecorded(builder, generation, self._agenda.now))
            case _:
                raise AssertionError(f"{message!r} is not for the supervisor")

    def crash(self, name: str, reason: str) -> None:
        """Let a builder's actor crash."""
        actor = self.actors.get(name)
        if actor is not None and actor.alive:
            actor.kill()
            self.ended(name, actor.generation, reason)

    def crash_queue(self, reason: str) -> None:
        """Let the queue actor crash."""
        if self.queue is not None and self.queue.alive:
            self.queue.kill()
            self.ended(QUEUE, self.core.lives[QUEUE].generation, reason)

    def crash_nursery(self, builder: str, reason: str) -> None:
        """Let the nursery of a builder crash: its builders' actors end with it."""
        nursery = self.core.nursery_of.get(builder)
        if nursery is None:
            return
        for name, home in self.core.nursery_of.items():
            if home == nursery and name in self.actors:
                self.actors.pop(name).kill()
        self.ended(nursery, self.core.lives[nursery].generation, reason)

    def hang(self, name: str, seconds: float) -> None:
        """Let a builder's actor do nothing for a while; its nursery kills it when its stamp is old."""
        actor = self.actors.get(name)
        if actor is None:
            return
        actor.hang()
        if seconds >= STAMP:
            self._agenda.after(STAMP, self._kill_hung, actor)
        else:
            self._agenda.after(seconds, actor.go_on)

    def _kill_hung(self, actor: VirtualBuilder) -> None:
        if self.actors.get(actor.name) is actor and actor.alive:
            self.crash(actor.name, f"did nothing for {STAMP:g} s, and was killed")

    def ended(self, name: str, generation: int, reason: str) -> None:
        """A process below ended."""
        self._agenda.after(NOTICED, self._ended, name, generation, reason)

    def _ended(self, name: str, generation: int, reason: str) -> None:
        if not self._alive:
            return
        actor = self.actors.get(name)
        if actor is not None and actor.generation == generation:
            del self.actors[name]
        if name == QUEUE:
            self.queue = None
        self._do(Ended(name, generation, reason, self._agenda.now))

    def _seen(self, builders: tuple[Builder, ...]) -> None:
        self._do(BuildersSeen(builders, self._agenda.now))

    # --- orders -----------------------------------------------------------------------------------

    def _do(self, event: Event) -> None:
        if self._alive:
            for order in self.core.handle(event):
                self._obey(order)

    def _obey(self, order: Order) -> None:
        match order:
            case StartQueue(generation):
                self._agenda.after(FORKING, self._start_queue, generation)
            case StartNursery():
                pass  # its builders are ordered one by one
            case StartBuilder() | ChangeBuilder() | RetireBuilder():
                self._obey_for_builder(order)
            case AnnounceQueue():
                for name, actor in self.actors.items():
                    if self.queue is not None:
                        self._ground.mail.send(f"supervisor>{name}", actor.queue_replaced, self.queue)
            case ReportGone(builder=name, generation=generation, failnotes=failnotes):
                if self.queue is not None:
                    gone = BuilderGone(name, generation, failnotes)
                    self._ground.mail.send("supervisor>queue", self.queue.receive, gone)
            case WakeUp(after):
                self._agenda.after(after, self._woken)
            case _:
                assert_never(order)

    def _obey_for_builder(self, order: StartBuilder | ChangeBuilder | RetireBuilder) -> None:
        match order:
            case StartBuilder(_, builder, generation):
                self._agenda.after(FORKING, self._start_builder, builder, generation)
            case ChangeBuilder(_, builder):
                if builder.name in self.actors:
                    self._ground.mail.send(f"supervisor>{builder.name}", self.actors[builder.name].row_changed, builder)
            case RetireBuilder(_, name):
                if name in self.actors:
                    self._ground.mail.send(f"supervisor>{name}", self.actors[name].retire)
                elif self.core.lives[name].standing is Standing.RETIRING:  # it is being started
                    self._agenda.after(2 * FORKING, self._obey_for_builder, order)
            case _:
                assert_never(order)

    def _woken(self) -> None:
        self._do(TimePassed(self._agenda.now))

    def _start_queue(self, generation: int) -> None:
        if not self._alive or generation != self.core.lives[QUEUE].generation:
            return
        self.queue = VirtualQueue(self._ground, self.receive)
        self.queue.begin()
        self._do(QueueUp(generation, self._agenda.now))

    def _start_builder(self, builder: Builder, generation: int) -> None:
        life = self.core.lives.get(builder.name)
        if not self._alive or life is None or life.generation != generation or life.standing is Standing.GONE:
            return
        latest = self.core.builders.get(builder.name, builder)  # what was changed meanwhile waits in its mailbox
        self.actors[builder.name] = VirtualBuilder(self._ground, latest, generation, self.queue, self.ended)

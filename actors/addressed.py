"""What goes up and down the tree of actors: messages that carry their addresses, or the farm's settings.

Everything else that actors say to each other is in `actors.messages`, where ids are names; what a console says to them
is in `actors.console.orders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thespian.actors import ActorAddress

    from actors.settings import Settings
    from storage.records import Builder


@dataclass(frozen=True, slots=True)
class Cast:
    """Which classes play which part, by dotted name; tests put in others."""

    queue: str = "actors.queue.actor.QueueActor"
    nursery: str = "actors.supervision.nursery.BuilderNursery"
    builder: str = "actors.builder.actor.BuilderActor"


@dataclass(frozen=True, slots=True)
class Start:
    """First message to every actor, from its parent: who you are, and whom you may need."""

    name: str  #: unique in the farm: `supervisor`, `queue`, `nursery-1`, or the builder's name
    kind: str  #: `supervisor`, `queue`, `nursery`, `builder`
    generation: int  #: number of this life
    settings: Settings
    cast: Cast = Cast()
    supervisor: ActorAddress | None = None  #: None to the supervisor itself
    queue: ActorAddress | None = None  #: to builders
    builder: Builder | None = None  #: to builders: their row
    slot: int = 0  #: in the page of signs of life (`actors.system.signs`)


@dataclass(frozen=True, slots=True)
class Here:
    """Answer to `Start`, to the parent, which tells the supervisor: this actor lives."""

    name: str
    kind: str
    generation: int
    pid: int
    address: ActorAddress


@dataclass(frozen=True, slots=True)
class Fork:
    """Supervisor to nursery: fork a builder's actor and hand it this."""

    start: Start


@dataclass(frozen=True, slots=True)
class QueueMoved:
    """The queue actor was restarted and lives at a new address."""

    queue: ActorAddress


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Wiring to supervisor, which answers `Alive`, and from there down the tree: these are the settings now."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class FarmAwaited:
    """Wiring to supervisor: say when every actor runs."""


@dataclass(frozen=True, slots=True)
class FarmUp:
    """Answer to `FarmAwaited`."""

    supervisor_pid: int
    admin_pid: int
    builders: int
    trouble: str  #: not empty: the queue actor crashes, the farm will not come up; its last words


@dataclass(frozen=True, slots=True)
class Alive:
    """Wiring to supervisor: are you there?  Its answer is the same."""

"""What the debug console asks of any actor, or of the supervisor, beside the farm's own messages; and the answers.

Handled by `actors.farm_actor` itself, also while the actor is frozen, and never by a subclass.  The console's side is
`console/`; nobody else sends these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thespian.actors import ActorAddress

    from actors.addressed import Here
    from actors.core.supervision.hangs import Excuse


class OfTheConsole:
    """What a console and an actor say to each other: no part of what a tap is for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ConsoleOrder(OfTheConsole):
    """What the base of all actors obeys; by being one of these it needs no place in any list."""


@dataclass(frozen=True, slots=True)
class Freeze(ConsoleOrder):
    """Hold the mailbox and read from no socket, until `Thaw` or so many seconds have passed; answered with `Held`."""

    seconds: float
    who: str


@dataclass(frozen=True, slots=True)
class Thaw(ConsoleOrder):
    """Handle what was held, and everything again from now on; answered with `Held`."""

    who: str


@dataclass(frozen=True, slots=True)
class StepOn(ConsoleOrder):
    """Frozen: handle the oldest message that is held, or else what the sockets have; answered with `Held`."""

    who: str


@dataclass(frozen=True, slots=True)
class Held(OfTheConsole):
    """Answer to `Freeze`, `Thaw` and `StepOn`."""

    name: str
    generation: int
    seconds: float | None  #: until it thaws by itself; None: it is not frozen
    waiting: tuple[str, ...]  #: types of the messages that are held, oldest first
    handled: str = ""  #: by a step or a thaw, in words
    refused: str = ""  #: why nothing was done


@dataclass(frozen=True, slots=True)
class TellStory(ConsoleOrder):
    """Tell what the core heard and answered lately; answered with `Told`."""


@dataclass(frozen=True, slots=True)
class Told(OfTheConsole):
    """Answer to `TellStory`."""

    name: str
    generation: int
    now: float  #: monotonic seconds, as the story's
    lines: tuple[str, ...]  #: the oldest first


@dataclass(frozen=True, slots=True)
class Tap(ConsoleOrder):
    """Copy messages, and if asked for what cores hear and answer, to a TCP port of loopback, as JSON lines."""

    port: int
    secret: str  #: the first line there, so that who listens knows that it is one of us
    types: frozenset[str] = frozenset()  #: only messages of these types; empty: all
    cores: bool = False  #: also events and orders of the cores, whole, and what they know when it begins


@dataclass(frozen=True, slots=True)
class Untap(ConsoleOrder):
    """No more copies to this port."""

    port: int


@dataclass(frozen=True, slots=True)
class WhoIsHere(OfTheConsole):
    """Console to supervisor: which actors are there?"""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long an actor has given no sign of life."""

    name: str
    seconds: float
    excuse: Excuse  #: what it waits for


@dataclass(frozen=True, slots=True)
class Census(OfTheConsole):
    """Answer to `WhoIsHere`."""

    here: tuple[Here, ...]  #: the supervisor first
    silent: tuple[Silence, ...]  #: of those, without the supervisor, which speaks
    absent: tuple[tuple[str, str], ...]  #: names of those that should be here and are not, and why
    nursery_of: tuple[tuple[str, str], ...] = ()  #: builder, nursery


@dataclass(frozen=True, slots=True)
class Injected:
    """A person's message from the console, handled as if `sender` had sent it."""

    message: object
    sender: ActorAddress | None  #: None: answers go to the console
    who: str

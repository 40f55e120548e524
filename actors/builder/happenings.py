"""What a link to a slave, of either dialect, yields to the builder's actor (`actors.builder.actor`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from certificates.identity import Shown
from protocol.messages import SlaveMessage


@dataclass(frozen=True, slots=True)
class Up:
    """The connection stands; nothing was said."""

    shown: Shown | None = None  #: by the slave; None over plain TCP
    now: datetime | None = None  #: when, by this machine's clock


@dataclass(frozen=True, slots=True)
class Down:
    """It could not be made, or it broke; the socket is closed."""

    reason: str  #: in words
    lied: bool = False  #: the slave broke the protocol
    unfit: bool = False  #: it is no slave of ours; `reason` goes on after "the slave at …"


@dataclass(frozen=True, slots=True)
class Heard:
    """The slave said something."""

    message: SlaveMessage


@dataclass(frozen=True, slots=True)
class OwnFaultFound:
    """This master can't serve an attempt: nobody else's fault."""

    attempt: UUID
    text: str


Happening = Up | Down | Heard | OwnFaultFound

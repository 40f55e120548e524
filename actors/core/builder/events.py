"""What happens to one builder's actor; the other half, what its core orders, is `actors.core.builder.orders`.

Events are in the past tense and carry the monotonic second at which the shell noticed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from actors.core.timers import Timers
from actors.messages import (
    Adopt,
    Assign,
    Cancel,
    Disown,
    FencedOff,
    Recorded,
    ResultStored,
    SessionOpened,
)
from certificates.identity import Shown
from protocol.messages import SlaveMessage
from storage.records import Builder, StoredFile

FromQueueMessage = SessionOpened | Assign | Adopt | Disown | Cancel | Recorded | FencedOff


@dataclass(frozen=True, slots=True)
class Begun:
    """The actor has begun its life."""

    at: float


@dataclass(frozen=True, slots=True)
class QueueSaid:
    """The queue actor sent a message."""

    at: float
    message: FromQueueMessage


@dataclass(frozen=True, slots=True)
class QueueReplaced:
    """The queue actor was restarted and knows only what the database says: report again."""

    at: float


@dataclass(frozen=True, slots=True)
class RowChanged:
    """The builder's row was changed; this is the whole of it."""

    at: float
    builder: Builder


@dataclass(frozen=True, slots=True)
class TimersChanged:
    """The farm's settings were read again: what is set from now on takes these times."""

    at: float
    timers: Timers


@dataclass(frozen=True, slots=True)
class Retired:
    """The builder is no longer registered."""

    at: float


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection that `Connect` ordered stands; nothing was said."""

    at: float
    shown: Shown | None = None  #: what the slave has shown; None: it is plain TCP
    now: datetime | None = None  #: by this machine's clock, where something was shown


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """It could not be made, or it broke.  Not told of a `Disconnect` that was ordered."""

    at: float
    reason: str  #: the socket's error in words, as `connection refused`
    lied: bool = False  #: the slave broke the protocol, `reason` says how
    unfit: bool = False  #: it is no slave of ours; `reason` goes on after "the slave at …"


@dataclass(frozen=True, slots=True)
class SlaveSaid:
    """The slave sent a message."""

    at: float
    message: SlaveMessage


@dataclass(frozen=True, slots=True)
class TimeCame:
    """`deadline` of the core has come (or not quite: it may come at any time)."""

    at: float


@dataclass(frozen=True, slots=True)
class LogOpened:
    """Answer to `OpenLog`."""

    at: float
    attempt: UUID
    size: int  #: bytes that are there already


@dataclass(frozen=True, slots=True)
class LogKept:
    """Answer to `KeepLog`."""

    at: float
    attempt: UUID
    log: ResultStored | None  #: None: nothing was ever written


@dataclass(frozen=True, slots=True)
class ResultKept:
    """Answer to `KeepResult`: what was received is in the librarian."""

    at: float
    attempt: UUID
    name: str
    content: StoredFile


@dataclass(frozen=True, slots=True)
class ResultSpoilt:
    """Answer to `KeepResult`: what was received is not what was announced; nothing was stored."""

    at: float
    attempt: UUID
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ChangesRead:
    """Answer to `ReadChanges`."""

    at: float
    attempt: UUID
    content: bytes


@dataclass(frozen=True, slots=True)
class ControlRead:
    """Answer to `ReadControl`."""

    at: float
    attempt: UUID
    name: str
    content: bytes  #: of the control file
    why: str = ""  #: there is none to be read: goes on after the filename


class Store(StrEnum):
    """What of this machine's own disk an order was about."""

    FILES = "files to push"
    SERVING = "files for slaves to fetch"
    LOG = "log"
    RESULTS = "results"


@dataclass(frozen=True, slots=True)
class LibrarianRefused:
    """This machine's own disk refused an order (full, unreadable, content missing): nobody else's fault."""

    at: float
    attempt: UUID
    store: Store
    text: str


Event = (
    Begun
    | QueueSaid
    | QueueReplaced
    | RowChanged
    | TimersChanged
    | Retired
    | Connected
    | ConnectionEnded
    | SlaveSaid
    | TimeCame
    | LogOpened
    | LogKept
    | ResultKept
    | ResultSpoilt
    | ChangesRead
    | ControlRead
    | LibrarianRefused
)

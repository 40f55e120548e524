"""What happens to one builder's actor, and what its core orders: the two vocabularies of `actors.core.builder.core`.

Events are in the past tense and carry the monotonic second at which the shell noticed them.  Orders are imperative; the
shell obeys them in the order given.  Those that touch files or sockets answer with a later event, named below.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from actors.core.builder.fit import Dialect
from actors.core.timers import Timers
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    BuilderTroubled,
    Cancel,
    DiskRefused,
    Disown,
    FencedOff,
    Finished,
    GatheringStarted,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    ResultStored,
    RuntimeChanged,
    SessionOpened,
    SessionWanted,
    Started,
)
from certificates.identity import Shown
from protocol.messages import MasterMessage, SlaveMessage
from storage.records import Builder, StoredFile

FromQueueMessage = SessionOpened | Assign | Adopt | Disown | Cancel | Recorded | FencedOff
ToQueueMessage = (
    SessionWanted
    | Ready
    | AdoptionWanted
    | Started
    | GatheringStarted
    | Finished
    | JobRefused
    | DiskRefused
    | BuilderTroubled
    | ProbePassed
    | RuntimeChanged
)

# --- events ---------------------------------------------------------------------------------------


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

# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the queue actor."""

    message: ToQueueMessage


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to the slave → `Connected` or `ConnectionEnded`."""

    host: str
    port: int
    tls: bool = False
    dialect: Dialect = Dialect.OURS


@dataclass(frozen=True, slots=True)
class Greet:
    """Say `Hello`; over plain TCP the shell adds the token, which no core ever sees."""

    epoch: int
    farm: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to the slave."""

    message: MasterMessage


@dataclass(frozen=True, slots=True)
class SendChunk:
    """Read bytes of a file in the librarian and send them as `PutChunk` (→ `LibrarianRefused` if they can't be read)."""

    attempt: UUID
    sha256: str
    offset: int
    length: int  #: bytes, at most `protocol.messages.CHUNK`


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection, or give up making it."""

    reason: str


@dataclass(frozen=True, slots=True)
class ShowPush:
    """Leave a note of how far a push has come, for people who watch."""

    attempt: UUID
    name: str
    sent: int  #: bytes that the slave has acknowledged
    size: int  #: bytes


@dataclass(frozen=True, slots=True)
class OpenLog:
    """Open the attempt's log for appending → `LogOpened`."""

    attempt: UUID
    fresh: bool  #: True: what an earlier try of this attempt left is dropped


@dataclass(frozen=True, slots=True)
class AppendLog:
    """Write bytes of the log at their place (→ `LibrarianRefused` if they can't be written)."""

    attempt: UUID
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class KeepLog:
    """Compress the log into the librarian → `LogKept` or `LibrarianRefused`."""

    attempt: UUID
    filename: str  #: to call it


@dataclass(frozen=True, slots=True)
class OpenResult:
    """Expect a result file, dropping what arrived of it before (→ `LibrarianRefused`)."""

    attempt: UUID
    name: str
    sha256: str
    size: int  #: bytes


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Append bytes to the result that was opened last (→ `LibrarianRefused`, which drops what arrived of it)."""

    attempt: UUID
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class KeepResult:
    """Verify and store the result that was opened last → `ResultKept`, `ResultSpoilt` or `LibrarianRefused`."""

    attempt: UUID
    name: str


@dataclass(frozen=True, slots=True)
class ReadChanges:
    """Read a `.changes` file out of the librarian → `ChangesRead` or `LibrarianRefused`."""

    attempt: UUID
    sha256: str


@dataclass(frozen=True, slots=True)
class ReadControl:
    """Get the control file out of a `.deb` in the librarian → `ControlRead` or `LibrarianRefused`, a moment later."""

    attempt: UUID
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """The attempt is over for this actor: drop its half-received result and its notes."""

    attempt: UUID
    log_recorded: bool  #: True: the log is in the librarian and known there; False: its file is all there is, and stays


@dataclass(frozen=True, slots=True)
class Leave:
    """End the actor."""


Order = (
    Tell
    | Connect
    | Greet
    | Send
    | SendChunk
    | Disconnect
    | ShowPush
    | OpenLog
    | AppendLog
    | KeepLog
    | OpenResult
    | WriteResult
    | KeepResult
    | ReadChanges
    | ReadControl
    | LetGo
    | Leave
)

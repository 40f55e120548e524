"""What the core of one builder's actor orders; the other half, what it hears, is `actors.core.builder.events`.

Orders are imperative; the shell obeys them in the order given.  Those that touch files or sockets answer with a later
event, named below.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from actors.core.builder.fit import Dialect
from actors.messages import (
    AdoptionWanted,
    BuilderTroubled,
    DiskRefused,
    Finished,
    GatheringStarted,
    JobRefused,
    ProbePassed,
    Ready,
    RuntimeChanged,
    SessionWanted,
    Started,
)
from protocol.messages import MasterMessage

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

"""What happens to the link to one launchpad-buildd slave, and what its core orders: `actors.core.launchpad.link`.

Events are in the past tense and carry the monotonic second.  Orders are imperative.  `number` tells the calls and
downloads of one link apart, for ever: what comes of one that was dropped is no news.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from protocol.launchpad_buildd.answers import Reply
from protocol.launchpad_buildd.calls import Call
from protocol.messages import MasterMessage, SlaveMessage
from storage.records import BuildOrder

# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A connection is wanted."""

    at: float


@dataclass(frozen=True, slots=True)
class Greeted:
    """The session may be opened."""

    at: float
    epoch: int
    farm: str  #: UUID


@dataclass(frozen=True, slots=True)
class Asked:
    """The builder's core said something to the slave, in the words of our own protocol."""

    at: float
    message: MasterMessage
    order: BuildOrder | None  #: of the attempt in hand
    dsc: bytes | None = None  #: with `Build`: content of the order's `.dsc`; None: it can't be read


@dataclass(frozen=True, slots=True)
class Replied:
    """A call was answered."""

    at: float
    number: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class PieceCame:
    """Bytes of a download, in order, from the offset asked for."""

    at: float
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnded:
    """A download has ended: all that was asked for came, or there is no more."""

    at: float
    number: int
    there: bool  #: False: there is no such file
    total: int | None  #: bytes of the whole file; None: not said


@dataclass(frozen=True, slots=True)
class Failed:
    """A call or a download came to nothing."""

    at: float
    number: int
    reason: str  #: the socket's error in words, or what was wrong with the answer
    lied: bool = False  #: the slave said what it can't say
    late: bool = False  #: it did not answer within its time


@dataclass(frozen=True, slots=True)
class FilesLookedAt:
    """It was tried whether this master hands out files to slaves."""

    at: float
    number: int
    why: str  #: why it does not; empty: it does


@dataclass(frozen=True, slots=True)
class Reminded:
    """`deadline` has come, or not quite."""

    at: float


LinkEvent = Wanted | Greeted | Asked | Replied | PieceCame | FileEnded | Failed | FilesLookedAt | Reminded

# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MakeCall:
    """Call the slave → `Replied` or `Failed`."""

    number: int
    call: Call
    seconds: float  #: for the whole of it


@dataclass(frozen=True, slots=True)
class Download:
    """Get a file from the slave → `PieceCame`s, then `FileEnded`; or `Failed`."""

    number: int
    path: str
    offset: int
    most: int  #: bytes
    idle_seconds: float  #: without a byte


@dataclass(frozen=True, slots=True)
class LookAtFiles:
    """Try whether this master hands out a file, as a slave would → `FilesLookedAt`."""

    number: int
    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropCall:
    """Nobody waits for this any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Stand:
    """Say that the connection stands."""


@dataclass(frozen=True, slots=True)
class Say:
    """Hand this to the builder's core, as if the slave had said it."""

    message: SlaveMessage


@dataclass(frozen=True, slots=True)
class Part:
    """Say that the connection is gone; nothing is under way any more."""

    reason: str
    lied: bool = False
    unfit: bool = False


@dataclass(frozen=True, slots=True)
class OwnFault:
    """This master can't serve the attempt: nobody else's fault."""

    attempt: UUID
    text: str


LinkOrder = MakeCall | Download | LookAtFiles | DropCall | Stand | Say | Part | OwnFault

"""What the slave's machine is told (events, past tense) and what it asks for (orders, imperative).

Pure, like `slave.core.machine`, which turns the one into the other.  The shells that do so for it are `slave.daemon` and
`simulation.slaves.buildd.slave`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.messages import (
        EnsurePresent,
        Fetch,
        Hello,
        MasterMessage,
        Phase,
        PutChunk,
        ResultFile,
        SlaveMessage,
        WireOutcome,
    )
    from slave.core.build_args import BinaryPackage
    from slave.core.record import Record


# -- events ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class HelloArrived:
    """A peer asked for a session."""

    session: int  #: number of the connection, given by the shell, never used again
    hello: Hello
    token_right: bool  #: the shell compared it, in constant time; over TLS there is none, and none is wrong
    free_disk: int  #: bytes
    at: float  #: monotonic seconds
    fault: str = ""  #: why the certificate that it has shown is no master's of this farm


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """The peer of a session said something."""

    session: int
    message: MasterMessage
    at: float  #: monotonic seconds
    missing: frozenset[str] = frozenset()  #: of a `Build`: the hashes it names that are not in the cache


@dataclass(frozen=True, slots=True)
class SessionLost:
    """A connection ended, whoever ended it."""

    session: int


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """The build came to its next phase."""

    attempt: str
    phase: Phase
    at: float  #: monotonic seconds


@dataclass(frozen=True, slots=True)
class LogGrew:
    """The build's log is now `size` bytes long."""

    attempt: str
    size: int


@dataclass(frozen=True, slots=True)
class BuildEnded:
    """Nothing of the build runs any more."""

    attempt: str
    outcome: WireOutcome
    text: str  #: for people, one line
    at: float  #: monotonic seconds
    files: tuple[ResultFile, ...] = ()
    dependencies: tuple[str, ...] = ()


Event = HelloArrived | MessageArrived | SessionLost | PhaseEntered | LogGrew | BuildEnded


# -- orders ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Send:
    """Say this to the peer of `session`."""

    session: int
    message: SlaveMessage


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Close the connection once what was sent has left."""

    session: int
    why: str


@dataclass(frozen=True, slots=True)
class SaveState:
    """Have this on the disk before the next order."""

    record: Record


@dataclass(frozen=True, slots=True)
class StartBuild:
    """Begin, and answer with `PhaseEntered`, `LogGrew` and at last one `BuildEnded`."""

    attempt: str
    chroot: str  #: sha256; empty for the backend `host`
    files: tuple[tuple[str, str], ...]  #: name, sha256
    args: BinaryPackage


@dataclass(frozen=True, slots=True)
class KillBuild:
    """Kill all that runs for the build; `BuildEnded` follows."""

    attempt: str


@dataclass(frozen=True, slots=True)
class RemoveBuild:
    """Drop results and log."""

    attempt: str


@dataclass(frozen=True, slots=True)
class LookUp:
    """Answer with `Present`: is the file in the cache?"""

    session: int
    request: EnsurePresent


@dataclass(frozen=True, slots=True)
class StoreChunk:
    """Keep it; answer with `ChunkAck` or `PushFailed`."""

    session: int
    chunk: PutChunk


@dataclass(frozen=True, slots=True)
class SendResult:
    """Answer with `FetchData` messages from `fetch.offset` to the end of the file."""

    session: int
    fetch: Fetch


@dataclass(frozen=True, slots=True)
class PushLog:
    """From now on send the log from `offset` on, and what is added to it."""

    session: int
    attempt: str
    offset: int


@dataclass(frozen=True, slots=True)
class KeepCertificate:
    """Show this from the next connection on, if it is one of ours."""

    data: bytes  #: PEM


Order = (
    Send
    | CloseSession
    | SaveState
    | StartBuild
    | KillBuild
    | RemoveBuild
    | LookUp
    | StoreChunk
    | SendResult
    | PushLog
    | KeepCertificate
)

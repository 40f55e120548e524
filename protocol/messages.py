"""Everything master and slave say to each other, one frozen dataclass each.

These are the *wire* messages of our own protocol, version 1; what actors say to each other stands in `actors.messages`.
`protocol.codec` turns them into frames and back, `protocol.connection` says who may send which of them when.

Nothing here does I/O or knows a clock.  Shapes that all messages share:

* `id` numbers a request, chosen by the master, rising within a session; the answer repeats it.
* `attempt` is the UUID of one try of a build, in its 36-character text form.
* `sha256` is 64 lower-case hexadecimal digits.
* names of files are single path components (`protocol.codec` refuses anything else).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

VERSION = 1  #: the protocol version this package speaks
CHUNK = 256 * 1024  #: bytes of file content in one message, at most
WINDOW = 16  #: chunks on their way without an acknowledgement, at most
LOG_BYTES = 512 << 20  #: of one build's log, at most; a slave cuts its logs well below, so that its last words fit
HEARTBEAT_SECONDS = 5.0  #: a side that has sent nothing for so long sends a `Heartbeat`

Arg = str | int | bool | tuple[str, ...]  #: a value in `Build.args`


class SlaveState(StrEnum):
    """What the slave is doing; the transitions stand in `slave.core.machine`."""

    IDLE = "IDLE"
    BUILDING = "BUILDING"
    ABORTING = "ABORTING"
    WAITING = "WAITING"  #: ended, with an outcome; results wait to be fetched, then `Clean`


class Phase(StrEnum):
    """Where a build is; the phase that fails decides the outcome."""

    UNPACK = "UNPACK"
    UPDATE = "UPDATE"
    FETCH_DEPS = "FETCH_DEPS"  #: download only; the last phase with a network
    INSTALL_DEPS = "INSTALL_DEPS"
    BUILD = "BUILD"
    COLLECT = "COLLECT"
    CLEANUP = "CLEANUP"


class WireOutcome(StrEnum):
    """How the slave says that a build ended."""

    OK = "OK"
    PACKAGEFAIL = "PACKAGEFAIL"
    DEPFAIL = "DEPFAIL"
    CHROOTFAIL = "CHROOTFAIL"
    BUILDERFAIL = "BUILDERFAIL"
    GIVENBACK = "GIVENBACK"
    TIMEOUT = "TIMEOUT"  #: the build's own wall-time or silent-log limit
    ABORTED = "ABORTED"


class RefusalCode(StrEnum):
    """Why a slave does not open a session."""

    WRONG_VERSION = "wrong_version"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a code, not a secret
    WRONG_CERTIFICATE = "wrong_certificate"
    WRONG_FARM = "wrong_farm"
    STALE_EPOCH = "stale_epoch"


class RejectionCode(StrEnum):
    """Why a slave does not do what a request asks; nothing at all has changed."""

    NOT_IDLE = "not_idle"
    NOT_CLEAN = "not_clean"
    NOT_BUILDING = "not_building"
    NOT_WAITING = "not_waiting"
    WRONG_ATTEMPT = "wrong_attempt"
    UNKNOWN_BUILD_TYPE = "unknown_build_type"
    MISSING_FILE = "missing_file"
    BAD_ARGS = "bad_args"
    NO_SUCH_FILE = "no_such_file"
    NO_SPACE = "no_space"
    HASH_MISMATCH = "hash_mismatch"
    BAD_OFFSET = "bad_offset"


@dataclass(frozen=True, slots=True)
class Hello:
    """Master to slave, the first frame of a session."""

    versions: tuple[int, ...]  #: protocol versions the master speaks
    farm: str  #: UUID of the farm
    epoch: int  #: session epoch, from the database; must be higher than any the slave has seen
    token: str | None = field(default=None, repr=False)  #: shared secret of loopback sessions; in no log


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result as the slave announces it; the master believes only what it receives."""

    name: str
    size: int  #: bytes
    sha256: str  #: within the master, of a slave of another dialect: its SHA-1, which no frame can carry


@dataclass(frozen=True, slots=True)
class Status:
    """Slave to master: on every change, and as the answer to `Query`."""

    state: SlaveState
    attempt: str | None = None  #: present unless IDLE
    phase: Phase | None = None  #: present while BUILDING
    outcome: WireOutcome | None = None  #: present while WAITING
    text: str = ""  #: for people: why it ended so; one line
    files: tuple[ResultFile, ...] = ()  #: present while WAITING with OK
    dependencies: tuple[str, ...] = ()  #: present with DEPFAIL: relations that could not be satisfied
    duration: float = 0.0  #: seconds since the build was accepted (WAITING: that it took)
    log_size: int = 0  #: bytes of log so far


@dataclass(frozen=True, slots=True)
class Welcome:
    """Slave to master: the session is open."""

    version: int
    slave: str  #: the slave's own name
    architectures: tuple[str, ...]  #: Debian architecture tags it can build for
    build_types: tuple[str, ...]
    backend: str  #: `chroot`, `userns`, `host` or `simulated`
    free_disk: int  #: bytes free for builds and cache
    status: Status


@dataclass(frozen=True, slots=True)
class Refused:
    """Slave to master: no session; the slave closes."""

    code: RefusalCode
    text: str


@dataclass(frozen=True, slots=True)
class Echo:
    """Master to slave: a probe, at most 64 KiB."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EchoReply:
    """Slave to master: the probe's data, unchanged."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EnsurePresent:
    """Master to slave: is this file in your cache?"""

    id: int
    sha256: str
    size: int  #: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """Slave to master: yes; or no, and push from `offset` (what an interrupted push left behind)."""

    id: int
    have: bool
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PutChunk:
    """Master to slave: bytes of a file announced with `EnsurePresent`.  At most `WINDOW` unacknowledged."""

    sha256: str
    offset: int
    data: bytes  #: at most `CHUNK` bytes


@dataclass(frozen=True, slots=True)
class ChunkAck:
    """Slave to master: everything before `offset` is stored.  At `offset == size` the hash was verified as well."""

    sha256: str
    offset: int


@dataclass(frozen=True, slots=True)
class PushFailed:
    """Slave to master: this file will not arrive (no space, wrong hash, bad offset); its chunks so far are dropped."""

    sha256: str
    code: RejectionCode
    text: str


@dataclass(frozen=True, slots=True)
class Build:
    """Master to slave: build this."""

    id: int
    attempt: str
    build_type: str  #: `binarypackage`
    chroot: str  #: sha256 of the chroot tarball; empty for the backend `host`
    files: dict[str, str]  #: name → sha256
    args: dict[str, Arg]  #: see `slave.building.binarypackage`


@dataclass(frozen=True, slots=True)
class Accepted:
    """Slave to master: the request `id` is being done."""

    id: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Slave to master: the request `id` is not done and nothing has changed."""

    id: int
    code: RejectionCode
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """Master to slave: say your `Status`."""

    id: int


@dataclass(frozen=True, slots=True)
class Log:
    """Slave to master: bytes of the build log, in order, from the offset asked for with `LogFrom`."""

    attempt: str
    offset: int
    data: bytes  #: at most `CHUNK` bytes


@dataclass(frozen=True, slots=True)
class LogFrom:
    """Master to slave: push the log of `attempt` from here on.  Without it, a session pushes no log."""

    attempt: str
    offset: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Master to slave: send this result from `offset` to its end, in `FetchData` messages."""

    id: int
    attempt: str
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class FetchData:
    """Slave to master: bytes of a result; `last` on the one that ends it (which may be empty)."""

    id: int
    offset: int
    data: bytes  #: at most `CHUNK` bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Abort:
    """Master to slave: kill the build.  Answered by `Accepted` or `Rejected`; `Status` follows."""

    id: int
    attempt: str


@dataclass(frozen=True, slots=True)
class Clean:
    """Master to slave: drop the results of `attempt` and be IDLE.  Answered by `Accepted` or `Rejected`; `Status` follows."""

    id: int
    attempt: str


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """Master to slave, over TLS: show this one from the next session on; not answered."""

    data: bytes  #: PEM, for the key that the slave has


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Both ways: still here."""

    t: float  #: the sender's monotonic seconds; says nothing about the receiver's


MasterMessage = (
    Hello
    | Echo
    | EnsurePresent
    | PutChunk
    | Build
    | Query
    | LogFrom
    | Fetch
    | Abort
    | Clean
    | NewCertificate
    | Heartbeat
)  #: what a master may send

SlaveMessage = (
    Welcome
    | Refused
    | EchoReply
    | Present
    | ChunkAck
    | PushFailed
    | Accepted
    | Rejected
    | Status
    | Log
    | FetchData
    | Heartbeat
)  #: what a slave may send

Message = MasterMessage | SlaveMessage

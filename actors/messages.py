"""What actors say to each other, console included.

Frozen, slotted dataclasses of plain values, under 10 kB; past tense for facts, imperative for orders.  Each is
idempotent: it may arrive twice.  Files and logs never travel here.  Wire messages to slaves are other types
(`protocol.messages`); `actors.core.builder.core` stands between the two.

`generation` is the life of the builder's actor that speaks or is spoken to; a message of an earlier life is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from storage.records import BinaryPackage, Builder, BuildOrder, NotOkKind, Outcome, RuntimeState, StoredFile

# --- builder actor → queue actor ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionWanted:
    """The builder's actor is about to connect: it needs a session epoch."""

    builder: str
    generation: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The slave is connected, fits, is IDLE and clean: it may get a job."""

    builder: str
    generation: int
    session: int  #: session epoch


@dataclass(frozen=True, slots=True)
class AdoptionWanted:
    """The slave, on connecting, names an attempt: is it still open?"""

    builder: str
    generation: int
    session: int
    attempt: UUID


@dataclass(frozen=True, slots=True)
class Started:
    """The slave accepted `Build`."""

    builder: str
    generation: int
    attempt: UUID


@dataclass(frozen=True, slots=True)
class GatheringStarted:
    """The slave ended its build with OK and its results are being fetched."""

    builder: str
    generation: int
    attempt: UUID


@dataclass(frozen=True, slots=True)
class ResultStored:
    """One result file, verified and in the librarian's store."""

    filename: str
    content: StoredFile


@dataclass(frozen=True, slots=True)
class Finished:
    """The attempt has ended; sent again until `Recorded` or `FencedOff` answers.  Counts as `Ready`."""

    builder: str
    generation: int
    session: int
    attempt: UUID
    outcome: Outcome
    text: str = ""  #: for people, one line
    dependencies: tuple[str, ...] = ()
    results: tuple[ResultStored, ...] = ()
    packages: tuple[BinaryPackage, ...] = ()  #: what the `.deb`s among the results are
    log: ResultStored | None = None
    slave_usable: bool = True  #: False: no next job may be claimed with the answer


@dataclass(frozen=True, slots=True)
class JobRefused:
    """The builder's actor does not start what it was assigned: it does not fit it (trust, generation, state)."""

    builder: str
    generation: int
    attempt: UUID
    why: str


@dataclass(frozen=True, slots=True)
class DiskRefused:
    """This machine's own disk does not take what the attempt leaves; it is tried again, and said again each time."""

    builder: str
    generation: int
    attempt: UUID
    why: str


@dataclass(frozen=True, slots=True)
class BuilderTroubled:
    """The slave can't be used: mark the builder not ok, and lose what nobody follows there.  Idempotent by content."""

    builder: str
    generation: int
    kind: NotOkKind
    failnotes: str  #: for people: address, port, what was said
    attempt: UUID | None = None  #: in hand: its end is still reported, or that it is refused; of no other one it is


@dataclass(frozen=True, slots=True)
class ProbePassed:
    """The slave answers, fits, and is IDLE and clean or holds an adopted build: heal what the machine marked."""

    builder: str
    generation: int


@dataclass(frozen=True, slots=True)
class RuntimeChanged:
    """For `builder_runtime`."""

    builder: str
    generation: int
    state: RuntimeState
    connected: bool


# --- queue actor → builder actor ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Answer to `SessionWanted`."""

    builder: str
    generation: int
    session: int
    farm: str  #: UUID of the farm


@dataclass(frozen=True, slots=True)
class Assign:
    """Build this; refused with `JobRefused` by a builder that it does not fit."""

    builder: str
    generation: int
    order: BuildOrder


@dataclass(frozen=True, slots=True)
class Adopt:
    """Answer to `AdoptionWanted`: the attempt is open, follow it to its end."""

    builder: str
    generation: int
    order: BuildOrder


@dataclass(frozen=True, slots=True)
class Disown:
    """The attempt is closed (or was never this builder's): abort it, clean the slave, be `Ready`."""

    builder: str
    generation: int
    attempt: UUID
    why: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Abort the attempt and report it `Finished(ABORTED)`."""

    builder: str
    generation: int
    attempt: UUID


@dataclass(frozen=True, slots=True)
class Recorded:
    """The attempt's end is committed: the slave may be cleaned; then `next`, if there is one."""

    builder: str
    generation: int
    attempt: UUID
    next: BuildOrder | None = None


@dataclass(frozen=True, slots=True)
class FencedOff:
    """The attempt was closed with another outcome: its results do not count; clean the slave, be `Ready`."""

    builder: str
    generation: int
    attempt: UUID


# --- queue actor → supervisor → nursery → builder actor -------------------------------------------


@dataclass(frozen=True, slots=True)
class BuildersKnown:
    """All registered builders, as of now; sent at start and whenever a builder row changed."""

    builders: tuple[Builder, ...]


@dataclass(frozen=True, slots=True)
class BuilderChanged:
    """The builder's row, whole, as of now."""

    builder: Builder


@dataclass(frozen=True, slots=True)
class Retire:
    """The builder is no longer registered: end the session, exit."""

    builder: str


# --- supervision ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Crashed:
    """Child to parent: a handler raised; the child exits."""

    name: str
    generation: int
    reason: str  #: last line of the traceback, and where
    story: str = ""  #: the traceback, for the log


@dataclass(frozen=True, slots=True)
class ChildGone:
    """Nursery to supervisor: this builder's actor is no more."""

    builder: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class BuilderGone:
    """Supervisor to queue actor: mark the builder not ok (kind crash); its attempt stays open for adoption."""

    builder: str
    generation: int
    failnotes: str


@dataclass(frozen=True, slots=True)
class GoneNoted:
    """Queue actor to supervisor: what `BuilderGone` said is committed; until then each new queue actor is told again."""

    builder: str
    generation: int


# --- everybody's ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask any actor for what it is thinking; answered with `Description`."""


@dataclass(frozen=True, slots=True)
class Description:
    """An immutable snapshot of an actor."""

    name: str
    kind: str
    pid: int
    generation: int
    uptime: float  #: seconds
    messages_in: int
    messages_out: int
    last_message: str  #: type name
    state: tuple[tuple[str, str], ...]  #: the core's fields, in words, in order
    frozen: str = ""  #: at the debug console, for how long and what is held; empty: it is not


@dataclass(frozen=True, slots=True)
class Crash:
    """From the console: raise in the handler, as a bug would."""

    reason: str = "injected from the console"

"""What the outbox hears, and what it orders: the two vocabularies of `actors.core.attempts.outbox`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from storage.records import Outcome, RuntimeState


class Stage(StrEnum):
    """How far an open attempt has come."""

    OPEN = "open"  #: claimed, perhaps building
    GATHERING = "gathering"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True)
class Held:
    """An open attempt."""

    attempt: UUID
    builder: str
    job: int
    stage: Stage = Stage.OPEN


# --- events; `at` is monotonic seconds ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptsRead:
    """What the database says of all open attempts: those that are held here and not in `held` are closed."""

    held: tuple[Held, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim won; `carried`: the order travels in the answer to the builder's `Finished`."""

    held: Held
    carried: bool
    at: float


@dataclass(frozen=True, slots=True)
class BuilderIdle:
    """The builder's slave is connected, IDLE and clean."""

    builder: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptReported:
    """The builder's slave names an attempt."""

    builder: str
    attempt: UUID
    at: float


@dataclass(frozen=True, slots=True)
class BuilderMoved:
    """The builder's actor says what it does now."""

    builder: str
    state: RuntimeState


@dataclass(frozen=True, slots=True)
class ResultsAwaited:
    """The slave ended its build with OK, and its results are being fetched."""

    attempt: UUID


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person wants the build of this job cancelled."""

    job: int
    at: float


@dataclass(frozen=True, slots=True)
class AttemptClosed:
    """The end of the attempt is committed, and its builder is told so in the answer."""

    attempt: UUID


@dataclass(frozen=True, slots=True)
class BuilderSilent:
    """The builder's actor is no more; its next life reports what it finds."""

    builder: str


@dataclass(frozen=True, slots=True)
class SlaveUnusable:
    """The builder's actor can't work with its slave; what it has in hand, if anything, it will still report the end of."""

    builder: str
    in_hand: UUID | None
    why: str


@dataclass(frozen=True, slots=True)
class DeadlineMissed:
    """The attempt's deadline has passed, and nobody else acted on it (dispatch-rules §8)."""

    attempt: UUID
    at: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Now is `at`."""

    at: float


Event = (
    AttemptsRead
    | Claimed
    | BuilderIdle
    | AttemptReported
    | BuilderMoved
    | ResultsAwaited
    | CancelAsked
    | AttemptClosed
    | BuilderSilent
    | SlaveUnusable
    | DeadlineMissed
    | TimePassed
)


# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendAssign:
    """Tell the builder to build the attempt."""

    builder: str
    attempt: UUID


@dataclass(frozen=True, slots=True)
class SendAdopt:
    """Tell the builder that the attempt it found is open."""

    builder: str
    attempt: UUID


@dataclass(frozen=True, slots=True)
class SendDisown:
    """Tell the builder to abort and clean the attempt."""

    builder: str
    attempt: UUID
    why: str


@dataclass(frozen=True, slots=True)
class SendCancel:
    """Tell the builder to abort the attempt and report its end."""

    builder: str
    attempt: UUID


@dataclass(frozen=True, slots=True)
class CloseAttempt:
    """Record this end, which the builder's actor will not report."""

    attempt: UUID
    outcome: Outcome
    text: str


Order = SendAssign | SendAdopt | SendDisown | SendCancel | CloseAttempt

"""What a slave of launchpad-buildd's dialect answers, once it was read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.messages import WireOutcome


class SlaveStatus(StrEnum):
    """What the slave says it does."""

    IDLE = "BuilderStatus.IDLE"
    BUILDING = "BuilderStatus.BUILDING"
    ABORTING = "BuilderStatus.ABORTING"
    WAITING = "BuilderStatus.WAITING"


class Begun(StrEnum):
    """What `build()` came to."""

    BUILDING = "BuilderStatus.BUILDING"
    UNKNOWNBUILDER = "BuilderStatus.UNKNOWNBUILDER"  #: it has no such build manager
    UNKNOWNSUM = "BuilderStatus.UNKNOWNSUM"  #: a file is not in its cache; it stays IDLE


@dataclass(frozen=True, slots=True)
class Fault:
    """The slave refused the call: 8002, whatever the reason, which stays in its own log; 8001: it knows no such call."""

    code: int
    text: str  #: one line


@dataclass(frozen=True, slots=True)
class Echoed:
    """Answer to `SayEcho`."""

    text: str


@dataclass(frozen=True, slots=True)
class Info:
    """Answer to `AskInfo`."""

    version: str
    architecture: str
    managers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """Answer to `AskStatus`."""

    status: SlaveStatus
    build_id: str = ""  #: empty: IDLE
    outcome: WireOutcome | None = None  #: present while WAITING
    files: tuple[tuple[str, str], ...] = ()  #: name, SHA-1
    dependencies: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Answer to `HaveFetched`."""

    there: bool
    text: str  #: one line


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to `HaveBuilt`."""

    begun: Begun
    text: str  #: the build's id, or why not; one line


@dataclass(frozen=True, slots=True)
class Obeyed:
    """Answer to `HaveAborted` and `HaveCleaned`."""


Reply = Fault | Echoed | Info | Said | Fetched | Answered | Obeyed

"""The event log, and what its subjects hang together with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.records.builders import NotOkKind


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only event log."""

    id: int
    at: datetime
    who: str  #: actor or person; `sql` for a person at the SQL prompt
    why: str
    subject: str  #: `builder:bob`, `build:17`, `job:17`, `attempt:UUID`, ...
    what: str  #: `insert`, `delete`, or the names of the changed columns
    before: dict[str, object] | None  #: changed columns only
    after: dict[str, object] | None
    cause: int | None  #: id of an earlier event


@dataclass(frozen=True, slots=True)
class Relatives:
    """What the subject of an event hangs together with; None and () where there is nothing of the kind."""

    build: int | None
    source: int | None  #: of the build
    builder: str | None
    attempts: tuple[str, ...]  #: all at the build, oldest first
    jobs: tuple[int, ...]  #: of the build
    last_attempts: tuple[str, ...]  #: the builder's latest before the event, if it is the subject
    notok_kind: NotOkKind | None = None  #: how the builder was marked then, if it is the subject
    archives: tuple[int, ...] = ()  #: whose packages the build sees

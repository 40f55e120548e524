"""Rows of the in-memory database: their columns are those of `storage/sql/migrations`."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from storage.records import BuildState, Limits, Outcome, Pocket, PublishingStatus, Urgency


class AliasRow(NamedTuple):
    """`library_alias`."""

    id: int
    content: str
    filename: str
    mimetype: str
    created: datetime


class ChrootRow(NamedTuple):
    """`chroot`."""

    id: int
    distroarchseries: int
    pocket: Pocket
    alias: int
    created: datetime
    held_back: str = ""


class SourceRow(NamedTuple):
    """`source_release`."""

    id: int
    name: str
    version: str
    component: str
    urgency: Urgency
    architectures: tuple[str, ...]
    dsc: str
    created: datetime


class PublicationRow(NamedTuple):
    """`publication`."""

    id: int
    source: int
    archive: int
    series: str
    pocket: Pocket
    component: str
    status: PublishingStatus
    created: datetime


class BuildRow(NamedTuple):
    """`build`."""

    id: int
    source: int
    archive: int
    distroarchseries: int
    pocket: Pocket
    arch_indep: bool
    created: datetime
    again: int = 0
    state: BuildState = BuildState.NEEDSBUILD
    dependencies: tuple[str, ...] = ()
    why: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    limits: Limits = Limits()
    tags: tuple[str, ...] = ()
    suspect: str | None = None


class JobRow(NamedTuple):
    """`buildqueue`."""

    id: int
    build: int
    created: datetime
    manual_score: int | None = None
    builder: str | None = None
    buildstart: datetime | None = None
    assigned: str | None = None
    cooling_until: datetime | None = None
    given_back: int = 0


class AttemptRow(NamedTuple):
    """`attempt`."""

    id: UUID
    build: int
    job: int
    builder: str
    session: int
    trusted: bool
    chroot: int
    wall_seconds: float
    started: datetime
    deadline: datetime
    accepted: datetime | None = None
    ended: datetime | None = None
    outcome: Outcome | None = None
    text: str = ""
    log: int | None = None
    limits: Limits = Limits()
    limits_from: tuple[str, ...] = ()
    excluded_until: datetime | None = None
    charged: bool = False
    builder_induced: bool = False
    verdict: str = ""


class BuildFileRow(NamedTuple):
    """`build_file`."""

    build: int
    attempt: UUID
    alias: int


class TeamRow(NamedTuple):
    """`team`."""

    name: str


class MemberRow(NamedTuple):
    """`team_member`."""

    team: str
    person: str

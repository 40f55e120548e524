"""Machines that build, and what their actors say of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NotOkBy(StrEnum):
    """Who took a builder out of dispatch."""

    PERSON = "person"  #: only a person sets it ok again
    MACHINE = "machine"


class NotOkKind(StrEnum):
    """Why the machine took a builder out of dispatch; some heal by themselves (dispatch-rules §6)."""

    UNREACHABLE = "unreachable"
    CRASH = "crash"
    MISFIT = "misfit"  #: wrong architecture, protocol version, farm or token; heals when it fits
    BREACH = "breach"  #: isolation breach
    FAILURES = "failures"  #: too many failures in a row
    BLACKHOLE = "blackhole"  #: builds that it failed passed elsewhere

    @property
    def heals(self) -> bool:
        """Return whether a probe that passes clears it; the others only a person clears."""
        return self in {NotOkKind.UNREACHABLE, NotOkKind.CRASH, NotOkKind.MISFIT}


class RuntimeState(StrEnum):
    """What a builder's actor last said of its slave; `builder_runtime.state`."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    IDLE = "IDLE"
    PREPARING = "PREPARING"  #: chroot and sources are being pushed
    BUILDING = "BUILDING"
    GATHERING = "GATHERING"
    ABORTING = "ABORTING"
    CLEANING = "CLEANING"


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A certificate that was issued to a builder, as the builder's actor must know it."""

    serial: str  #: hexadecimal
    revoked: str | None  #: when, in words
    pem: str  #: of the one that lasts longest, to be handed to the slave; of others empty


@dataclass(frozen=True, slots=True)
class Builder:
    """A registered machine that builds."""

    id: int
    name: str
    url: str  #: `buildd://host:port`; `http://host:port` of a launchpad-buildd slave
    families: tuple[str, ...]  #: processor families
    trusted: bool
    builderok: bool
    failnotes: str  #: why not ok; empty when ok
    notok_by: NotOkBy | None
    notok_kind: NotOkKind | None
    manual: bool
    tags: tuple[str, ...]  #: resource tags that it has, beside the restricted ones
    architectures: tuple[str, ...]  #: architecture tags of its families: the slave must offer one of them
    certificates: tuple[KnownCertificate, ...] = ()  #: ever issued to it since it was registered, oldest first
    restricted_tags: tuple[str, ...] = ()  #: more tags that it has: it takes only jobs that ask for all of these
    quarantined_until: datetime | None = None  #: still to come when this was read
    quarantine_why: str = ""
    frozen_until: datetime | None = None  #: held at the debug console; still to come when this was read
    failures_in_row: int = 0


@dataclass(frozen=True, slots=True)
class BuilderRuntime:
    """What only actors know of a builder, written when it changes."""

    builder: str
    state: RuntimeState
    connected: bool
    since: datetime
    deadline: datetime | None
    quarantined_until: datetime | None
    failures_in_row: int
    quarantine_why: str = ""
    frozen_until: datetime | None = None  #: held at the debug console
    cleared: datetime | None = None  #: since when its results count as evidence against it

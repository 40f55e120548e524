"""Whom the farm knows: people and their tokens, and what its authority has issued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from certificates.identity import CertificateRole

ADMINS: Final = "buildd-admins"  #: the team whose members have the role buildd-admin


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who owns archives and does things to the farm."""

    id: int
    name: str
    teams: tuple[str, ...] = ()  #: that they are a member of, by name


@dataclass(frozen=True, slots=True)
class Team:
    """People with a role in common."""

    name: str
    members: tuple[str, ...]  #: people, by name


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What the farm knows of a token by which somebody is known to it: all but the secret."""

    id: int
    person: str
    label: str  #: what it is for, in people's words
    created: datetime
    expires: datetime | None  #: None: never
    last_used: datetime | None  #: to a minute
    revoked: datetime | None
    expired: bool  #: when this was read


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the farm's authority has issued."""

    serial: str  #: hexadecimal
    role: CertificateRole
    name: str  #: of the builder, or `master`
    not_before: datetime
    not_after: datetime
    issued: datetime
    revoked: datetime | None
    warned: datetime | None  #: when people were told that it expires soon
    pem: str

    @property
    def holder(self) -> str:
        """Who has it, in words."""
        return "the master" if self.role is CertificateRole.MASTER else f"builder {self.name}"

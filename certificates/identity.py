"""Who a certificate speaks for, and what is wrong with one that was shown: pure, and in words.

A certificate carries one URI among its subject's alternative names: `buildd:FARM/master` or `buildd:FARM/builder/NAME`,
FARM being the farm's UUID.  Whether the farm's authority signed it is TLS's to find out (`certificates.channel`); whom
it speaks for and for how long is decided here.  Words go on after "the slave at …" or "the peer".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

_URI: Final = re.compile(
    r"buildd:(?P<farm>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?:master|builder/(?P<name>[a-z0-9][a-z0-9+._-]{0,63}))"
)


class CertificateRole(StrEnum):
    """What the holder of a certificate may be in its farm."""

    MASTER = "master"
    BUILDER = "builder"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate speaks for."""

    farm: str  #: UUID, in lower case
    role: CertificateRole
    name: str = ""  #: of the builder; empty for a master

    @property
    def uri(self) -> str:
        """The URI that stands in the certificate."""
        return f"buildd:{self.farm}/{self.role}" + (f"/{self.name}" if self.role is CertificateRole.BUILDER else "")

    def __str__(self) -> str:
        """Return it in words."""
        return "a master" if self.role is CertificateRole.MASTER else f"builder {self.name!r}"


def identity_of(uri: str) -> Identity | None:
    """Return what `Identity.uri` gave; None if it gave no such text."""
    found = _URI.fullmatch(uri)
    if found is None:
        return None
    if found["name"] is None:
        return Identity(found["farm"], CertificateRole.MASTER)
    return Identity(found["farm"], CertificateRole.BUILDER, found["name"])


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate that the other end has shown and has the key of; the farm's authority signed it."""

    serial: str  #: hexadecimal, lower case, without leading zeros
    identity: Identity | None  #: None: it carries none
    not_before: datetime
    not_after: datetime


def fault(shown: Shown, wanted: Identity, now: datetime) -> str:
    """Return why `shown` does not speak for `wanted` at `now`; empty if it does."""
    who = shown.identity
    if who is None:
        return f"shows a certificate that says of no builder or master whose it is (serial {shown.serial})"
    if who.farm != wanted.farm:
        return f"shows a certificate of another farm ({who.farm}, serial {shown.serial})"
    if who != wanted:
        other = f"not of {wanted.name!r}" if who.role is wanted.role else f"not of {wanted}"
        return f"shows the certificate of {who}, {other} (serial {shown.serial})"
    if now > shown.not_after:
        return f"shows a certificate that expired on {moment(shown.not_after)} (serial {shown.serial})"
    if now < shown.not_before:
        return (
            f"shows a certificate that is valid only from {moment(shown.not_before)} on (serial {shown.serial}):"
            " is one of the two clocks wrong?"
        )
    return ""


def moment(when: datetime) -> str:
    """Return a time as it stands in fail notes."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

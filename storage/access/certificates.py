"""What the farm's authority has issued, and the tokens that slaves enrol with: tables `certificate` and `enrolment`.

Written by `storage.access.authority`, which has the key.  A builder is let in by what stands here, not only by a signature: a
certificate that was revoked, or that this database never heard of, opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from certificates.identity import CertificateRole, moment
from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import EnrolmentRefused, UnknownCertificate
from storage.records import Certificate

if TYPE_CHECKING:
    from certificates.making import Issued  # it loads a library that who only reads does not need

MASTER: Final = "master"  #: name of the master's own certificates
WARNED_BEFORE: Final = timedelta(days=30)

_SQL = load("certificates")


@dataclass(frozen=True, slots=True)
class _Token:
    builder: str
    expires: datetime
    used: datetime | None


class Certificates(Repository):
    """Certificates and tokens."""

    def all(self) -> tuple[Certificate, ...]:
        """Return all, by holder, the master's first, the latest of each last."""
        return self._rows(Certificate, _SQL["all"])

    def record(self, issued: Issued) -> None:
        """Remember what was just made, before anybody gets it.

        Raises:
            BadValue: it names nobody.
        """
        shown, who = issued.shown, issued.shown.identity
        self._run(
            _SQL["record"],
            serial=shown.serial,
            role=None if who is None else who.role,
            name=None if who is None else who.name or MASTER,
            not_before=shown.not_before,
            not_after=shown.not_after,
            pem=issued.pem,
        )

    def revoke(self, what: str) -> tuple[Certificate, ...]:
        """Revoke one certificate, or all of one holder, for good; the running farm ends sessions opened with it.

        Args:
            what: a serial, a builder's name, or `master`.

        Raises:
            UnknownCertificate: nothing of that name or serial is in force.
        """
        role = CertificateRole.MASTER if what == MASTER else CertificateRole.BUILDER
        revoked = self._rows(Certificate, _SQL["revoke"], serial=what.lower(), role=role, name=what)
        if not revoked:
            raise UnknownCertificate(what)
        return revoked

    def note_warned(self, serial: str) -> None:
        """Remember that people were told of its expiry."""
        self._run(_SQL["warned"], serial=serial)

    def be_alone(self) -> None:
        """Have everybody else who issues wait for the end of this transaction."""
        self._run(_SQL["alone"])

    # -- tokens ------------------------------------------------------------------------------------

    def add_token(self, builder: str, secret: str, life: timedelta) -> datetime:
        """Let whoever shows the secret enrol as `builder`, once; earlier tokens of this builder are void.

        Args:
            builder: must be registered.
            secret: its hash.
            life: until it expires.

        Returns:
            When that is.

        Raises:
            BadValue: no such builder.
        """
        self._run(_SQL["forget_tokens"], builder=builder)
        expires: datetime = self._values(_SQL["add_token"], builder=builder, secret=secret, life=life)[0]
        return expires

    def use_token(self, secret: str) -> str:
        """Use a token up and return the builder it was for.

        Args:
            secret: the hash of what was shown.

        Raises:
            EnrolmentRefused: it is none, was used, or has expired; says which.
        """
        builder = self._values(_SQL["use_token"], secret=secret)
        if builder:
            return str(builder[0])
        there = self._row(_Token, _SQL["token"], secret=secret)
        if there is None:
            why = "this farm has issued no such token, or a later one for the same builder"
        elif there.used is not None:
            why = f"the token for {there.builder!r} was used on {moment(there.used)}: each is good for one enrolment"
        else:
            why = f"the token for {there.builder!r} expired on {moment(there.expires)}"
        raise EnrolmentRefused(f"{why}; `buildd-master ca issue NAME` prints another")


def in_force(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Return of each holder the certificate that lasts longest, if one is not revoked; expired ones too."""
    found: dict[str, Certificate] = {}
    for one in certificates:
        before = found.get(one.holder)
        if one.revoked is None and (before is None or one.not_after >= before.not_after):
            found[one.holder] = one
    return tuple(found.values())


def expiring(certificates: Iterable[Certificate], now: datetime) -> tuple[Certificate, ...]:
    """Return what people must be warned of: holders whose last certificate has expired, or will within 30 days."""
    return tuple(one for one in in_force(certificates) if one.not_after - now < WARNED_BEFORE)


def warning(certificate: Certificate, now: datetime) -> str:
    """Return the words that warn of it."""
    over, builder = now > certificate.not_after, certificate.role is CertificateRole.BUILDER
    when = "expired on" if over else f"expires in {(certificate.not_after - now).days} days, on"
    verb, does = ("issue", "lets its slave enrol again") if over and builder else ("renew", "renews it")
    return (
        f"the certificate of {certificate.holder} {when} {moment(certificate.not_after)}:"
        f" `buildd-master ca {verb} {certificate.name}` {does}"
    )

"""The farm's authority at work: its key is on this machine's disk, what it issues is recorded before anybody gets it.

    ca/ca.pem        key and certificate of the authority; 0600 in a directory of its own
    tls/own.pem      key and certificate of the master, which its actors show to slaves
    tls/ca.crt       certificate of the authority; no secret

Used by the command line, the enrolment endpoint and the farm's own hourly look; never by actors.  All of it happens in
a transaction of the caller's, and what is written to the disk is written last.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from certificates.files import AUTHORITY, OWN, write_file
from certificates.identity import CertificateRole, Identity
from certificates.making import LIFE, Authority, BadRequest, Issued, new_authority, new_key, new_request
from certificates.making import read_authority as parse
from storage.access.certificates import Certificates, expiring, in_force, warning
from storage.database.connection import acting, connect, farm_id
from storage.errors import AuthorityUnusable
from storage.records import Certificate

RENEWED_BEFORE: Final = 1 / 3  #: part of its life that a certificate has left when the farm renews it by itself

_WARNED_EVERY: Final = timedelta(days=1)


class FarmAuthority:
    """Issues in the name of one farm."""

    def __init__(self, connection: Connection[Any], state_directory: Path, now: datetime) -> None:
        """Work on `connection`, in a transaction of the caller's."""
        self._connection = connection
        self._certificates = Certificates(connection)
        self._ca = state_directory / "ca" / "ca.pem"
        self._tls = state_directory / "tls"
        self._now = now

    @property
    def there(self) -> bool:
        """Whether the farm has an authority yet; a farm whose slaves are all on loopback needs none."""
        return self._ca.exists()

    def open(self) -> Authority:
        """Return the authority, made if it is not there, with a certificate for the master.

        Raises:
            AuthorityUnusable: its file can't be read, or is not what it should be.
        """
        self._certificates.be_alone()
        if not self.there:
            made = new_authority(farm_id(self._connection), self._now)
            write_file(self._ca, made.secret_pem)
        authority = self._read()
        write_file(self._tls / AUTHORITY, authority.pem, mode=0o644)
        if not (self._tls / OWN).exists():
            self.renew_master()
        return authority

    def _read(self) -> Authority:
        try:
            return parse(self._ca.read_text("ascii"))
        except (OSError, UnicodeDecodeError, BadRequest) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise AuthorityUnusable(
                f"the farm's authority in {self._ca} can't be used: {said}; restore it from a backup, or move it away:"
                " then a new one is made, and every slave enrols again"
            ) from error

    def renew_master(self, life: timedelta = LIFE) -> Issued:
        """Give the master a new key and certificate; its next connections show it."""
        key = new_key()
        identity = Identity(farm_id(self._connection), CertificateRole.MASTER)
        issued = self._issue(lambda authority: authority.issue(identity, new_request(key), self._now, life))
        write_file(self._tls / OWN, key + issued.pem)
        return issued

    def issue(self, builder: str, request: str, life: timedelta = LIFE) -> Issued:
        """Issue a certificate to whoever has the key of `request`.

        Args:
            builder: whom it speaks for.
            request: CSR, PEM.
            life: how long it is valid.

        Raises:
            BadRequest: it is no request for a key as we use them.
        """
        identity = Identity(farm_id(self._connection), CertificateRole.BUILDER, builder)
        return self._issue(lambda authority: authority.issue(identity, request, self._now, life))

    def renew(self, certificate: Certificate, life: timedelta = LIFE) -> Issued:
        """Issue another certificate for the holder and key of one; a builder's actor hands it to its slave."""
        if certificate.role is CertificateRole.MASTER:
            return self.renew_master(life)
        return self._issue(lambda authority: authority.renew(certificate.pem, self._now, life))

    def renew_due(self) -> tuple[Issued, ...]:
        """Renew what has less than a third of its life left, and is still valid; a farm without authority has none."""
        if not self.there:
            return ()
        due = [one for one in in_force(self._certificates.all()) if _due(one, self._now)]
        return tuple(self.renew(one) for one in due)

    def _issue(self, make: Callable[[Authority], Issued]) -> Issued:
        self._certificates.be_alone()
        issued = make(self._read())
        self._certificates.record(issued)
        return issued


def _due(certificate: Certificate, now: datetime) -> bool:
    left = (certificate.not_after - now) / (certificate.not_after - certificate.not_before)
    return left < RENEWED_BEFORE and (now < certificate.not_after or certificate.role is CertificateRole.MASTER)


def look_after(dsn: str, state_directory: Path, now: datetime) -> tuple[str, ...]:
    """Renew what is due, and return what people must be warned of, at most once a day each.

    Raises:
        AuthorityUnusable: its file, or the disk, or a certificate that stands in the database; nothing was done.
        DatabaseUnreachable: nothing was done.
    """
    told = []
    with connect(dsn, application="master") as connection:
        try:
            with acting(connection, "master", "a third of its life was left"):
                FarmAuthority(connection, state_directory, now).renew_due()
        except (BadRequest, ValueError, OSError) as error:
            raise AuthorityUnusable(f"no certificate can be renewed: {error}") from error
        certificates = Certificates(connection)
        for one in expiring(certificates.all(), now):
            if one.warned is None or now - one.warned > _WARNED_EVERY:
                told.append(warning(one, now))
                with acting(connection, "master", told[-1]):
                    certificates.note_warned(one.serial)
    return tuple(told)

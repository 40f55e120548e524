"""What this slave shows a master on another machine, and which master it believes: `tls/` of its state directory.

A slave that is enrolled speaks TLS only, on loopback too; one that is not speaks plain TCP on loopback only.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from certificates.channel import Channel
from certificates.files import CertificateFiles, NoCertificate, write_file
from certificates.identity import CertificateRole, Identity, Shown, fault, moment
from slave.errors import CannotStart

log = logging.getLogger("buildd-slave")

WARNED_BEFORE: Final = timedelta(days=30)
_BEGINS: Final = "-----BEGIN CERTIFICATE-----"


class Credentials:
    """The slave's certificate; read anew whenever its files have changed."""

    def __init__(self, state_directory: Path) -> None:
        """Know where; nothing is read."""
        self._files = CertificateFiles(state_directory / "tls", server=True)

    @property
    def enrolled(self) -> bool:
        """Whether there are any."""
        return self._files.own.exists()

    @property
    def own(self) -> Shown:
        """What this slave shows.

        Raises:
            NoCertificate: the file is missing or holds none.
        """
        from certificates.making import BadRequest, read_shown  # noqa: PLC0415 - loads a library that most slaves never need

        try:
            return read_shown(self._parts()[1])
        except BadRequest as error:
            raise NoCertificate(f"{self._files.own}: {error}") from error

    def check(self) -> None:
        """Look whether they can be used, before anybody waits for that.

        Raises:
            CannotStart: says what is wrong.
        """
        try:
            self._files.context()
            own = self.own
        except NoCertificate as error:
            raise CannotStart(f"{error}; `buildd-slave enroll --again` makes new ones") from error
        if own.identity is None or own.identity.role is not CertificateRole.BUILDER:
            raise CannotStart(f"{self._files.own} is no builder's certificate: enrol with `buildd-slave enroll`")
        log.info("this slave speaks for %s of the farm %s, by TLS", own.identity, own.identity.farm)

    def channel(self) -> Channel:
        """Return a channel for a connection that was accepted.

        Raises:
            NoCertificate: a file is missing or can't be used.
        """
        return Channel(self._files.context(), server=True)

    def fault(self, shown: Shown) -> str:
        """Return why a peer's certificate is no master's of this slave's farm; empty if it is.

        Raises:
            NoCertificate: ours can't be read.
        """
        now, own = datetime.now(UTC), self.own
        if own.not_after - now < WARNED_BEFORE:
            verb = "expires" if now < own.not_after else "expired"
            log.warning("the certificate of this slave %s on %s", verb, moment(own.not_after))
        farm = own.identity.farm if own.identity else ""
        return fault(shown, Identity(farm, CertificateRole.MASTER), now)

    def keep(self, data: bytes) -> None:
        """Show this certificate from the next connection on, if it is for our key and lasts longer than ours.

        Whoever sent it is the farm's master; it is looked at all the same, for a wrong one would cut us off.
        """
        from certificates.making import BadRequest, fits, read_shown, signed_by  # noqa: PLC0415 - as above

        try:
            key, before = self._parts()
            pem = data.decode("ascii")
            new, old = read_shown(pem), read_shown(before)
            right = fits(key, pem) and signed_by(pem, self._files.authority.read_text("ascii"))
        except (OSError, UnicodeDecodeError, NoCertificate, BadRequest) as error:
            log.warning("a new certificate that the master sent can't be used: %s", error)
            return
        if not right or new.identity != old.identity or new.not_after <= old.not_after:
            log.warning("a new certificate that the master sent is not for this slave, or lasts no longer than its own")
            return
        try:
            write_file(self._files.own, key + pem)
        except OSError as error:
            log.warning("a new certificate can't be kept: %s", error.strerror)
        else:
            log.info("a new certificate came from the master: valid until %s", moment(new.not_after))

    def _parts(self) -> tuple[str, str]:
        """Return key and certificate."""
        try:
            text = self._files.own.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "not text"
            raise NoCertificate(f"{self._files.own} can't be read: {said}") from error
        key, begins, certificate = text.partition(_BEGINS)
        return key, begins + certificate

"""Which slave may speak for a builder: pure questions, with answers in words; `actors.core.builder.session` asks them.

On loopback both ends are this machine, and a shared token does, unless the farm has issued a certificate to the builder.
Everywhere else, and from the first certificate on, it is TLS: nothing that comes over the wire can change that.  Only
launchpad-buildd slaves, which know neither, are spoken to without.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address

from actors.core.builder.fit import Dialect, address, dialect
from certificates.identity import CertificateRole, Identity, Shown, fault
from storage.records import Builder


def loopback(host: str) -> str | None:
    """Return the loopback address that `host` is or names, without asking any name server; None if it is none."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return host if ip_address(host).is_loopback else None
    except ValueError:
        return None


def needs_tls(builder: Builder) -> bool:
    """Return whether the builder's slave must be spoken to by TLS."""
    if dialect(builder.url) is Dialect.LAUNCHPAD:
        return False  # it can't; the operator keeps it on a private network
    place = address(builder.url)
    return bool(builder.certificates) or place is None or loopback(place[0]) is None


def certificate_fault(builder: Builder, farm: str, shown: Shown, now: datetime) -> str:
    """Return why a slave that has shown this certificate can't serve as `builder`; empty if it can."""
    wrong = fault(shown, Identity(farm, CertificateRole.BUILDER, builder.name), now)
    return wrong or unlisted(builder, shown)


def unlisted(builder: Builder, shown: Shown) -> str:
    """Return why the farm's records do not bear a certificate out; empty if they do."""
    known = {one.serial: one for one in builder.certificates}
    if shown.serial not in known:
        return (
            f"shows a certificate of builder {builder.name!r} that this farm has no record of (serial {shown.serial})"
        )
    revoked = known[shown.serial].revoked
    return f"shows a certificate that was revoked on {revoked} (serial {shown.serial})" if revoked else ""


def successor(builder: Builder, shown: Shown) -> str:
    """Return the certificate (PEM) that the slave should show from now on; empty if it has the right one."""
    return next((one.pem for one in builder.certificates if one.pem and one.serial != shown.serial), "")

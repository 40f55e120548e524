"""Joining a farm whose master is on another machine: a one-time token, for a certificate in `tls/`.

The token names the authority that the master must show before it hears the secret; the key is made here and stays here.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from certificates.files import AUTHORITY, OWN, write_file
from certificates.identity import CertificateRole, Identity, identity_of
from certificates.making import BadRequest, fingerprint, fits, new_key, new_request, read_shown, signed_by
from certificates.token import BadToken, Token, read_token
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart
from slave.joining.credentials import Credentials

DEFAULT_PORT: Final = 8220
_SECONDS: Final = 30.0
_ANSWER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the master is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"the master at {self.host} port {self.port}"


def enroll(state: StateDirectory, url: str, token_text: str, *, again: bool) -> Identity:
    """Get a certificate and keep it; return whom this slave speaks for now.

    Args:
        state: of this slave; nothing in it has changed if this fails.
        url: `https://HOST:PORT` of the master's `enroll_listen`.
        token_text: what `buildd-master ca issue NAME` has printed.
        again: give up the farm and the certificate that this slave has.

    Raises:
        CannotStart: says whose fault it is.
    """
    record = state.load()
    if (Credentials(state.path).enrolled or record.farm is not None) and not again:
        raise CannotStart(f"this slave belongs to the farm {record.farm or '(see tls/)'} already: --again leaves it")
    place = _place(url)
    try:
        token = read_token(token_text)
    except BadToken as error:
        raise CannotStart(str(error)) from None
    authority = _authority(place, token)
    key = new_key()
    certificate, farm = _request(place, token, authority, new_request(key))
    identity = _check(place, key, certificate, authority, farm)
    _keep(state, key + certificate, authority)
    state.save(replace(record, farm=farm, epoch=0 if farm != record.farm else record.epoch))
    return identity


def take(state: StateDirectory, directory: Path, *, again: bool) -> Identity:
    """Keep what `buildd-master ca issue NAME --directory` has written, for a slave that can't reach its master.

    Raises:
        CannotStart: it is not that, or this slave has a farm already.
    """
    record = state.load()
    if (Credentials(state.path).enrolled or record.farm is not None) and not again:
        raise CannotStart(f"this slave belongs to the farm {record.farm or '(see tls/)'} already: --again leaves it")
    try:
        own, authority = ((directory / name).read_text("ascii") for name in (OWN, AUTHORITY))
        identity = read_shown(own).identity
        right = fits(own, own) and signed_by(own, authority)
    except (OSError, UnicodeDecodeError, BadRequest) as error:
        raise CannotStart(f"{directory} does not hold key and certificates of a slave: {error}") from error
    if not right or identity is None or identity.role is not CertificateRole.BUILDER:
        raise CannotStart(f"{directory} does not hold key and certificates of a slave that belong together")
    _keep(state, own, authority)
    state.save(replace(record, farm=identity.farm, epoch=0 if identity.farm != record.farm else record.epoch))
    return identity


def release(state: StateDirectory) -> str:
    """Leave the farm and drop the certificate; return the farm's UUID, empty if there was none."""
    record = state.load()
    state.save(replace(record, farm=None, epoch=0))
    shutil.rmtree(state.path / "tls", ignore_errors=True)
    return record.farm or ""


def _keep(state: StateDirectory, own: str, authority: str) -> None:
    try:
        write_file(state.path / "tls" / AUTHORITY, authority, mode=0o644)
        write_file(state.path / "tls" / OWN, own)
    except OSError as error:
        raise CannotStart(f"{state.path / 'tls'} can't be written: {error.strerror}") from error


def _place(url: str) -> _Place:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise CannotStart(f"{url!r} is no URL: write https://HOST:{DEFAULT_PORT}") from None
    if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"} or "@" in parts.netloc:
        raise CannotStart(f"{url!r} is no master's URL: write https://HOST:{DEFAULT_PORT}")
    return _Place(parts.hostname, DEFAULT_PORT if port is None else port)


def _authority(place: _Place, token: Token) -> str:
    """Return the certificate of the farm's authority, if it is the one in the token; nothing was told to anybody."""
    anybody = _context()
    anybody.verify_mode = ssl.CERT_NONE  # who it is shows in the fingerprint of what it says
    status, _, pem = _ask(place, anybody, "GET", "/ca")
    try:
        if status == http.client.OK and fingerprint(pem) == token.authority:
            return pem
    except BadRequest:
        pass
    raise CannotStart(
        f"{place} is not the one that issued this token: another farm, or somebody in between; the token was not shown"
    )


def _request(place: _Place, token: Token, authority: str, request: str) -> tuple[str, str]:
    """Return certificate and farm."""
    believing = _context()
    believing.load_verify_locations(cadata=authority)
    body = json.dumps({"secret": token.secret.hex(), "request": request})
    status, shown, text = _ask(place, believing, "POST", "/enroll", body)
    identity = _identity(shown)
    if identity is None:  # `_ask` has let nobody else through
        raise CannotStart(f"{place} shows no identity")
    try:
        said = json.loads(text)
        if status == http.client.OK:
            return str(said["certificate"]), identity.farm
        why = str(said["error"])
    except (ValueError, TypeError, KeyError):
        why = f"it answers with status {status}, and what is no answer of a master's"
    raise CannotStart(f"{place} does not enrol this slave: {why}")


def _ask(
    place: _Place, context: ssl.SSLContext, method: str, path: str, body: str | None = None
) -> tuple[int, dict[str, Any], str]:
    """Return status, what the peer has shown, and what it said; where its certificate counts, only to a master."""
    connection = http.client.HTTPSConnection(place.host, place.port, timeout=_SECONDS, context=context)
    try:
        connection.connect()
        shown: dict[str, Any] = connection.sock.getpeercert() or {}
        identity = _identity(shown)
        if context.verify_mode is ssl.CERT_REQUIRED and (
            identity is None or identity.role is not CertificateRole.MASTER
        ):
            raise CannotStart(f"{place} shows a certificate that is no master's; the token was not shown")
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, shown, answer.read(_ANSWER_BYTES).decode("utf-8", "replace")
    except ssl.SSLCertVerificationError as error:
        raise CannotStart(f"{place} can't be believed: {error.verify_message}; the token was not shown") from error
    except (OSError, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CannotStart(f"{place} does not answer: {said}; is enroll_listen set there?") from error
    finally:
        connection.close()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the authority's fingerprint is in the token; names and addresses may change
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _identity(shown: dict[str, Any]) -> Identity | None:
    uris = [str(value) for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
    return identity_of(uris[0]) if len(uris) == 1 else None


def _check(place: _Place, key: str, certificate: str, authority: str, farm: str) -> Identity:
    """Return whom the certificate speaks for."""
    try:
        identity = read_shown(certificate).identity
        right = fits(key, certificate) and signed_by(certificate, authority)
    except BadRequest:
        identity, right = None, False
    if not right or identity is None or identity.role is not CertificateRole.BUILDER or identity.farm != farm:
        raise CannotStart(f"{place} answers with a certificate that is not for this slave")
    return identity

"""Keys, certificates and requests for them, as PEM: made and read with `cryptography`; no file, no clock.

Keys are on the curve P-256.  The authority signs leaves only: nothing below it may sign.  A slave makes its own key and
asks with a request (CSR), of which the public key is all that is believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certificates.identity import CertificateRole, Identity, Shown, identity_of

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)  #: of a certificate, unless another is asked for
_SKEW: Final = timedelta(minutes=5)  #: a certificate is valid that much earlier: clocks differ
REQUEST_BYTES: Final = 8192  #: longest request that is read

_USES: Final = {
    # A master connects to slaves, and serves those that enrol.
    CertificateRole.MASTER: [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    CertificateRole.BUILDER: [ExtendedKeyUsageOID.SERVER_AUTH],
}


class BadRequest(Exception):
    """A request for a certificate, or a PEM, that can't be used; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was just made."""

    pem: str
    shown: Shown


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs a farm's certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """Its certificate; no secret."""
        return _pem(self.certificate)

    @property
    def secret_pem(self) -> str:
        """Key and certificate, for `read_authority`."""
        return _key_pem(self.key) + self.pem

    def issue(self, identity: Identity, request: str, now: datetime, life: timedelta = LIFE) -> Issued:
        """Return a certificate for whoever has the key of `request`.

        Args:
            identity: whom it speaks for; what the request says of that is not looked at.
            request: CSR, PEM.
            now: it is valid from a little earlier on.
            life: how long; never longer than the authority itself.

        Raises:
            BadRequest: no CSR of a P-256 key, or it is not signed with it.
        """
        return self.sign(identity, _requested_key(request), now, life)

    def renew(self, pem: str, now: datetime, life: timedelta = LIFE) -> Issued:
        """Return a certificate for the same holder and key as that of `pem`, which this authority has issued."""
        old = x509.load_pem_x509_certificate(pem.encode())
        key, identity = old.public_key(), read_shown(pem).identity
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - it signs no others
        assert identity is not None  # noqa: S101
        return self.sign(identity, key, now, life)

    def sign(self, identity: Identity, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta) -> Issued:
        """Return a certificate for the holder of `key`."""
        ends = min(now + life, self.certificate.not_valid_after_utc)
        subject = identity.name or identity.role.value
        certificate = (
            _begin(subject, self.certificate.subject, key, now - _SKEW, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USES[identity.role]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(_pem(certificate), _shown(certificate))


def new_authority(farm: str, now: datetime) -> Authority:
    """Return a new authority for the farm with this UUID."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"buildd-master farm {farm}"
    certificate = (
        _begin(name, _name(name), key.public_key(), now - _SKEW, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def read_authority(pem: str) -> Authority:
    """Return what `Authority.secret_pem` gave.

    Raises:
        BadRequest: it holds no key and certificate that belong together.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRequest(f"no key with its certificate: {_first_line(error)}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise BadRequest("key and certificate do not belong together")
    return Authority(key, certificate)


def new_key() -> str:
    """Return a new private key, PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def new_request(key: str) -> str:
    """Return a request for a certificate of `key`, PEM; it says nothing of who asks: a token does."""
    secret = _private(key)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(secret, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def fits(key: str, certificate: str) -> bool:
    """Return whether `certificate` is one of `key`; both PEM."""
    return _private(key).public_key() == _certificate(certificate).public_key()


def signed_by(certificate: str, authority: str) -> bool:
    """Return whether the authority whose certificate is given signed `certificate` itself; both PEM."""
    try:
        _certificate(certificate).verify_directly_issued_by(_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def read_shown(pem: str) -> Shown:
    """Return what the certificate says of its holder.

    Raises:
        BadRequest: no certificate.
    """
    return _shown(_certificate(pem))


def fingerprint(pem: str) -> bytes:
    """Return the SHA-256 of the certificate, 32 bytes.

    Raises:
        BadRequest: no certificate.
    """
    return hashlib.sha256(_certificate(pem).public_bytes(serialization.Encoding.DER)).digest()


def _requested_key(request: str) -> ec.EllipticCurvePublicKey:
    if len(request) > REQUEST_BYTES:
        raise BadRequest(f"the request is longer than {REQUEST_BYTES} bytes")
    try:
        asked = x509.load_pem_x509_csr(request.encode())
        key, signed = asked.public_key(), asked.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRequest(f"the request is no CSR: {_first_line(error)}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadRequest("the request is not for a key on the curve P-256")
    if not signed:
        raise BadRequest("the request is not signed with its own key")
    return key


def _begin(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRequest(f"no private key: {_first_line(error)}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadRequest("the private key is not on the curve P-256")
    return key


def _certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise BadRequest(f"no certificate: {_first_line(error)}") from error


def _shown(certificate: x509.Certificate) -> Shown:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    identity = identity_of(uris[0]) if len(uris) == 1 else None
    return Shown(
        f"{certificate.serial_number:x}",
        identity,
        certificate.not_valid_before_utc.astimezone(UTC),
        certificate.not_valid_after_utc.astimezone(UTC),
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

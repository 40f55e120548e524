"""TLS 1.3 without I/O: what came off the wire in, what goes onto it out; the same for both ends.

    channel = Channel(context, server=False)
    socket.send(channel.to_send())
    plain = channel.receive(socket.recv(65536))          # again and again; `channel.open` once both have shown
    channel.send(frame); socket.send(channel.to_send())

Nothing stays in here that a look at the socket would not tell of: `receive` gives all that can be read.  OpenSSL proves
that the other end has the key of its certificate, and that the farm's authority signed that; time and identity are left
to `certificates.identity.fault`, which knows whom it expects and has the words.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final

from certificates.identity import Shown, identity_of

_READ_BYTES: Final = 256 * 1024
#: X509_V_FLAG_NO_CHECK_TIME: a chain that fails is not told from whom, and time is ours to check.
_NO_CHECK_TIME: Final = 0x200000
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL"})
_UNSIGNED: Final = frozenset({2, 7, 18, 19, 20, 21})  #: X509_V_ERR_…: no chain to an authority that is known
_PURPOSE: Final = 26  #: X509_V_ERR_INVALID_PURPOSE


class ChannelRefused(Exception):
    """There is no channel, or no more; the words go on after "the slave at …" or "the peer"."""


class Channel:
    """One TLS connection."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        """Begin; the client's first bytes can be taken from `to_send` at once.

        Args:
            context: one of `tls_context`, for the same end.
            server: False: this end has connected.
        """
        self.open = False  #: both ends have shown their certificates
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        if not server:
            self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Take what came off the wire and return what was said; afterwards there may be something `to_send`.

        The end of the stream is no data: while the channel is not open, it is on the caller to tell of it (`cut`).

        Raises:
            ChannelRefused: this end or the other refuses; what is left `to_send` tells the other why.
        """
        self._incoming.write(data)
        try:
            if not self.open:
                self._tls.do_handshake()
                self.open = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise ChannelRefused(_words(error)) from error

    def _read(self) -> bytes:
        said = []
        while True:
            try:
                piece = self._tls.read(_READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not piece:
                break
            said.append(piece)
        return b"".join(said)

    def send(self, data: bytes) -> None:
        """Say `data`; the channel must be open."""
        self._tls.write(data)

    def to_send(self) -> bytes:
        """Return, once, what goes onto the wire now."""
        return self._outgoing.read()

    @property
    def shown(self) -> Shown:
        """What the other end has shown; the channel must be open."""
        certificate = self._tls.getpeercert()
        assert certificate is not None  # noqa: S101 - CERT_REQUIRED
        names = certificate.get("subjectAltName", ())
        uris = [str(name[1]) for name in names if name[0] == "URI"]
        return Shown(
            f"{int(str(certificate['serialNumber']), 16):x}",
            identity_of(uris[0]) if len(uris) == 1 else None,
            _time(certificate["notBefore"]),
            _time(certificate["notAfter"]),
        )


CUT: Final = "closed the connection where TLS should begin: a slave that is not enrolled speaks plain TCP"


def tls_context(*, server: bool, own: str, authority: str) -> ssl.SSLContext:
    """Return how one end speaks: TLS 1.3, showing `own`, believing only what `authority` signed.

    Args:
        server: False: for the end that connects.
        own: path of a PEM with private key and certificate.
        authority: path of the authority's certificate, PEM.

    Raises:
        OSError: a file can't be read, or (`ssl.SSLError`) is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # a slave is known by its builder's name, not by where it is
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= _NO_CHECK_TIME
    if server:
        context.num_tickets = 0  # every session shows its certificate anew
    context.load_cert_chain(own)
    context.load_verify_locations(authority)
    return context


def _time(text: object) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)


def _words(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNSIGNED:
            return f"shows a certificate that the farm's authority did not sign ({error.verify_message})"
        if error.verify_code == _PURPOSE:
            return "shows a certificate that is not meant for its end of the connection: a slave's is no master's"
        return f"shows a certificate that can't be believed: {error.verify_message}"
    if reason in _PLAIN:
        return "speaks plain TCP where TLS is needed"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "shows no certificate"
    if "PROTOCOL_VERSION" in reason or reason == "UNSUPPORTED_PROTOCOL":
        return "speaks an older TLS than 1.3"
    if "ALERT" in reason:
        said = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        return f"does not accept the certificate it is shown: {said}"
    return f"breaks TLS: {(reason or str(error)).replace('_', ' ').lower()}"

"""The one-time token that a slave enrols with: a secret the master knows by its hash, and the authority's fingerprint.

The secret shows the master who enrols; the fingerprint shows the slave that it speaks to that master: nobody in between
can be either.  `buildd-` and 64 letters (URL-safe base64 of 16 bytes secret, 32 bytes SHA-256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

_SECRET_BYTES: Final = 16
_FORM: Final = re.compile(r"buildd-([A-Za-z0-9_-]{64})")


class BadToken(Exception):
    """A text that is no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    secret: bytes = field(repr=False)
    authority: bytes  #: SHA-256 of the authority's certificate

    def __str__(self) -> str:
        """Return it as people pass it on."""
        return "buildd-" + base64.urlsafe_b64encode(self.secret + self.authority).decode()


def new_token(authority: bytes) -> Token:
    """Return a token for the farm whose authority's certificate has this fingerprint."""
    return Token(secrets.token_bytes(_SECRET_BYTES), authority)


def read_token(text: str) -> Token:
    """Return what `str(token)` gave.

    Raises:
        BadToken: it is none; the text never repeats it.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise BadToken(
            "this is no enrolment token: `buildd-master ca issue NAME` prints one, 71 letters from buildd- on"
        )
    try:
        octets = base64.b64decode(found[1], altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadToken("this is no whole enrolment token: copy it again") from error
    return Token(octets[:_SECRET_BYTES], octets[_SECRET_BYTES:])


def secret_hash(secret: bytes) -> str:
    """Return how the master remembers a secret: 128 random bits need no slow hash."""
    return hashlib.sha256(secret).hexdigest()

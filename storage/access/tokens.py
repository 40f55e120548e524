"""The tokens by which people are known to the farm: table `api_token`.

A token is `buildd-api-` and 43 letters (URL-safe base64 of 32 random bytes).  The farm has its hash only, and finds it by
that: how long a look-up takes says nothing about a secret.  No error, event or record ever repeats one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from certificates.identity import moment
from storage.access.people import People
from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import BadValue, TokenRefused, UnknownToken
from storage.records import ApiToken, Person

PREFIX: Final = "buildd-api-"

_BYTES: Final = 32
_FORM: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,100}")
_ANOTHER: Final = "`buildd-master token create PERSON` prints another"
_SQL = load("api_tokens")


class ApiTokens(Repository):
    """Tokens of people."""

    def create(self, person: str, life: timedelta | None, label: str = "") -> tuple[str, ApiToken]:
        """Make a token.

        Args:
            person: must be registered.
            life: until it expires; None: it never does.
            label: what it is for, in people's words; at most 100 letters.

        Returns:
            The token itself, which nobody can find out again, and its row.

        Raises:
            UnknownPerson: no such row.
            BadValue: the label can't be.
        """
        People(self._conn).get(person)
        if not _LABEL.fullmatch(label):
            raise BadValue(f"label {label!r} can't be: at most 100 letters on one line")
        token = PREFIX + secrets.token_urlsafe(_BYTES)
        (number,) = self._values(_SQL["add"], person=person, hash=_hash(token), label=label, life=life)
        return token, self.get(number)

    def get(self, token: int) -> ApiToken:
        """Return one by its number.

        Raises:
            UnknownToken: no such row.
        """
        found = self._row(ApiToken, _SQL["tokens"], id=token, person=None)
        if found is None:
            raise UnknownToken(token)
        return found

    def all(self, person: str | None = None) -> tuple[ApiToken, ...]:
        """Return all, or all of one person, oldest first."""
        return self._rows(ApiToken, _SQL["tokens"], id=None, person=person)

    def revoke(self, token: int) -> ApiToken:
        """Have a token open nothing any more; one that was revoked stays as it is.

        Raises:
            UnknownToken: no such row.
        """
        self.get(token)
        self._run(_SQL["revoke"], id=token)
        return self.get(token)

    def holder(self, token: str) -> tuple[Person, ApiToken]:
        """Return whose a token is; whoever shows it is believed to be that person.

        Args:
            token: the secret, as it was shown.

        Raises:
            TokenRefused: it is none, unknown, revoked or expired; says which, and never repeats it.
        """
        if not _FORM.fullmatch(token):
            raise TokenRefused(
                f"this is no token: one is {PREFIX} and 43 letters, digits, dashes and underscores; {_ANOTHER}"
            )
        found = self._row(ApiToken, _SQL["of_hash"], hash=_hash(token))
        if found is None:
            raise TokenRefused(
                f"this farm knows no such token: it is another farm's, or its person was removed; {_ANOTHER}"
            )
        if found.revoked is not None:
            raise TokenRefused(f"token {found.id} of {found.person} was revoked on {moment(found.revoked)}; {_ANOTHER}")
        if found.expired and found.expires is not None:
            raise TokenRefused(f"token {found.id} of {found.person} expired on {moment(found.expires)}; {_ANOTHER}")
        return People(self._conn).get(found.person), found

    def note_used(self, token: int) -> None:
        """Remember that it was used now; to a minute, so that a busy program writes little."""
        self._run(_SQL["used"], id=token)


def _hash(token: str) -> str:
    """Return how the farm remembers a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()

"""Where people want to be told: the URL of setting `webhook`, read; opens nothing.

How it is spoken to stands in `web/post.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

_PORTS: Final = {"http": 80, "https": 443}
_WOULD_DO: Final = (
    "must be a URL, as https://hooks.example/farm or http://USER:PASSWORD@HOST:PORT/PATH; empty: nobody is told"
)


class BadReceiver(ValueError):
    """No URL that could be told something; the text says what would do, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A URL in its parts.  What may be a secret is in none of its texts."""

    scheme: str  #: `http` or `https`
    host: str
    port: int
    target: str = field(repr=False)  #: path and query, as the request line has them; services put their keys here
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return it for people and logs: neither who we are there, nor what comes after the host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return (
            f"{self.scheme}://{'' if self.user is None else '***@'}{host}{port}{'' if self.target == '/' else '/...'}"
        )


def read_receiver(url: str) -> Receiver:
    """Return the parts of `url`.

    Raises:
        BadReceiver: it is none of http or https.
    """
    try:
        parts = urlsplit(url if url.isascii() and url.isprintable() and " " not in url else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadReceiver(_WOULD_DO) from None
    if not host or port == 0 or parts.scheme not in _PORTS:
        raise BadReceiver(_WOULD_DO)
    return Receiver(
        parts.scheme,
        host,
        port or _PORTS[parts.scheme],
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        None if parts.username is None else unquote(parts.username),
        unquote(parts.password or ""),
    )

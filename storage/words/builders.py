"""What builders are called, and where their slaves are."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from storage.errors import BadValue, SlaveTaken
from storage.words.names import check_word

_ACTORS: Final = frozenset({"supervisor", "queue", "console"})
_URLS = "buildd://HOST:PORT, or http://HOST:PORT of a launchpad-buildd slave"
_LAST_PORT: Final = 65535


def check_builder_name(name: str) -> None:
    """Refuse a name that can't be a builder's: its actor is called so, beside the supervisor and others.

    Raises:
        BadValue: says what is allowed, or that it is taken.
    """
    check_word("builder", name)
    if name in _ACTORS or name.startswith("nursery-"):
        raise BadValue(f"builder {name!r} can't be: an actor of the farm has this name; choose another")


def slave_url(url: str) -> str:
    """Return the address of a slave in the one way to write it, as `buildd://127.0.0.1:8221`, or `http://…` of another kind.

    Raises:
        BadValue: says what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadValue(f"{url!r} is no slave's URL: {error}; write {_URLS}") from error
    wrong = {
        "the scheme must be buildd, or http": parts.scheme not in {"buildd", "http"},
        "the host is missing": not parts.hostname or re.search(r"[\s\\]", url) is not None,
        "name and password do not belong there": "@" in parts.netloc,
        "the port is missing": port is None or not 0 < port <= _LAST_PORT,
        "nothing may follow the port": parts.path not in {"", "/"} or bool(parts.query or parts.fragment),
    }
    for reason, holds in wrong.items():
        if holds:
            raise BadValue(f"{url!r} is no slave's URL: {reason}; write {_URLS}")
    return url.rstrip("/").lower().replace("://localhost:", "://127.0.0.1:")


def check_slave_free(name: str, url: str, owner: str | None) -> None:
    """Refuse a slave that another builder has: both would take its session, and its builds, from each other.

    Args:
        name: the builder that wants it.
        url: as `slave_url` returns it.
        owner: the builder that has it, if one does.

    Raises:
        SlaveTaken: says whose it is.
    """
    if owner is not None and owner != name:
        raise SlaveTaken(f"the slave {url} is the builder {owner!r} already: one slave is one builder")

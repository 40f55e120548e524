"""Does this slave fit its row?  Pure questions with answers in words; `actors.core.builder.session` asks them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from protocol.messages import VERSION, RefusalCode, Refused, Welcome
from storage.records import Builder

DEFAULT_PORT = 8221  #: of both dialects
BUILD_TYPE = "binarypackage"

_REFUSALS = {
    RefusalCode.WRONG_VERSION: "speaks another version of the protocol",
    RefusalCode.WRONG_TOKEN: "does not accept this farm's token",
    RefusalCode.WRONG_CERTIFICATE: "does not accept this master's certificate",
    RefusalCode.WRONG_FARM: "belongs to another farm",
    RefusalCode.STALE_EPOCH: "has seen a newer session than this farm's database knows of",
}


class Dialect(StrEnum):
    """How a slave is spoken to, by the scheme of its URL."""

    OURS = "buildd"
    LAUNCHPAD = "http"  #: launchpad-buildd: XML-RPC, polled, without authentication


def dialect(url: str) -> Dialect:
    """Return how the slave at `url` is spoken to."""
    return Dialect.LAUNCHPAD if url.lower().startswith("http:") else Dialect.OURS


def address(url: str) -> tuple[str, int] | None:
    """Return host and port of a builder's URL; None if it is none of ours."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in set(Dialect) or not host:
        return None
    return host, DEFAULT_PORT if port is None else port


def misfit(builder: Builder, welcome: Welcome, *, wholly: bool = True) -> str:
    """Return why the slave that said `welcome` can't serve as `builder`; empty if it can.

    Args:
        builder: its row.
        welcome: what the slave says of itself.
        wholly: it must build for all that the builder's families mean, as jobs are matched by these; else one
            architecture is enough: a build that its slave has is not lost because the row was changed.
    """
    if welcome.version != VERSION:
        return f"speaks protocol version {welcome.version}, this master {VERSION}"
    lacking = sorted(set(builder.architectures).difference(welcome.architectures))
    if lacking and (wholly or len(lacking) == len(set(builder.architectures))):
        return (
            f"wrong architecture: it builds for {_words(welcome.architectures)}, but the builder's families need"
            f" {_words(lacking)}; `buildd-master builder set {builder.name} --family` changes them"
        )
    if BUILD_TYPE not in welcome.build_types:
        return f"does not know the build type {BUILD_TYPE}, only {_words(welcome.build_types)}"
    if welcome.backend == "host" and not builder.trusted:
        return "its backend is host, which isolates nothing, and the builder is untrusted"
    return ""


def refusal(refused: Refused) -> str:
    """Return a slave's refusal in words."""
    said = f" ({refused.text})" if refused.text else ""
    return f"{_REFUSALS[refused.code]}: {refused.code.value}{said}"


def _words(values: Sequence[str]) -> str:
    return ", ".join(values) or "nothing"

"""What the master asks of a slave of launchpad-buildd's dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

RPC: Final = "/rpc"  #: path of all calls
LOG: Final = "/filecache/buildlog"  #: path of the log of the build that runs, or waits


@dataclass(frozen=True, slots=True)
class SayEcho:
    """`echo`: a probe."""

    text: str


@dataclass(frozen=True, slots=True)
class AskInfo:
    """`info`: what the slave is."""


@dataclass(frozen=True, slots=True)
class AskStatus:
    """`status`: what it does."""


@dataclass(frozen=True, slots=True)
class HaveFetched:
    """`ensurepresent`: the slave downloads what it lacks, and answers when that is done."""

    sha1: str
    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HaveBuilt:
    """`build`."""

    build_id: str
    manager: str
    chroot: str  #: SHA-1
    files: dict[str, str]  #: name → SHA-1
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HaveAborted:
    """`abort`: WAITING follows, by and by."""


@dataclass(frozen=True, slots=True)
class HaveCleaned:
    """`clean`: in WAITING only."""


Call = SayEcho | AskInfo | AskStatus | HaveFetched | HaveBuilt | HaveAborted | HaveCleaned

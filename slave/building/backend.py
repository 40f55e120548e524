"""How a `binarypackage` build is done on this machine: one module a backend.

A backend gives the steps of one build, in order, each with its phase; `slave.building.binarypackage` walks them, keeps the time
and cleans up.  A step returns None to go on, or the `Ending` of the build.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.messages import Phase
from slave.core.build_args import BinaryPackage
from slave.core.outcomes import Ending
from slave.disk.build_log import BuildLog
from slave.disk.roots import Roots

Step = tuple[Phase, Callable[[], Awaitable[Ending | None]]]


@dataclass(frozen=True, slots=True)
class Task:
    """What one build has to go by."""

    args: BinaryPackage
    chroot: Path | None  #: the tarball in the cache; None for the backend `host`
    files: Mapping[str, Path]  #: name → file in the cache; the `.dsc` among them
    directory: Path  #: a fresh directory of the build's own
    state_directory: Path  #: the slave's, marks its processes
    log: BuildLog
    roots: Roots  #: where a chroot's tree comes from
    parallel: int  #: processors it may use

    @property
    def results(self) -> Path:
        """Where the results go."""
        return self.directory / "results"

    @property
    def tree(self) -> Path:
        """What is removed in CLEANUP: the chroot or what it has over its base, or the directory built in."""
        return self.directory / "tree"


class Backend(Protocol):
    """One build of one kind."""

    def __init__(self, task: Task) -> None: ...

    def steps(self) -> tuple[Step, ...]:
        """Return the steps; COLLECT, which ends the build with OK, is the last."""

# ruff: noqa: D102 - what each method does stands with the repositories
"""What the queue actor's turns need of the database, and what they hear from it; no database is known here.

`actors.queue.database` satisfies `QueueStorage` with PostgreSQL, `simulation.environment.database` with the twin in
memory.  What each method does stands with the repositories (`storage.build_queue`, `storage.builders`, `storage.farm`,
`storage.binary_packages`, `storage.dependency_waits`); a turn that needs one more of them names it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from storage.records import (
    Attempt,
    BinaryPackage,
    Builder,
    BuildOrder,
    BuildResult,
    BuildState,
    DependencyWait,
    Evidence,
    FarmState,
    Job,
    Limits,
    NotOkKind,
    Outcome,
    Pick,
    Place,
    PublishedPackage,
    Recording,
    Result,
    RuntimeState,
    Settled,
    Settlement,
)

#: table → what of `Changes` its ids name, where they do
_NAMED: Final[Mapping[str, tuple[str, type[int | str]]]] = {
    "buildqueue": ("jobs", int),
    "build": ("builds", int),
    "builder": ("builders", str),
    "certificate": ("builders", str),
    "attempt": ("attempts", str),
    "archive": ("archives", int),
    "publication": ("sources", int),
    "source_release": ("sources", int),
    "source_file": ("sources", int),
    "binary_package": ("packages", int),
}
#: table → what has to be read as a whole if it does not say which rows changed, or they name nothing that we know
_WHOLE: Final[Mapping[str, tuple[str, ...]]] = {
    "buildqueue": ("all_jobs",),
    "build": ("all_jobs",),
    "builder": ("all_builders",),
    "certificate": ("all_builders",),
    "attempt": ("all_attempts",),
    "archive": ("all_jobs",),
    "publication": ("all_jobs",),
    "source_release": ("all_jobs",),
    "source_file": ("all_jobs",),
    "chroot": ("all_jobs",),
    "person": ("all_jobs",),
    "distroseries": ("all_jobs",),
    "distroarchseries": ("all_jobs",),
    "library_content": ("all_jobs",),
    "processor_family": ("all_builders", "farm"),
    "farm": ("farm",),
    "binary_package": ("all_packages",),
}


@dataclass(slots=True)
class Changes:
    """What others changed since the last look; our own changes are known already."""

    jobs: set[int] = field(default_factory=set)
    builds: set[int] = field(default_factory=set)
    builders: set[str] = field(default_factory=set)
    attempts: set[str] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)  #: releases: their files, or where they are published
    archives: set[int] = field(default_factory=set)
    all_jobs: bool = False
    all_builders: bool = False
    all_attempts: bool = False
    new_files: bool = False  #: content came into the librarian
    farm: bool = False  #: pause or fences
    packages: set[int] = field(default_factory=set)  #: binary packages that were published
    all_packages: bool = False

    def __bool__(self) -> bool:
        """Return whether anything has to be read again."""
        return self != _NOTHING

    def add(self, payload: str) -> None:
        """Take in one notification: `{"table": …, "op": …, "ids": […] or null}`.

        Anybody who may connect may notify: what can't be understood counts as "anything may have changed".
        """
        try:
            told = json.loads(payload)
            table, op, ids = told["table"], told["op"], told["ids"]
            self.note(str(table), str(op), None if ids is None else list(ids))
        except (ValueError, TypeError, KeyError):
            self.all_jobs = self.all_builders = self.all_attempts = self.farm = True

    def note(self, table: str, op: str, ids: list[Any] | None) -> None:
        """Take in that rows of `table` were changed; `ids` says which, where it is known."""
        if table == "library_content" and op != "DELETE":
            self.new_files = True
        elif ids is not None and table in _NAMED:
            which, kind = _NAMED[table]
            getattr(self, which).update(map(kind, ids))
        else:
            for which in _WHOLE.get(table, ()):  # the others are nothing that dispatch looks at
                setattr(self, which, True)


_NOTHING: Final = Changes()


class QueueRows(Protocol):
    """What turns need of `storage.build_queue.BuildQueue`."""

    def jobs(self, ids: Sequence[int] | None = None) -> tuple[Job, ...]: ...
    def jobs_of(self, sources: Sequence[int], archives: Sequence[int]) -> frozenset[int]: ...
    def supersede(self, jobs: Sequence[int]) -> frozenset[int]: ...
    def attempt(self, attempt: UUID) -> Attempt: ...
    def open_attempts(self) -> tuple[Attempt, ...]: ...
    def overdue(self, grace_seconds: float = 0.0) -> tuple[Attempt, ...]: ...
    def claim(self, picks: Sequence[Pick], limits: Limits) -> tuple[Attempt, ...]: ...
    def orders(self, attempts: Sequence[UUID]) -> tuple[BuildOrder, ...]: ...
    def started(self, attempt: UUID) -> bool: ...
    def gathering(self, attempt: UUID, seconds: float = 3600.0) -> bool: ...
    def prolong(self, attempt: UUID, seconds: float) -> None: ...
    def release(self, attempt: UUID) -> Recording: ...
    def fence(self, attempt: UUID, text: str) -> Recording: ...
    def record(
        self,
        attempt: UUID,
        outcome: Outcome,
        text: str,
        *,
        build_state: BuildState,
        unpublished_state: BuildState | None = None,
        keep_job: bool,
        dependencies: Sequence[str] = (),
        results: Sequence[Result] = (),
        log: Result | None = None,
        exclude_seconds: float | None = None,
        cool_seconds: float | None = None,
        charged: bool = False,
        verdict: str = "",
    ) -> Recording: ...


class BuilderRows(Protocol):
    """What turns need of `storage.builders.Builders`."""

    def all(self) -> tuple[Builder, ...]: ...
    def get(self, name: str) -> Builder: ...
    def mark_not_ok(self, name: str, failnotes: str, kind: NotOkKind) -> bool: ...
    def heal(self, name: str) -> bool: ...
    def quarantine(self, name: str, seconds: float, why: str) -> Builder: ...
    def record_runtime(
        self, name: str, state: RuntimeState, *, connected: bool, deadline: datetime | None = None
    ) -> None: ...
    def open_session(self, name: str) -> int: ...


class FarmRows(Protocol):
    """What turns need of `storage.farm.FarmStates`."""

    def get(self) -> FarmState: ...
    def pause_for_now(self, why: str) -> FarmState: ...
    def resume_from(self, why: str) -> FarmState: ...


class VerdictRows(Protocol):
    """What turns need of `storage.verdicts.Verdicts`."""

    def evidence(self, attempt: UUID) -> Evidence: ...
    def count_failure(self, builder: str, failures: int, quarantine: float | None, why: str) -> None: ...
    def completed(self, builder: str) -> None: ...
    def release(self, builder: str) -> None: ...
    def requeue_charged(self, builder: str, why: str) -> tuple[int, ...]: ...
    def results(self, builders: Sequence[str], most: int) -> dict[str, tuple[BuildResult, ...]]: ...
    def try_elsewhere(self, builder: str, builds: Sequence[int], seconds: float, why: str) -> tuple[int, ...]: ...
    def tried_elsewhere(self, builder: str, build: int) -> int: ...
    def mark_builder_induced(self, builder: str, build: int) -> None: ...
    def hold_back_chroot(self, attempt: UUID, why: str) -> bool: ...


class PackageRows(Protocol):
    """What turns need of `storage.binary_packages.BinaryPackages`."""

    def place(self, attempt: UUID, names: Iterable[str] = ()) -> Place | None: ...
    def publish(
        self, place: Place, packages: Sequence[BinaryPackage], superseded: Sequence[int] = ()
    ) -> tuple[int, ...]: ...
    def offered(
        self, names: Iterable[str], archives: Iterable[int], series: Iterable[str]
    ) -> tuple[PublishedPackage, ...]: ...


class WaitRows(Protocol):
    """What turns need of `storage.dependency_waits.DependencyWaits`."""

    def waits(
        self, builds: Iterable[int] | None = None, *, after: int = 0, most_builds: int = 1000, most_lines: int = 100_000
    ) -> tuple[DependencyWait, ...]: ...
    def awaiting(self, packages: Iterable[int]) -> tuple[int, ...]: ...
    def settle(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]: ...


class QueueStorage(Protocol):
    """The database, as a turn sees it."""

    @property
    def queue(self) -> QueueRows:
        """Jobs and attempts."""

    @property
    def builders(self) -> BuilderRows:
        """Builders."""

    @property
    def farm_states(self) -> FarmRows:
        """The farm as a whole."""

    @property
    def verdicts(self) -> VerdictRows:
        """Evidence, and what follows from verdicts."""

    @property
    def packages(self) -> PackageRows:
        """Binary packages."""

    @property
    def waits(self) -> WaitRows:
        """Builds that wait for dependencies."""

    @property
    def farm(self) -> str:
        """UUID of the farm."""

    def transaction(self, why: str = "") -> AbstractContextManager[object]:
        """Return a transaction whose changes are the queue actor's doing, because of `why`."""

    def wait_for_disk(self, *, wait: bool) -> None:
        """Say whether the commit of the present transaction waits until it is on disk; at first it does."""


class ListeningStorage(QueueStorage, Protocol):
    """A database that tells what others change in it."""

    def heard(self) -> bool:
        """Take in what was notified, without waiting; return whether others changed anything.

        Raises:
            DatabaseUnreachable: the connection is broken.
        """

    def changes(self) -> Changes:
        """Return what others have changed since the last call; does not wait.

        Raises:
            DatabaseUnreachable: the connection is broken.
        """

    def close(self) -> None:
        """Close the connections; harmless twice."""

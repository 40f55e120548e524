"""The jobs that wait and run, and the attempts at them: tables `buildqueue` and `attempt`.

`claim` and `record` are the two ends of an attempt, each one transaction of the caller's: between them the attempt is
open, and only while it is open do results count.  Both test again, on locked rows, what the caller believed.  Whatever
else closes an attempt (a person's verdict, lowered trust, a removed builder) does so by trigger and as FENCED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from storage.errors import UnknownAttempt, UnknownJob
from storage.events import Events
from storage.library import mimetype_of
from storage.queries import load
from storage.records import Attempt, BuildOrder, BuildState, Job, Outcome, Pick, Recording, StoredFile
from storage.repository import Repository
from storage.transitions import path_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_SQL = load("build_queue")


class Result(Protocol):
    """A file in the librarian that an attempt left: `actors.messages.ResultStored` is one."""

    @property
    def filename(self) -> str:
        """A single path component."""

    @property
    def content(self) -> StoredFile:
        """What the librarian holds."""


class BuildQueue(Repository):
    """The queue of builds."""

    def jobs(self, ids: Sequence[int] | None = None) -> tuple[Job, ...]:
        """Return jobs, waiting and running, by id.

        Args:
            ids: only these; those that are gone are left out.
        """
    def job(self, job: int) -> Job:
        """Return one job.

        Raises:
            UnknownJob: gone, or never there.
        """
    def claim(self, picks: Sequence[Pick], wall_seconds: float) -> tuple[Attempt, ...]:
        """Give jobs to builders: those picks that still hold become attempts (architecture §5).

        Tested again on locked rows: builder ok, not manual, same trust and family, no open attempt; job unassigned;
        build NEEDSBUILD; a chroot exists.  A pick that no longer holds, or whose rows somebody else has locked,
        falls out without spoiling the others; so does the second pick of one job or builder.

        Args:
            picks: in the order of preference.
            wall_seconds: the builds' own wall-time limit; also the deadlines of the attempts.

        Returns:
            The attempts that won, in the order of `picks`.
        """
    def order(self, attempt: UUID) -> BuildOrder:
        """Return all that a builder actor needs for an open attempt: to assign it, or to adopt it.

        Raises:
            UnknownAttempt: no such attempt, or it is closed.
        """
    def orders(self, attempts: Sequence[UUID]) -> tuple[BuildOrder, ...]:
        """Return `order` of several; closed and unknown ones are left out."""
    def attempt(self, attempt: UUID) -> Attempt:
        """Return one attempt.

        Raises:
            UnknownAttempt: no such row.
        """
    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that hold a job, oldest first: the outbox (architecture §5.5)."""
    def started(self, attempt: UUID) -> bool:
        """The slave accepted `Build`: its wall time counts from now.  False: the attempt is closed."""
    def gathering(self, attempt: UUID) -> bool:
        """The results are being fetched: the build goes BUILDING → GATHERING.

        Idempotent; a build that is being cancelled stays CANCELLING.

        Returns:
            False: the attempt is closed.
        """
    def record(  # noqa: PLR0913 - the columns of the rows it writes
        self,
        attempt: UUID,
        outcome: Outcome,
        text: str,
        *,
        build_state: BuildState,
        keep_job: bool,
        dependencies: Sequence[str] = (),
        results: Sequence[Result] = (),
        log: Result | None = None,
    ) -> Recording:
        """Write how an attempt ended, with all that follows from it.  May be called any number of times.

        A build that is being CANCELLED when this comes ends CANCELLED, without its job, whatever was asked for; one
        that is BUILDING passes through GATHERING on its way to FULLYBUILT (`storage.transitions.path_to`).

        Args:
            attempt: which.
            outcome: how it ended.
            text: for people; one line.
            build_state: what the build becomes (`actors.core.verdict`).
            keep_job: the job waits again, with its place; else it is removed.
            dependencies: what was missing; stored with the build.
            results: files of the build, in the librarian already.
            log: the whole log, in the librarian already.

        Returns:
            FENCED: another outcome stands; nothing was written.

        Raises:
            ImpossibleMove: the build can't become `build_state`; nothing was written.
        """
    def fence(self, attempt: UUID, text: str) -> Recording:
        """Close an attempt that nobody is to blame for; its job waits again, with its place."""
    def release(self, attempt: UUID) -> Recording:
        """Give back a claim that could not be started; uncharged, with its place."""
    def remove(self, job: int) -> bool:
        """Take a job out of the queue; its build stays.  An open attempt is fenced.  False: it was gone already."""
    def set_manual_score(self, job: int, score: int | None) -> Job:
        """Replace the job's base score (dispatch-rules §2), or give it its own again.

        Raises:
            UnknownJob: gone, or never there.
            BadValue: out of range.
        """
    def overdue(self, grace_seconds: float = 0.0) -> tuple[Attempt, ...]:
        """Return open attempts whose deadline passed `grace_seconds` ago or earlier, oldest deadline first."""

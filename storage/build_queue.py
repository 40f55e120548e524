"""The jobs that wait and run, and the attempts at them: tables `buildqueue` and `attempt`.

`claim` and `record` are the two ends of an attempt, each one transaction of the caller's: between them the attempt is
open, and only while it is open do results count.  Both test again, on locked rows, what the caller believed.  Whatever
else closes an attempt (a person's verdict, lowered trust, a removed builder) does so by trigger and as FENCED.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.types.json import Jsonb

from storage.database.queries import load
from storage.database.repository import Repository, in_words, portions, possible
from storage.errors import ImpossibleMove, UnknownAttempt, UnknownJob
from storage.events.log import Events
from storage.files.kinds import mimetype_of
from storage.limits import said
from storage.records import Attempt, BuildOrder, BuildState, Job, Limits, Outcome, Pick, Recording, Result
from storage.transitions import path_to
from storage.words.jobs import check_score

_SQL = load("build_queue")


class BuildQueue(Repository):
    """The queue of builds."""

    def jobs(self, ids: Sequence[int] | None = None) -> tuple[Job, ...]:
        """Return jobs, waiting and running, by id.

        Args:
            ids: only these; those that are gone are left out.  All of them come in several statements if they are
                many: one whose rows change meanwhile, or that is new, is told of by the database to who listens.
        """
        if ids is None:
            with in_words():
                ids = [job for (job,) in self._conn.execute(_SQL["every_job"])]
        wanted = sorted(set(possible(ids)))
        return tuple(job for some in portions(wanted) for job in self._rows(Job, _SQL["jobs"], ids=some))

    def job(self, job: int) -> Job:
        """Return one job.

        Raises:
            UnknownJob: gone, or never there.
        """
        found = self._row(Job, _SQL["jobs"], ids=possible([job]))
        if found is None:
            raise UnknownJob(job)
        return found

    def jobs_of(self, sources: Sequence[int], archives: Sequence[int]) -> frozenset[int]:
        """Return the ids of all jobs whose builds are of these sources or in these archives."""
        with in_words():
            rows = self._conn.execute(_SQL["jobs_of"], {"sources": list(sources), "archives": list(archives)})
            return frozenset(job for (job,) in rows)

    def supersede(self, jobs: Sequence[int]) -> frozenset[int]:
        """End those of `jobs` that wait for a source which is no longer published: their builds are SUPERSEDED.

        Tested again on locked rows (dispatch-rules §1, `superseded`).

        Returns:
            The jobs that are gone.
        """
        gone: set[int] = set()
        for some in portions(jobs):  # a source of many series may have thousands
            with in_words():
                gone |= {job for (job,) in self._conn.execute(_SQL["supersede"], {"jobs": some})}
        return frozenset(gone)

    def claim(self, picks: Sequence[Pick], limits: Limits) -> tuple[Attempt, ...]:
        """Give jobs to builders: those picks that still hold become attempts (architecture §5).

        Tested again on locked rows: builder ok, not quarantined, not manual unless the job is assigned to it, same
        trust, family and tags, no open attempt; job held by nobody and not cooling down; build NEEDSBUILD; archive
        enabled; a chroot exists.  A pick that no longer holds, or whose rows somebody else has locked,
        falls out without spoiling the others; so does the second pick of one job or builder.

        Args:
            picks: in the order of preference.
            limits: the settings', a wall time among them; those of archives and builds go over them.

        Returns:
            The attempts that won, in the order of `picks`.
        """
        if not picks:
            return ()
        return self._rows(
            Attempt,
            _SQL["claim"],
            jobs=[pick.job for pick in picks],
            builders=[pick.builder for pick in picks],
            sessions=[pick.session for pick in picks],
            limits=Jsonb(said(limits)),
        )

    def order(self, attempt: UUID) -> BuildOrder:
        """Return all that a builder actor needs for an open attempt: to assign it, or to adopt it.

        Raises:
            UnknownAttempt: no such attempt, or it is closed.
        """
        found = self.orders((attempt,))
        if not found:
            raise UnknownAttempt(attempt)
        return found[0]

    def orders(self, attempts: Sequence[UUID]) -> tuple[BuildOrder, ...]:
        """Return `order` of several; closed and unknown ones are left out."""
        return self._rows(BuildOrder, _SQL["orders"], attempts=list(attempts))

    def attempt(self, attempt: UUID) -> Attempt:
        """Return one attempt.

        Raises:
            UnknownAttempt: no such row.
        """
        found = self._row(Attempt, _SQL["attempt"], attempt=attempt)
        if found is None:
            raise UnknownAttempt(attempt)
        return found

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that hold a job, oldest first: the outbox (architecture §5.5)."""
        return self._rows(Attempt, _SQL["open_attempts"])

    def started(self, attempt: UUID) -> bool:
        """The slave accepted `Build`: its wall time counts from now.  False: the attempt is closed."""
        return self._run(_SQL["started"], attempt=attempt) > 0

    def gathering(self, attempt: UUID, seconds: float = 3600.0) -> bool:
        """The results are being fetched: the build goes BUILDING → GATHERING.

        Idempotent; a build that is being cancelled stays CANCELLING.

        Args:
            attempt: which.
            seconds: its new deadline, from now.

        Returns:
            False: the attempt is closed.
        """
        return self._run(_SQL["gathering"], attempt=attempt, seconds=seconds) > 0

    def prolong(self, attempt: UUID, seconds: float) -> None:
        """The attempt's end waits for something that is nobody's fault: its deadline is `seconds` away or more.

        Nothing happens to an attempt that is closed or being cancelled.
        """
        self._run(_SQL["prolong"], attempt=attempt, seconds=seconds)

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
    ) -> Recording:
        """Write how an attempt ended, with all that follows from it.  May be called any number of times.

        A build that is being CANCELLED when this comes ends CANCELLED, without its job, whatever was asked for; one
        that is BUILDING passes through GATHERING on its way to FULLYBUILT (`storage.transitions.path_to`).

        Args:
            attempt: which.
            outcome: how it ended.
            text: for people; one line.
            build_state: what the build becomes (`actors.core.attempts.verdict`).
            unpublished_state: what it becomes instead, without its results, if its source is no longer PENDING or
                PUBLISHED; None: the same.
            keep_job: the job waits again, with its place; else it is removed.
            dependencies: what was missing; stored with the build.
            results: files of the build, in the librarian already.
            log: the whole log, in the librarian already.
            exclude_seconds: for how long the build does not go to this builder again.
            cool_seconds: for how long a job that is kept waits; it counts as given back once more.
            charged: the failure counts against the job.
            verdict: what was decided and why, for people.

        Returns:
            FENCED: another outcome stands; nothing was written.

        Raises:
            ImpossibleMove: the build can't become `build_state`; nothing was written.
        """
        held = self._values(_SQL["hold"], attempt=attempt)
        if not held:
            return Recording.FENCED
        build, job, stands, now, published = held
        if stands is not None:
            return Recording.ALREADY if stands == outcome else Recording.FENCED
        wanted = build_state if published or unpublished_state is None else unpublished_state
        path = path_to(BuildState(now), wanted)
        if not path:
            raise ImpossibleMove(build, BuildState(now), wanted, Events(self._conn).story(f"build:{build}"))
        files = [_described(result, result=True) for result in results if path[-1] == build_state]
        files += [_described(one, result=False) for one in (log,) if one is not None]
        move = {"build": build, "why": text, "dependencies": list(dependencies)}
        with in_words(), self._conn.pipeline():
            for state in path[:-1]:
                self._run(_SQL["move"], state=state, **move)
            if files:
                self._run(_SQL["keep_files"], attempt=attempt, build=build, files=Jsonb(files))
            # Closed before its build ends: an attempt still open then would be taken for one cut short by a verdict.
            self._run(
                _SQL["close"],
                attempt=attempt,
                outcome=outcome,
                text=text,
                exclude_seconds=exclude_seconds,
                charged=charged,
                verdict=verdict,
            )
            self._run(_SQL["move"], state=path[-1], **move)
            if keep_job:
                self._run(_SQL["cool_down"], job=job, seconds=cool_seconds)
            if not keep_job and not path[-1].final:
                self._run(_SQL["remove"], job=job)
        return Recording.RECORDED

    def fence(self, attempt: UUID, text: str) -> Recording:
        """Close an attempt that nobody is to blame for; its job waits again, with its place.

        A build that was being cancelled is CANCELLED instead.

        Raises:
            UnknownAttempt: no such row.
        """
        (fenced,) = self._values(_SQL["fence"], attempt=attempt, text=text)
        if fenced:
            return Recording.RECORDED
        return Recording.ALREADY if self.attempt(attempt).outcome == Outcome.FENCED else Recording.FENCED

    def release(self, attempt: UUID) -> Recording:
        """Give back a claim that could not be started; uncharged, with its place."""
        return self.fence(attempt, "given back before it was started")

    def remove(self, job: int) -> bool:
        """Take a job out of the queue; its build stays.  An open attempt is fenced.  False: it was gone already."""
        return self._run(_SQL["remove"], job=job) > 0

    def set_manual_score(self, job: int, score: int | None) -> Job:
        """Replace the job's base score (dispatch-rules §2), or give it its own again.

        Raises:
            UnknownJob: gone, or never there.
            BadValue: out of range.
        """
        check_score(score)
        if not self._run(_SQL["set_manual_score"], job=job, score=score):
            raise UnknownJob(job)
        return self.job(job)

    def overdue(self, grace_seconds: float = 0.0) -> tuple[Attempt, ...]:
        """Return open attempts whose deadline passed `grace_seconds` ago or earlier, oldest deadline first."""
        return self._rows(Attempt, _SQL["overdue"], grace_seconds=grace_seconds)


def _described(file: Result, *, result: bool) -> dict[str, object]:
    """Return a file as `keep_files` takes it."""
    return {
        "sha256": file.content.sha256,
        "sha1": file.content.sha1,
        "size": file.content.size,
        "filename": file.filename,
        "mimetype": mimetype_of(file.filename),
        "result": result,
    }

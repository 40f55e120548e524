"""Builds: table `build`, its attempts and files.

A state is changed here by people (`cancel`, `retry`, `give_back`, `set_state`), and by the ends of attempts in
`storage.build_queue`.  The moves stand in `storage.transitions`; triggers close what a person's verdict cuts short.
What a person says of a job (`rescore`, `assign`) lives as long as the job: attempts that fail leave it, the end of the
build takes it along.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from storage.build_queue import BuildQueue
from storage.database.queries import load
from storage.database.repository import Repository, possible
from storage.errors import (
    ImpossibleMove,
    NotQueued,
    NotRunning,
    StillRunning,
    UnknownBuild,
    UnknownBuilder,
)
from storage.events.log import Events
from storage.limits import LimitChanges, check_limits
from storage.making import Making
from storage.records import Alias, Attempt, Build, BuildState, Job, Pocket
from storage.transitions import HELD, may_move
from storage.words.jobs import given_back

_SQL = load("builds")


class Builds(Repository):
    """What is to be built, is being built, and was."""

    def create(
        self,
        source: int,
        distroarchseries: int,
        archive: int,
        pocket: Pocket,
        *,
        arch_indep: bool,
        again: bool = False,
        tags: Sequence[str] = (),
    ) -> Build:
        """Register a build, NEEDSBUILD and without a job; `queue` gives it one.

        Args:
            source: id of the source package release.
            distroarchseries: id; of the archive's distribution.
            archive: id.
            pocket: whose chroot and place in the order it gets.
            arch_indep: build arch-indep packages as well.
            again: a person asks for another build of what there is a build of.
            tags: resource tags that it asks for, beside its archive's.

        Raises:
            UnknownSource, UnknownSeries, UnknownArchive: no such id.
            BadValue: series and archive are of different distributions; a tag that can't be.
            BuildExists: carries the id of the build that there is.
        """
        (made,) = Making(self._conn).create(
            source, archive, pocket, {distroarchseries: arch_indep}, again=again, tags=tags
        )
        return self.get(made)

    def queue(self, build: int) -> Job:
        """Give a build a job; one that ended is tried again, on any builder.  A build that has one keeps it.

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: it is FULLYBUILT.
        """
        Making(self._conn).queue((build,))
        return self.job(build)

    def job(self, build: int) -> Job:
        """Return the job of a build.

        Raises:
            UnknownBuild: no such row.
            NotQueued: it has ended, or was taken out of the queue.
        """
        found = self._values(_SQL["job_of"], build=build)
        if not found:
            raise NotQueued(build, self.get(build).state)
        return BuildQueue(self._conn).job(found[0])

    def retry(self, build: int) -> Job:
        """Try a build again that has ended: with a new job, at the end of the queue, on any builder.

        One that waits keeps its job and place, and waits no longer because of what went wrong before.

        Raises:
            UnknownBuild: no such row.
            StillRunning: a builder has it.
            ImpossibleMove: it is FULLYBUILT, or being cancelled.
        """
        state = self._hold(build)
        if state == BuildState.CANCELLING:
            raise self._impossible(build, state, BuildState.NEEDSBUILD)
        if state in HELD:
            raise StillRunning(build, state)
        if not state.final:
            self._run(_SQL["forget_failures"], build=build)
            self._run(_SQL["cool_no_longer"], build=build)
        return self.queue(build)

    def give_back(self, build: int, why: str = "", *, exclude_seconds: float | None = None) -> Job:
        """Take a running build from its builder: nobody is blamed, and its job waits with its place.

        Args:
            build: which.
            why: told with attempt and build.
            exclude_seconds: for how long it does not go to that builder again.

        Raises:
            UnknownBuild: no such row.
            NotRunning: no builder has it.
            ImpossibleMove: it is being cancelled.
        """
        state = self._hold(build)
        if state not in HELD:
            raise NotRunning(build, state)
        if not may_move(state, BuildState.NEEDSBUILD):
            raise self._impossible(build, state, BuildState.NEEDSBUILD)
        (attempt,) = self._values(_SQL["exclude"], build=build, seconds=exclude_seconds)
        BuildQueue(self._conn).fence(attempt, given_back(why))
        return self.job(build)

    def rescore(self, build: int, score: int | None) -> Job:
        """Replace the base score of the build's job (dispatch-rules §2); None: it has its own again.

        Raises:
            UnknownBuild: no such row.
            NotQueued: it has no job.
            BadValue: out of range.
        """
        return BuildQueue(self._conn).set_manual_score(self.job(build).id, score)

    def assign(self, build: int, builder: str | None) -> Job:
        """Let only `builder` have the build's job, in manual mode or not; None: whoever may.

        A builder that runs it goes on.

        Raises:
            UnknownBuilder, UnknownBuild: no such row.
            NotQueued: it has no job.
        """
        if builder is not None and not self._values(_SQL["hold_builder"], builder=builder):
            raise UnknownBuilder(builder)
        self._hold(build)
        job = self.job(build).id
        self._run(_SQL["assign"], job=job, builder=builder)
        return BuildQueue(self._conn).job(job)

    def get(self, build: int) -> Build:
        """Return one build.

        Raises:
            UnknownBuild: no such row.
        """
        found = self._row(Build, _SQL["builds"], ids=possible([build]), state=None, limit=1)
        if found is None:
            raise UnknownBuild(build)
        return found

    def list(self, state: BuildState | None = None, limit: int = 50) -> tuple[Build, ...]:
        """Return the latest builds, newest first."""
        return self._rows(Build, _SQL["builds"], ids=None, state=state, limit=limit)

    def of_kind(
        self, state: BuildState, *, archive: int | None = None, series: tuple[str, str] | None = None
    ) -> tuple[Build, ...]:
        """Return all builds in a state, oldest first.

        Args:
            state: that they are in.
            archive: only of this archive; its id.
            series: only for this series; distribution and name.
        """
        distribution, name = series or (None, None)
        found = self._values(_SQL["of_kind"], state=state, archive=archive, distribution=distribution, series=name)
        return self._rows(Build, _SQL["builds"], ids=found[0], state=None, limit=None)[::-1]

    def find(self, source: int, distroarchseries: int, archive: int) -> Build | None:
        """Return the build of this source for that archive and architecture, if there is one."""
        found = self._values(_SQL["find"], source=source, distroarchseries=distroarchseries, archive=archive)
        return self.get(found[0]) if found else None

    def change_limits(self, build: int, limits: LimitChanges) -> Build:
        """Give a build limits of its own, for attempts that are claimed from now on; None takes one back.

        Raises:
            UnknownBuild: no such row.
            BadValue: a limit out of range.
        """
        check_limits(limits)
        self._hold(build)
        self._run(_SQL["change_limits"], build=build, limits=Jsonb(dict(limits)))
        return self.get(build)

    def cancel(self, build: int, why: str = "") -> BuildState:
        """End a build: at once if it waits, by way of CANCELLING if it runs.

        Args:
            build: which.
            why: told with the build.

        Returns:
            CANCELLED (the job is gone) or CANCELLING (the builder's actor aborts it; 70 s at most).

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: it has ended otherwise.
        """
        state = self._hold(build)
        if state in {BuildState.CANCELLED, BuildState.CANCELLING}:
            return state
        wanted = BuildState.CANCELLING if state in HELD else BuildState.CANCELLED
        if not may_move(state, wanted):
            raise self._impossible(build, state, wanted)
        self._run(_SQL["set_state"], build=build, state=wanted, why=why or "cancelled")
        return wanted

    def set_state(self, build: int, state: BuildState, why: str = "") -> Build:
        """An operator's verdict.  An open attempt is fenced; a final state removes the job, NEEDSBUILD keeps or makes it.

        Args:
            build: which.
            state: what it becomes.
            why: told with the build.

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: see `storage.transitions`; also any state in which somebody must hold the build.
        """
        now = self._hold(build)
        if state in HELD or not may_move(now, state):
            raise self._impossible(build, now, state)
        if state != now:
            self._run(_SQL["set_state"], build=build, state=state, why=why or f"set to {state} by an operator")
        if now.final and state == BuildState.NEEDSBUILD:
            self.queue(build)
        return self.get(build)

    def files(self, build: int) -> tuple[Alias, ...]:
        """Return the results, by filename."""
        return self._rows(Alias, _SQL["files"], build=build)

    def attempts(self, build: int) -> tuple[Attempt, ...]:
        """Return all attempts, oldest first."""
        return self._rows(Attempt, _SQL["attempts"], build=build)

    def log(self, build: int) -> Alias | None:
        """Return the log of the last attempt that left one."""
        return self._row(Alias, _SQL["log"], build=build)

    def _hold(self, build: int) -> BuildState:
        """Lock the build and return its state."""
        held = self._values(_SQL["hold"], build=build)
        if not held:
            raise UnknownBuild(build)
        return BuildState(held[0])

    def _impossible(self, build: int, now: BuildState, wanted: BuildState) -> ImpossibleMove:
        return ImpossibleMove(build, now, wanted, Events(self._conn).story(f"build:{build}"))

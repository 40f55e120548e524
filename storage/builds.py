"""Builds: table `build`, its attempts and files.

A state is changed here by people (`cancel`, `queue`, `set_state`), and by the ends of attempts in
`storage.build_queue`.  The moves stand in `storage.transitions`; triggers close what a person's verdict cuts short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.queries import load
from storage.records import Alias, Attempt, Build, BuildState, Job, Pocket
from storage.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

_SQL = load("builds")


class Builds(Repository):
    """What is to be built, is being built, and was."""

    def create(self, source: int, distroarchseries: int, archive: int, pocket: Pocket, *, arch_indep: bool) -> Build:
        """Register a build, NEEDSBUILD and without a job; `queue` gives it one.

        Args:
            source: id of the source package release.
            distroarchseries: id; of the archive's distribution.
            archive: id.
            pocket: whose chroot and place in the order it gets.
            arch_indep: build arch-indep packages as well.

        Raises:
            UnknownSource, UnknownSeries, UnknownArchive: no such id.
            BadValue: series and archive are of different distributions.
            BuildExists: carries the id of the build that there is.
        """
    def queue(self, build: int) -> Job:
        """Give a build a job; one that ended is tried again.  A build that has one keeps it.

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: it is FULLYBUILT.
        """
    def get(self, build: int) -> Build:
        """Return one build.

        Raises:
            UnknownBuild: no such row.
        """
    def list(self, state: BuildState | None = None, limit: int = 50) -> tuple[Build, ...]:
        """Return the latest builds, newest first."""
    def find(self, source: int, distroarchseries: int, archive: int) -> Build | None:
        """Return the build of this source for that archive and architecture, if there is one."""
    def cancel(self, build: int) -> BuildState:
        """End a build: at once if it waits, by way of CANCELLING if it runs.

        Returns:
            CANCELLED (the job is gone) or CANCELLING (the builder's actor aborts it; 70 s at most).

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: it has ended otherwise.
        """
    def set_state(self, build: int, state: BuildState) -> Build:
        """An operator's verdict.  An open attempt is fenced; a final state removes the job, NEEDSBUILD keeps it.

        Raises:
            UnknownBuild: no such row.
            ImpossibleMove: see `storage.transitions`; also any state in which somebody must hold the build.
        """
    def files(self, build: int) -> tuple[Alias, ...]:
        """Return the results, by filename."""
    def attempts(self, build: int) -> tuple[Attempt, ...]:
        """Return all attempts, oldest first."""
    def log(self, build: int) -> Alias | None:
        """Return the log of the last attempt that left one."""

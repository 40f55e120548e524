"""Evidence for verdicts, and what follows from them: the builder's ladder, cross-checks, chroots held back.

What is decided by the evidence stands in `actors.core.attempts.verdict` and `actors.core.attempts.black_hole`; the end
of an attempt is recorded by `storage.build_queue`.  A person's word is `storage.builders`'.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from storage.database.queries import load
from storage.database.repository import Repository, in_words
from storage.errors import UnknownAttempt
from storage.records import BuildResult, Evidence

_SQL = load("verdicts")


class Verdicts(Repository):
    """What is known of builders and builds when something failed."""

    def evidence(self, attempt: UUID) -> Evidence:
        """Return what is known beside the outcome of an attempt that is about to be closed.

        Raises:
            UnknownAttempt: no such row.
        """
        found = self._row(Evidence, _SQL["evidence"], attempt=attempt)
        if found is None:
            raise UnknownAttempt(attempt)
        return found

    def count_failure(self, builder: str, failures: int, quarantine: float | None, why: str) -> None:
        """Write how often in a row a builder has failed; with seconds of `quarantine`, until when it gets nothing."""
        given = {"builder": builder, "failures": failures, "seconds": quarantine, "why": why}
        if not self._run(_SQL["count_failure"], **given):  # no actor spoke of it yet
            self._run(_SQL["have_runtime"], builder=builder)
            self._run(_SQL["count_failure"], **given)

    def completed(self, builder: str) -> None:
        """A builder completed a build: it has not failed in a row."""
        self._run(_SQL["completed"], builder=builder)

    def release(self, builder: str) -> None:
        """End a quarantine; the builder's results up to now are no evidence any more."""
        self._run(_SQL["release"], builder=builder)

    def requeue_charged(self, builder: str, why: str) -> tuple[int, ...]:
        """Queue INFRAFAILED builds again that were charged on this builder, which turned out to be broken.

        Returns:
            The builds.
        """
        return self._ids(_SQL["requeue_charged"], builder=builder, why=why)

    def results(self, builders: Sequence[str], most: int) -> dict[str, tuple[BuildResult, ...]]:
        """Return the latest results of `builders`, at most `most` of each, latest first."""
        found: defaultdict[str, list[BuildResult]] = defaultdict(list)
        for one in self._rows(BuildResult, _SQL["results"], builders=list(builders), most=most):
            found[one.builder].append(one)
        return {name: tuple(found[name]) for name in builders}

    def try_elsewhere(self, builder: str, builds: Sequence[int], seconds: float, why: str) -> tuple[int, ...]:
        """Queue builds that failed on a suspected builder once more, on others.

        Args:
            builder: the suspected one.
            builds: those that failed there; left out are those that something else has happened to since.
            seconds: for how long they don't go there.
            why: for people.

        Returns:
            The builds that were queued.
        """
        return self._ids(_SQL["try_elsewhere"], builder=builder, builds=list(builds), seconds=seconds, why=why)

    def tried_elsewhere(self, builder: str, build: int) -> int:
        """Note that a build was tried elsewhere; return how many of the suspected builder's are still to be tried."""
        (left,) = self._values(_SQL["tried_elsewhere"], builder=builder, build=build)
        return int(left)

    def mark_builder_induced(self, builder: str, build: int) -> None:
        """Mark a build's package failures on this builder: the builder was to blame."""
        self._run(_SQL["builder_induced"], builder=builder, build=build)

    def hold_back_chroot(self, attempt: UUID, why: str) -> bool:
        """Let nothing more be built in the chroot of this attempt; False: another tarball has taken its place."""
        return self._run(_SQL["hold_back"], attempt=attempt, why=why) > 0

    def _ids(self, query: bytes, **params: object) -> tuple[int, ...]:
        with in_words():
            return tuple(number for (number,) in self._conn.execute(query, params))

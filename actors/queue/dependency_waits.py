"""The queue actor's hand for builds that wait for dependencies (dispatch-rules §7).

Publishes what builds have left, and looks at waiting builds, a slice at a time: what to look at next is noted in
`actors.core.dependencies.agenda`, what remains of a build's dependencies is decided in
`actors.core.dependencies.waits`.  Every slice is a transaction of its own, some tens of milliseconds long
(docs/adr/0148); `actors.queue.actor` lets others have their turn in between.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, assert_never

from debian.debian_support import DpkgArchTable

from actors.core.dependencies.agenda import MOST_BUILDS, MOST_LINES, Asked, AskWhoAwaits, Look, Looked, Moved, Published
from actors.core.dependencies.waits import Doubt, Judgement, Shelf, judge, names_awaited, superseded
from storage.errors import DatabaseUnreachable, StorageError
from storage.records import DependencyWait, Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors import messages as say
    from actors.queue.books import Books
    from actors.queue.storage import PackageRows, QueueStorage
    from actors.queue.turn import Turn

log = logging.getLogger("buildd_master.actors.queue")


def ended(turn: Turn, report: say.Finished) -> None:
    """Publish what the attempt's build has left; note whom that may help, or that the build waits itself.

    Args:
        turn: in whose transaction the end was recorded.
        report: that the attempt ended.
    """
    if report.outcome is Outcome.DEPFAIL:
        turn.books.agenda.handle(Moved(frozenset({turn.database.queue.attempt(report.attempt).build})))
    if not report.packages:
        return
    packages = turn.database.packages
    place = packages.place(report.attempt, (one.name for one in report.packages))
    if place is None:
        return  # it was being cancelled
    gone, new = superseded(place.earlier, report.packages)
    if new:
        turn.books.agenda.handle(Published(frozenset(packages.publish(place, new, gone))))


def step(database: QueueStorage, books: Books) -> tuple[int, ...]:
    """Do what comes next on the agenda.

    Returns:
        The jobs of builds that were queued again.

    Raises:
        DatabaseUnreachable: nothing was written, and the agenda is as it was.
    """
    match books.agenda.next():
        case None:
            return ()
        case AskWhoAwaits(packages):
            books.agenda.handle(Asked(packages, frozenset(database.waits.awaiting(packages))))
            return ()
        case Look() as look:
            return _look(database, books, look)
        case other:
            assert_never(other)


def fits(architecture: str, tag: str) -> bool:
    """Return whether an architecture is meant by a tag or wildcard, as `linux-any`; unknown words mean nothing."""
    if tag in {architecture, "any"}:
        return True
    table = _table()
    try:
        return table is not None and table.matches_architecture(architecture, tag)
    except KeyError:
        return False


@cache
def _table() -> DpkgArchTable | None:
    """Return dpkg's table of architectures; None where dpkg is not installed."""
    try:
        return DpkgArchTable.load_arch_table()
    except OSError as error:
        log.warning("dpkg's table of architectures can't be read: wildcards mean no architecture: %s", error)
        return None


def judgements(packages: PackageRows, waits: Sequence[DependencyWait], doubt: Doubt) -> tuple[Judgement, ...]:
    """Check the dependencies of each of these builds, with what is published now."""
    names = names_awaited(waits)
    archives = {archive for wait in waits for archive in wait.archives}
    shelf = Shelf(packages.offered(names, archives, {wait.series for wait in waits}) if names else ())
    return tuple(judge(wait, shelf, doubt, fits) for wait in waits)


def _look(database: QueueStorage, books: Books, look: Look) -> tuple[int, ...]:
    waits = database.waits.waits(look.builds, after=look.after, most_builds=MOST_BUILDS, most_lines=MOST_LINES)
    settlements = tuple(
        Settlement(wait.build, wait.dependencies, judgement.remaining, judgement.why)
        for wait, judgement in zip(waits, judgements(database.packages, waits, books.doubt), strict=True)
        if judgement.remaining != wait.dependencies
    )
    jobs: list[int] = []
    try:
        if settlements:
            with database.transaction():
                settled = database.waits.settle(settlements)
            jobs = [one.job for one in settled if one.job is not None]
    except DatabaseUnreachable:
        raise
    except StorageError:
        log.exception("a look at %d builds that wait for dependencies was refused: they go on waiting", len(waits))
    books.agenda.handle(Looked(look, waits[-1].build if waits else None))
    if jobs:
        log.info("%d builds are queued again: what they waited for is there", len(jobs))
    return tuple(jobs)

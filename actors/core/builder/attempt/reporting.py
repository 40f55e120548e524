"""The end of an attempt, and what our own disk refuses, in words for the queue actor.

Part of `actors.core.builder.attempt.in_hand`.
"""

from __future__ import annotations

from typing import assert_never

from actors.core.builder.attempt.ending import Ending
from actors.core.builder.attempt.gathering import Gathering
from actors.core.builder.events import LibrarianRefused, Store
from actors.core.builder.session import Session
from actors.core.dependencies.waits import reported
from actors.messages import Finished, ResultStored
from protocol.shapes import fit_text
from storage.records import BuildOrder, Outcome


def finished(
    order: BuildOrder, session: Session, ending: Ending, gathering: Gathering | None, log: ResultStored | None
) -> Finished:
    """Return how the attempt of `order` ended, with its results if it was OK, and its log."""
    gathered = gathering if ending.outcome is Outcome.OK else None
    return Finished(
        builder=session.row.name,
        generation=session.generation,
        session=session.epoch,
        attempt=order.attempt,
        outcome=ending.outcome,
        text=fit_text(ending.text),  # it may quote what a stranger wrote; the database takes no NUL
        dependencies=reported(ending.dependencies),
        results=() if gathered is None else gathered.results(),
        packages=() if gathered is None else gathered.packages(),
        log=log,
        slave_usable=ending.believed and session.open,
    )


def refused_by(event: LibrarianRefused) -> str:
    """Return why an attempt must be refused that is being prepared; empty if it may wait for the disk."""
    match event.store:
        case Store.FILES:
            return f"the master's own disk: {event.text}"
        case Store.SERVING:
            return f"this master's own fault: {event.text}"
        case Store.LOG | Store.RESULTS:
            return ""
        case _:
            assert_never(event.store)

"""The queue actor's books on a real database, without actors: reports in, letters out."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest

from actors.core.attempts.verdict import VerdictRules
from actors.messages import Assign, Finished, Ready
from actors.queue.bookkeeping import Bookkeeping
from actors.queue.database import QueueDatabase
from actors.queue.letters import Letter
from actors.queue.reports import Report
from actors.queue.storage import Changes
from storage.records import BuildState, Limits, Outcome
from tests.fix_storage import Farm

NOW = datetime(2026, 3, 1, tzinfo=UTC)

M = TypeVar("M")


@dataclass
class Desk:
    """The books under test, with a clock that a test winds."""

    farm: Farm
    dsn: str
    at: float = 1000.0
    connected: QueueDatabase | None = None
    marks: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    books: Bookkeeping = field(
        default_factory=lambda: Bookkeeping(limits=Limits(wall_seconds=3600), rules=VerdictRules(), resend=2.0)
    )

    def open(self) -> Sequence[Letter]:
        if self.connected is not None:
            self.connected.close()
        self.connected = QueueDatabase(self.dsn)
        return self.books.load(self.database, self.at)

    def take(self, *reports: Report) -> Sequence[Letter]:
        """Take a turn that has heard of everything that was committed before."""
        mark = -next(self.marks)  # a build that nobody has; notifications come in the order of the commits
        told = json.dumps({"table": "build", "op": "UPDATE", "ids": [mark]})
        self.farm.conn.execute("SELECT pg_notify('farm', %s)", (told,))
        changes, deadline = Changes(), time.monotonic() + 5.0
        while mark not in changes.builds:
            assert time.monotonic() < deadline
            new = self.database.changes()
            for name in Changes.__dataclass_fields__:
                setattr(changes, name, getattr(changes, name) | getattr(new, name))
        return self.books.take(reports, changes, self.at)

    @property
    def database(self) -> QueueDatabase:
        assert self.connected is not None
        return self.connected

    def close(self) -> None:
        self.database.close()

    def ready(self, name: str = "bob", generation: int = 1) -> Sequence[Letter]:
        return self.take(Ready(name, generation, 1))

    def assigned(self, name: str = "bob") -> UUID:
        """Queue a job, have `name` claim it, and return the attempt."""
        self.farm.job()
        assign = only(Assign, self.ready(name))
        return assign.order.attempt

    def state(self, build: int) -> BuildState:
        return self.farm.builds.get(build).state


@pytest.fixture
def desk(farm: Farm, shared_database: str) -> Iterator[Desk]:
    farm.builder("bob")
    made = Desk(farm, shared_database)
    made.open()
    yield made
    made.close()


def only(kind: type[M], letters: Sequence[Letter]) -> M:
    """Return the only message of this kind."""
    found = [letter.message for letter in letters if isinstance(letter.message, kind)]
    assert len(found) == 1, letters
    return found[0]


def kinds(letters: Sequence[Letter]) -> list[str]:
    """Return the names of the messages, in order."""
    return [type(letter.message).__name__ for letter in letters]


def finished(attempt: UUID, outcome: Outcome = Outcome.OK, name: str = "bob", **fields: Any) -> Finished:
    """Return the report that an attempt ended."""
    return Finished(name, 1, 1, attempt, outcome, **fields)

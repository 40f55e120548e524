"""A server that hangs (its process is stopped) is given up in time, and nobody waits for it for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from storage.builders import Builders
from storage.check import check
from storage.database.connection import MasterLock, acting, connect
from storage.database.patience import PromptConnection, unhurried
from storage.database.repository import in_words
from storage.errors import AnotherMaster, DatabaseUnreachable
from storage.files.librarian import Librarian
from tests.fix_storage import Farm

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may


@pytest.fixture
def freeze() -> Iterator[Callable[[int], None]]:
    """Stop processes of the server; they go on at the end of the test."""
    stopped: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    yield stop
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_hangs_is_given_up_and_nothing_was_done(
    farm: Farm, shared_database: str, freeze: Callable[[int], None]
) -> None:
    conn = connect(shared_database, application="waits", statement_seconds=0.05)
    with pytest.raises(DatabaseUnreachable, match="does not answer: no answer within"), acting(conn, "test"):  # noqa: PT012
        Builders(conn).add("bob", "buildd://127.0.0.1:1", ("x86",))
        freeze(conn.info.backend_pid)
        Builders(conn).all()
    with pytest.raises(DatabaseUnreachable):
        Builders(conn).all()
    assert farm.builders.all() == ()


def test_a_server_that_hangs_in_the_middle_of_a_pipeline_is_given_up(
    shared_database: str, freeze: Callable[[int], None]
) -> None:
    conn = connect(shared_database, application="waits", statement_seconds=0.05)
    with pytest.raises(DatabaseUnreachable), acting(conn, "test"), in_words(), conn.pipeline():  # noqa: PT012
        conn.execute("SELECT 1")
        freeze(conn.info.backend_pid)
        conn.execute("SELECT 1")
    assert conn.closed


def test_a_server_that_says_something_now_and_again_is_waited_for(shared_database: str) -> None:
    conn = connect(shared_database, application="waits")
    assert isinstance(conn, PromptConnection)
    conn.patience = 0.3
    with conn:
        rows = conn.execute("SELECT repeat('x', 100000), pg_sleep(0.15) FROM generate_series(1, 5)").fetchall()
    assert len(rows) == 5


def test_who_must_take_long_may(shared_database: str) -> None:
    with connect(shared_database, application="waits", statement_seconds=0.01) as conn:
        with in_words(), unhurried(conn), conn.transaction():
            conn.execute("SET LOCAL statement_timeout = 0")
            assert conn.execute("SELECT pg_sleep(0.5)").fetchone()
        with pytest.raises(DatabaseUnreachable, match="statement timeout"), in_words():
            conn.execute("SELECT pg_sleep(60)")


def test_the_invariants_are_checked_however_long_it_takes(librarian: Librarian, shared_database: str) -> None:
    def slow(*_: object) -> tuple[str, ...]:
        assert isinstance(conn, PromptConnection)
        told.append(conn.patience)
        return ()

    told: list[float | None] = []
    with connect(shared_database, application="waits") as conn:
        assert isinstance(conn, PromptConnection)
        check(conn, librarian, slow)
        assert told == [None]
        assert conn.patience


def test_a_lock_whose_own_lost_connection_still_holds_it_is_no_other_masters(
    shared_database: str, freeze: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.connection._HANDOVER_SECONDS", 0.1)
    lock = MasterLock(shared_database)
    lock.acquire()
    held = lock._conn
    assert isinstance(held, PromptConnection)
    pid = held.info.backend_pid
    held.patience = 0.3
    freeze(pid)
    assert not lock.held()
    lock.release()
    for _ in range(2):
        with pytest.raises(DatabaseUnreachable, match=rf"not noticed yet that our connection \(its process {pid}\)"):
            lock.acquire()
    with pytest.raises(AnotherMaster):
        MasterLock(shared_database).acquire()
    os.kill(pid, signal.SIGCONT)
    lock.acquire()
    assert lock.held()
    lock.release()

"""Claims that meet other transactions: nothing is given twice, and nobody waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from storage.build_queue import BuildQueue
from storage.check import check
from storage.database.connection import acting, connect
from storage.files.librarian import Librarian
from storage.records import Attempt, Limits, Pick
from tests.fix_storage import Farm


def test_two_masters_that_claim_at_once_never_share_a_job_or_builder(
    farm: Farm, shared_database: str, librarian: Librarian
) -> None:
    jobs = [farm.job(f"foo{number}") for number in range(8)]
    names = [farm.builder(f"b{number}") for number in range(8)]

    def claim_all(turn: int) -> tuple[Attempt, ...]:
        picks = [Pick(job.id, names[(place + turn) % 8], turn) for place, job in enumerate(jobs)]
        won: list[Attempt] = []
        with connect(shared_database, application="queue") as conn:
            for start in range(0, 8, 2):
                with acting(conn, "queue"):
                    won += BuildQueue(conn).claim(picks[start : start + 2], Limits(wall_seconds=60))
        return tuple(won)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(claim_all, (1, 2))
    won = first + second
    assert len({attempt.job for attempt in won}) == len({attempt.builder for attempt in won}) == len(won) > 0
    assert sorted(won, key=str) == sorted(farm.queue.open_attempts(), key=str)
    assert check(farm.conn, librarian) == ()


def test_a_row_that_somebody_is_changing_falls_out_at_once(farm: Farm, shared_database: str) -> None:
    held, free = farm.job("held"), farm.job("free")
    farm.builder("bob")
    farm.builder("eve")
    with (
        connect(shared_database, application="anna") as anna,
        anna.transaction(force_rollback=True),
    ):
        anna.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
        with farm.acting("queue"):
            won = farm.queue.claim((Pick(held.id, "bob", 1), Pick(free.id, "eve", 1)), Limits(wall_seconds=60))
        assert [attempt.builder for attempt in won] == ["eve"]
        anna.execute("DELETE FROM buildqueue WHERE id = %s", [held.id])
        with farm.acting("queue"):
            assert farm.queue.claim((Pick(held.id, "bob", 1),), Limits(wall_seconds=60)) == ()
    assert farm.claim(held, "bob").builder == "bob"


def test_a_claim_that_is_not_committed_keeps_others_away(farm: Farm, shared_database: str) -> None:
    job = farm.job()
    farm.builder("bob")
    with connect(shared_database, application="queue") as other, other.transaction(force_rollback=True):
        assert len(BuildQueue(other).claim((Pick(job.id, "bob", 1),), Limits(wall_seconds=60))) == 1
        with farm.acting("queue"):
            assert farm.queue.claim((Pick(job.id, "bob", 2),), Limits(wall_seconds=60)) == ()
    assert farm.claim(job, "bob").session == 1

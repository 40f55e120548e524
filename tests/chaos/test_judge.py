"""The judge after the monkey: sees what is lost, what counts twice, whose log is cut, who is blamed for nothing."""

from __future__ import annotations

import time

import pytest
import zstandard

from actors.messages import ResultStored
from storage.files.librarian import Librarian
from storage.records import BuildState, NotOkKind, Outcome, RuntimeState
from tests.chaos.judge import judge, lost_and_double
from tests.chaos.monkey import Happened
from tests.chaos.plan import Fault, Kind
from tests.chaos.slave_process import log_of
from tests.fix_storage import Farm


@pytest.fixture
def ended(farm: Farm, librarian: Librarian) -> str:
    """A farm with one build that went well; return the name of its attempt."""
    attempt = farm.claim(farm.job("good-1"), farm.builder("bob"))
    log = librarian.add_bytes(zstandard.compress(log_of("good-1")))
    deb = librarian.add_bytes(b"a deb")
    with farm.acting("queue"):
        farm.queue.record(
            attempt.id,
            Outcome.OK,
            "",
            build_state=BuildState.FULLYBUILT,
            keep_job=False,
            results=(ResultStored("good-1_1.0_i386.deb", deb),),
            log=ResultStored("good-1.log.zst", log),
        )
        farm.builders.record_runtime("bob", RuntimeState.IDLE, connected=True)
    return str(attempt.id)


def found(farm: Farm, librarian: Librarian, *faults: Happened) -> list[str]:
    return list(judge(farm.conn, librarian, faults))


def test_a_build_that_ended_once_as_its_source_says_is_all_right(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    assert found(farm, librarian) == []
    assert lost_and_double(farm.conn) == (0, 0)


def test_a_build_that_did_not_end_is_lost(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    farm.job("good-2")
    assert any("of good-2 is NEEDSBUILD" in line for line in found(farm, librarian))
    assert any("is still there" in line for line in found(farm, librarian))
    assert lost_and_double(farm.conn) == (1, 0)


def test_a_build_that_ended_otherwise_is_lost(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    farm.sql("UPDATE source_release SET name = 'fails-1'")
    assert lost_and_double(farm.conn) == (1, 0)
    assert any("of fails-1 is FULLYBUILT" in line for line in found(farm, librarian))


def test_two_attempts_that_count_are_one_too_many(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    farm.sql(
        "INSERT INTO attempt (build, job, builder, session, trusted, chroot, limits, limits_from, wall_seconds, deadline,"
        " outcome, ended) SELECT build, job, 'bob', session, trusted, chroot, limits, limits_from, wall_seconds, deadline,"
        " 'OK', now() FROM attempt"
    )
    assert lost_and_double(farm.conn) == (0, 1)
    assert any("2 attempts count" in line for line in found(farm, librarian))


def test_a_log_that_is_cut_or_differs_is_found(farm: Farm, librarian: Librarian, ended: str) -> None:
    whole = log_of("good-1")
    for wrong, words in ((whole[:-7], f"of {len(whole)} bytes"), (b"X" + whole[1:], "differs from byte 0 on")):
        content = librarian.add_bytes(zstandard.compress(wrong))
        alias = farm.library.add(content, "wrong.log.zst")
        farm.sql("UPDATE attempt SET log = %s WHERE id = %s", alias.id, ended)
        assert any(words in line for line in found(farm, librarian))


def blamed(kind: Kind, builder: str, seconds_ago: float) -> Happened:
    now = time.time()
    return Happened(Fault(1, kind, builder, 1.0), now - seconds_ago - 1.0, now - seconds_ago)


def test_blame_without_a_fault_of_that_builder_is_found(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "the slave is gone", NotOkKind.UNREACHABLE)
        farm.builders.heal("bob")
    (line,) = found(farm, librarian)
    assert "bob is blamed, and nobody had done anything to it: not ok: the slave is gone" in line
    assert found(farm, librarian, blamed(Kind.KILL_SLAVE, "bob", 1.0)) == []
    for other in (
        blamed(Kind.KILL_SLAVE, "eve", 1.0),
        blamed(Kind.KILL_QUEUE, "", 1.0),
        blamed(Kind.KILL_SLAVE, "bob", 100.0),
    ):
        assert len(found(farm, librarian, other)) == 1


def test_blame_that_waited_for_the_database_is_explained(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "its actor was killed", NotOkKind.CRASH)
        farm.builders.heal("bob")
    killed, now = blamed(Kind.KILL_BUILDER, "bob", 40.0), time.time()
    stopped = Happened(Fault(2, Kind.STOP_POSTGRES, "", 8.0), now - 39.0, now - 31.0)
    frozen = Happened(Fault(3, Kind.FREEZE_POSTGRES, "", 20.0), now - 30.0, now - 10.0)
    assert found(farm, librarian, killed, stopped, frozen) == []
    assert len(found(farm, librarian, killed)) == 1
    assert len(found(farm, librarian, killed, frozen)) == 1  # the database was there for ten seconds


def test_a_builder_that_is_away_or_out_for_no_reason_is_found(farm: Farm, librarian: Librarian, ended: str) -> None:
    assert ended
    with farm.acting("queue"):
        farm.builders.record_runtime("bob", RuntimeState.DISCONNECTED, connected=False)
    assert found(farm, librarian) == ["bob is ok, and not connected"]

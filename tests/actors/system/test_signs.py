"""The page of signs of life, between real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from actors.core.supervision.hangs import Excuse
from actors.queue.database import QueueDatabase
from actors.system import signs
from tests.fix_storage import Farm
from tests.waiting import wait_until

SLOT = 7


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> signs.Page:
    """The page of an actor system that this process has started, with one child reserved."""
    monkeypatch.setattr(signs, "_here", signs._Here())
    made = signs.lay_out(limit=6.0)
    signs.reserve(SLOT)
    return made


@contextmanager
def forked(act: Callable[[], object]) -> Iterator[int]:
    """Yield a child that is born in the reserved slot, then does something, and sleeps."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signs.born(signs.reserved())
            act()
            os.write(tells, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tells)
    os.read(told, 1)
    try:
        yield pid
    finally:
        os.close(told)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_child_lives_in_the_slot_that_was_reserved_for_it_and_its_stamps_are_seen(page: signs.Page) -> None:
    assert page.pid(SLOT) == 0
    before = page.sign(SLOT, "bob", 3)
    with forked(signs.stamp) as pid:
        sign = page.sign(SLOT, "bob", 3)
        assert page.pid(SLOT) == pid
    assert (sign.name, sign.generation, sign.excuse, sign.stopped) == ("bob", 3, Excuse.NONE, False)
    assert sign.at > before.at


def test_an_idle_process_is_told_to_give_three_signs_in_the_time_after_which_it_would_hang(page: signs.Page) -> None:
    signs.born(signs.reserved())
    assert signs.stamp() == pytest.approx(2.0)
    page.set_limit(36.0)
    assert signs.stamp() == pytest.approx(12.0)


def test_nobody_looks_at_a_process_without_a_slot_so_it_is_never_woken_for_a_sign(page: signs.Page) -> None:
    signs.born(None)
    assert signs.stamp() is None
    with signs.waiting(Excuse.DISK):
        assert page.sign(SLOT, "bob", 1).excuse is Excuse.NONE


def test_what_is_waited_for_is_said_while_it_is_and_not_after_also_if_it_fails(page: signs.Page) -> None:
    signs.born(signs.reserved())
    with suppress(OSError), signs.waiting(Excuse.DISK):
        assert page.sign(SLOT, "bob", 1).excuse is Excuse.DISK
        raise OSError
    assert page.sign(SLOT, "bob", 1).excuse is Excuse.NONE


def test_a_new_life_does_not_inherit_what_the_last_one_waited_for(page: signs.Page) -> None:
    page.excuse(SLOT, Excuse.DISK)
    signs.reserve(SLOT)
    assert page.sign(SLOT, "bob", 2).excuse is Excuse.NONE


def test_a_stopped_process_that_gives_no_sign_is_seen_to_be_stopped(page: signs.Page) -> None:
    page.set_limit(0.05)
    with forked(lambda: None) as pid:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: page.sign(SLOT, "bob", 1).stopped)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not page.sign(SLOT, "bob", 1).stopped)


def test_only_a_child_of_our_own_that_still_runs_is_killed(page: signs.Page) -> None:
    assert page.pid(SLOT) == 0
    assert not signs.kill_child(0)
    assert not signs.kill_child(os.getppid())
    with forked(lambda: None) as pid:
        assert signs.kill_child(pid)
        wait_until(lambda: not signs.kill_child(pid))  # dead, and nobody has taken note of it
        os.waitpid(pid, 0)
        assert not signs.kill_child(pid)


def test_a_name_keeps_its_slot_and_slots_of_those_that_are_gone_are_given_away_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signs, "SLOTS", signs._FIRST + 3)
    slots, gone = signs.Slots(), {"b"}

    def give(name: str) -> int:
        return slots.give(name, lambda one: one not in gone)

    a, b, c = (give(name) for name in "abc")
    assert len({a, b, c} - {signs.ADMIN, signs.SUPERVISOR, 0}) == 3
    assert (give("a"), slots["c"]) == (a, c)
    assert give("d") == b


def test_the_page_has_no_descriptor_that_a_process_could_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "_here", signs._Here())
    before = psutil.Process().num_fds()
    signs.lay_out(limit=6.0)
    assert psutil.Process().num_fds() == before


def test_every_journey_to_the_database_is_a_sign_of_life_for_a_turn_may_have_many(
    page: signs.Page, farm: Farm, shared_database: str
) -> None:
    signs.born(SLOT)
    farm.builder("bob")
    database = QueueDatabase(shared_database)

    def stamps(journey: Callable[[], object]) -> bool:
        before = page.sign(SLOT, "queue", 1).at
        journey()
        return page.sign(SLOT, "queue", 1).at > before

    def empty() -> None:
        with database.transaction("a try"):
            pass

    assert stamps(database.builders.all)
    assert stamps(empty)
    database.close()

"""The whole farm, multi-process, with slaves on sockets: what happens when something in it dies in mid-build."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from storage.records import BuildState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from simulation.slaves.buildd.slave import SimulatedSlave
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


@pytest.fixture(scope="module")
def slave_host() -> Iterator[SlaveHost]:
    """A thread to put simulated slaves into."""
    with SlaveHost() as host:
        yield host


@pytest.fixture(scope="module")
def bob(slave_host: SlaveHost) -> SimulatedSlave:
    """A slave that builds until it is told to finish."""
    return slave_host.add("bob", Script(conducts=(Conduct(hangs=True),)))


@pytest.fixture(scope="module")
def farm(shared_farm: FarmUnderTest, bob: SimulatedSlave) -> FarmUnderTest:
    """A farm that runs, with bob as its only builder."""
    shared_farm.lay_out()
    shared_farm.builders.add("bob", bob.url, ["x86"], trusted=True)
    shared_farm.start(crashes=50)
    return shared_farm


@pytest.fixture
def since(farm: FarmUnderTest) -> int:
    """The last event before the test."""
    row = farm.conn.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
    assert row is not None
    return int(row[0])


def building(farm: FarmUnderTest) -> tuple[int, UUID]:
    """Queue a build; return it and its attempt once it is being built."""
    build = farm.queue_build().build
    farm.wait_build(build, BuildState.BUILDING)
    farm.wait_runtime("bob", "BUILDING")
    return build, farm.open_attempt(build).id


def fail_notes(farm: FarmUnderTest, name: str, since: int) -> str:
    """Every fail notes a builder has had since an event, a line each."""
    rows = farm.conn.execute(
        "SELECT after->>'failnotes' FROM event WHERE subject = %s AND after ? 'failnotes' AND id > %s ORDER BY id",
        (f"builder:{name}", since),
    )
    return "\n".join(row[0] for row in rows)


def expect_it_ends_well(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, build: int, attempt: UUID
) -> None:
    """The very attempt that was interrupted is the one whose results count."""
    assert farm.open_attempt(build).id == attempt

    def built() -> bool:
        slave_host.call(bob.finish)  # again: the slave may not have come to where it waits
        return farm.builds.get(build).state is BuildState.FULLYBUILT

    farm.wait_until(built, f"build {build} is built")
    assert [one.id for one in farm.builds.attempts(build)] == [attempt]
    assert farm.builds.files(build)


def test_kill_9_of_a_builders_actor_marks_it_not_ok_and_its_next_life_adopts_the_build(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, since: int
) -> None:
    build, attempt = building(farm)
    os.kill(farm.pid("bob"), signal.SIGKILL)
    farm.wait_until(
        lambda: (
            "actor of the builder crashed: process ended without a word (signal?)" in fail_notes(farm, "bob", since)
        ),
        "bob was marked not ok",
    )
    farm.wait_builder("bob", ok=True)  # by itself: the probe passes
    expect_it_ends_well(farm, slave_host, bob, build, attempt)


def test_a_crash_injected_by_the_console_tells_its_traceback_and_the_build_is_adopted(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, since: int
) -> None:
    build, attempt = building(farm)
    farm.console('send bob Crash(reason="told so")')
    farm.wait_until(lambda: "InjectedCrash: told so" in fail_notes(farm, "bob", since), "bob was marked not ok")
    assert str(attempt) in fail_notes(farm, "bob", since)
    farm.wait_builder("bob", ok=True)
    expect_it_ends_well(farm, slave_host, bob, build, attempt)


def test_a_message_injected_by_the_console_is_acted_on_as_if_the_builders_actor_had_sent_it(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, since: int
) -> None:
    build, attempt = building(farm)
    bob_lives = farm.actor("bob")
    assert bob_lives is not None
    farm.console(
        f'send queue BuilderTroubled("bob", {bob_lives.generation}, kind=UNREACHABLE, failnotes="so it is said",'
        f" attempt='{attempt}')"
    )
    farm.wait_until(lambda: "so it is said" in fail_notes(farm, "bob", since), "bob was marked not ok")
    assert "injected by" in farm.log.read_text()
    expect_it_ends_well(farm, slave_host, bob, build, attempt)
    farm.builders.set_ok("bob", True)


def test_a_builder_that_is_said_to_have_nothing_in_hand_drops_what_it_has_and_goes_on(
    farm: FarmUnderTest, bob: SimulatedSlave
) -> None:
    del bob
    build, attempt = building(farm)
    bob_lives = farm.actor("bob")
    assert bob_lives is not None
    farm.console(f'send queue BuilderTroubled("bob", {bob_lives.generation}, UNREACHABLE, "so it is said")')
    farm.wait_build(build, BuildState.NEEDSBUILD)
    assert [(one.id, one.outcome) for one in farm.builds.attempts(build)] == [(attempt, Outcome.LOST)]
    farm.wait_runtime("bob", "IDLE")
    farm.builds.cancel(build)
    farm.builders.set_ok("bob", True)


@pytest.mark.parametrize("dies", ["queue", "nursery-1"])
def test_when_the_queue_actor_or_a_nursery_dies_no_build_is_lost_and_no_builder_blamed(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, since: int, dies: str
) -> None:
    build, attempt = building(farm)
    old = farm.pid(dies)
    os.kill(old, signal.SIGKILL)
    farm.wait_until(lambda: farm.pid(dies) != old, f"{dies} lives again")
    expect_it_ends_well(farm, slave_host, bob, build, attempt)
    assert fail_notes(farm, "bob", since) == ""
    second, again = building(farm)  # and dispatch goes on
    expect_it_ends_well(farm, slave_host, bob, second, again)


def test_when_the_whole_master_is_killed_the_next_one_adopts_the_build(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, since: int
) -> None:
    build, attempt = building(farm)
    farm.stop(signal.SIGKILL)
    farm.start(crashes=50)
    farm.wait_until(lambda: farm.actor("bob") is not None, "bob's actor lives")
    expect_it_ends_well(farm, slave_host, bob, build, attempt)
    assert fail_notes(farm, "bob", since) == ""


def test_a_builder_is_added_changed_and_removed_by_plain_sql_while_the_farm_runs(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave
) -> None:
    frog = slave_host.add("frog")
    sql = farm.conn.execute
    sql(
        "INSERT INTO builder (name, url, families, trusted) SELECT 'frog', %s, families, trusted FROM builder",
        (bob.url.replace(str(bob.port), "1"),),
    )
    assert "127.0.0.1 port 1" in farm.wait_builder("frog", ok=False).failnotes
    sql("UPDATE builder SET url = %s WHERE name = 'frog'", (frog.url,))
    farm.wait_builder("frog", ok=True)
    sql("UPDATE builder SET manual = true WHERE name = 'bob'")
    build = farm.queue_build().build
    farm.wait_build(build, BuildState.FULLYBUILT)
    assert [one.builder for one in farm.builds.attempts(build)] == ["frog"]
    sql("UPDATE builder SET manual = false WHERE name = 'bob'")
    farm.builders.remove("frog")
    farm.wait_until(lambda: farm.actor("frog") is None, "frog's actor has left")

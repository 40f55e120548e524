"""A builder's actor that is frozen while its slave builds: nobody is blamed, whatever happened meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from simulation.slaves.script import Conduct, Script
from storage.records import BuildState

if TYPE_CHECKING:
    from tests.fix_dialects import Slaves, WatchedSlave
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow

LOST = 2.0  #: seconds after which a slave that says nothing is lost, were it listened to


@pytest.fixture
def bob(whole_farm: FarmUnderTest, slaves_of_either_dialect: Slaves) -> WatchedSlave:
    """The only builder of a farm that runs; it builds until it is told to finish."""
    slave = slaves_of_either_dialect.add("bob", Script(conducts=(Conduct(hangs=True),)))
    whole_farm.lay_out()
    whole_farm.builders.add("bob", slave.url, ["x86"], trusted=True)
    timers = {"lost": LOST, "suspect": LOST / 2, "poll_building": LOST / 5, "poll_idle": LOST / 5}
    whole_farm.start(timers=timers, **slave.settings)
    whole_farm.wait_runtime("bob", "IDLE")
    return slave


def freeze_in_mid_build(farm: FarmUnderTest, seconds: float, meanwhile: Callable[[], object]) -> int:
    """Freeze bob while it builds, until it thaws by itself; return the build."""
    build = farm.queue_build().build
    farm.wait_runtime("bob", "BUILDING")
    farm.console(f"freeze bob {seconds:g}")
    meanwhile()

    def thawed() -> bool:
        said = farm.actor("bob")
        return said is not None and not said.frozen

    farm.wait_until(thawed, "bob thaws by itself", 4 * seconds + 10)
    return build


def expect_nobody_blamed(farm: FarmUnderTest, build: int) -> None:
    (attempt,) = farm.builds.attempts(build)
    assert attempt.outcome == "OK"
    bob = farm.builders.get("bob")
    assert (bob.builderok, bob.failures_in_row, bob.failnotes, bob.frozen_until) == (True, 0, "", None)
    rows = farm.conn.execute("SELECT what FROM event WHERE subject = 'builder:bob'").fetchall()
    assert {what for (what,) in rows} <= {"insert", "frozen_until", f"console: freeze for {3 * LOST:g} s"}
    assert farm.console("check") == "all invariants hold, and every file in the librarian is what it should be\n"


def test_what_a_slave_said_while_its_actor_was_frozen_counts_when_it_thaws(
    whole_farm: FarmUnderTest, bob: WatchedSlave
) -> None:
    build = freeze_in_mid_build(whole_farm, 3 * LOST, bob.finish)
    whole_farm.wait_build(build, BuildState.FULLYBUILT)
    expect_nobody_blamed(whole_farm, build)


def test_a_slave_that_hung_up_on_a_frozen_actor_is_connected_again_and_its_build_goes_on(
    whole_farm: FarmUnderTest, bob: WatchedSlave
) -> None:
    def hang_up() -> None:
        bob.go_away()
        bob.come_back()

    build = freeze_in_mid_build(whole_farm, 3 * LOST, hang_up)

    def built() -> bool:
        bob.finish()
        return whole_farm.builds.get(build).state is BuildState.FULLYBUILT

    whole_farm.wait_until(built, "the build ends")
    expect_nobody_blamed(whole_farm, build)

"""The whole farm, multi-process: what happens when something in it dies."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from simulation.script import Conduct, Script
from storage.records import BuildState

if TYPE_CHECKING:
    from simulation.host import SlaveHost
    from tests.fix_farm import FarmUnderTest


def test_a_build_goes_through(whole_farm: FarmUnderTest, slave_host: SlaveHost) -> None:
    bob = slave_host.add("bob")
    whole_farm.lay_out()
    whole_farm.builders.add("bob", bob.url, ["x86"], trusted=True)
    whole_farm.start()
    job = whole_farm.queue_build()
    build = whole_farm.wait_build(job.build, BuildState.FULLYBUILT)
    assert whole_farm.builds.files(build.id)
    assert whole_farm.stop() == 0


def test_kill_9_of_a_builders_actor_in_mid_build_marks_it_not_ok_and_the_next_life_adopts_the_build(
    whole_farm: FarmUnderTest, slave_host: SlaveHost
) -> None:
    bob = slave_host.add("bob", Script(conducts=(Conduct(hangs=True),)))
    whole_farm.lay_out()
    whole_farm.builders.add("bob", bob.url, ["x86"], trusted=True)
    whole_farm.start()
    job = whole_farm.queue_build()
    whole_farm.wait_build(job.build, BuildState.BUILDING)
    whole_farm.wait_runtime("bob", "BUILDING")
    attempt = whole_farm.open_attempt(job.build)
    os.kill(whole_farm.pid("bob"), signal.SIGKILL)
    whole_farm.wait_until(
        lambda: any("without a word" in str(notes) for notes in fail_notes(whole_farm, "bob")), "bob was marked not ok"
    )
    whole_farm.wait_builder("bob", ok=True)  # it heals by itself: the probe passes
    assert whole_farm.open_attempt(job.build).id == attempt.id
    slave_host.call(bob.finish)
    whole_farm.wait_build(job.build, BuildState.FULLYBUILT)
    assert [one.id for one in whole_farm.builds.attempts(job.build)] == [attempt.id]


def fail_notes(farm: FarmUnderTest, name: str) -> list[object]:
    """Every fail notes a builder has had."""
    rows = farm.conn.execute(
        "SELECT after->>'failnotes' FROM event WHERE subject = %s AND after ? 'failnotes' ORDER BY id",
        (f"builder:{name}",),
    )
    return [row[0] for row in rows]

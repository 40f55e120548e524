"""Real processes that hang, and that only seem to: supervisor and nurseries over doubles, two seconds to give a sign."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from actors.console.orders import Freeze, Held
from tests.actors.supervision.small_farm import SLOW_DISK
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fix_small_farm import SmallFarm

pytestmark = pytest.mark.slow

ATTEMPT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


@pytest.fixture
def farm(watchful_farm: SmallFarm) -> SmallFarm:
    """The farm, with everybody there."""
    wait_until(lambda: not watchful_farm.attached.census().absent)
    return watchful_farm


def test_a_builders_actor_in_an_endless_loop_is_killed_and_reported_and_one_that_waits_for_a_disk_is_not(
    farm: SmallFarm,
) -> None:
    old = {name: farm.generation(name) for name in ("bob", "frog", "toad")}
    disk = farm.settings.state_directory / SLOW_DISK
    os.mkfifo(disk)
    farm.obey(f'send frog Disown("frog", 1, "{ATTEMPT}", "wait for a disk")')
    farm.obey(f'send bob Disown("bob", 1, "{ATTEMPT}", "loop for ever")')
    wait_until(lambda: "waits for a disk" in farm.obey("actors"))
    farm.wait_generation("bob", old["bob"] + 1)
    wait_until(lambda: f"gone bob {old['bob']}" in farm.facts())
    notes = farm.facts()[f"gone bob {old['bob']}"]
    assert notes == "actor of the builder crashed: hung: no sign of life for 2 s"
    assert "waits for a disk" in farm.obey("actors"), "for longer than bob has hung"
    disk.write_bytes(b"")
    farm.obey("send frog Describe")
    wait_until(lambda: dict(farm.said("frog").state)["stage"] == "IDLE")
    assert farm.generation("frog") == old["frog"]
    assert farm.generation("toad") == old["toad"]


def test_an_actor_that_is_frozen_for_longer_than_it_may_hang_lives_and_thaws_by_itself(farm: SmallFarm) -> None:
    frog = farm.here("frog")
    assert frog is not None
    held = farm.attached.ask(frog, Freeze(3.0, "a test"), Held)  # hung would be two seconds
    assert held is not None
    assert held.seconds == pytest.approx(3.0, abs=0.5)
    moved = dict(farm.said("frog").state)["moved"]
    queue = farm.generation("queue")
    farm.kill("queue")
    farm.wait_generation("queue", queue + 1)
    wait_until(lambda: "1 message held" in farm.said("frog").frozen)
    wait_until(lambda: farm.said("frog").frozen == "")
    assert farm.generation("frog") == frog.generation
    assert dict(farm.said("frog").state)["moved"] == str(int(moved) + 1)


def test_an_actor_that_is_killed_as_it_is_born_is_missed_and_lives_again(farm: SmallFarm) -> None:
    old = farm.generation("bob")
    (farm.settings.state_directory / "dies-at-birth").touch()
    farm.kill("bob")
    farm.wait_generation("bob", old + 2)


def test_a_queue_actor_that_keeps_crashing_is_held_until_the_window_has_passed_and_the_others_go_on(
    farm: SmallFarm,
) -> None:
    pids = {name: farm.said(name).pid for name in ("bob", "frog", "toad")}

    def held() -> bool:
        return "held" in dict(farm.attached.census().absent).get("queue", "")

    while not held():
        queue = farm.here("queue")
        if queue is not None:
            with suppress(ProcessLookupError):
                os.kill(queue.pid, signal.SIGKILL)
    assert {name: farm.said(name).pid for name in pids} == pids
    wait_until(lambda: farm.here("queue") is not None)
    wait_until(lambda: {"ready bob", "ready frog", "ready toad"} <= farm.facts().keys())

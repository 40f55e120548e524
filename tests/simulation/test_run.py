"""Whole farms in virtual time: the same every time, told so that anybody can count again, and well in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from simulation.observers.story import Line, as_text
from simulation.recount import recount
from simulation.run import Run, draw, run
from simulation.scenario.plan import Act, Trouble
from tests.fix_simulation import BuildState, Tale

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

_STORY = """
import hashlib, sys
from simulation.run import draw, run
from simulation.observers.story import as_text
story = hashlib.sha256()
run(draw(seed=7, builders=6, jobs=20, hours=2.0, faults="heavy", times=6.0), write=lambda line: story.update(as_text(line).encode()))
print(story.hexdigest())
"""


def told(seed: int, **fields: Any) -> tuple[Run, list[Line]]:
    lines: list[Line] = []
    farm: dict[str, Any] = {"builders": 6, "jobs": 25, "hours": 2.0, "faults": "heavy", "times": 4.0}
    return run(draw(seed=seed, **(farm | fields)), validate=True, write=lines.append), lines


def test_the_same_seed_tells_the_same_story_in_every_process() -> None:
    def story(hash_seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", _STORY]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert story("1") == story("2") != ""


def test_other_seeds_tell_other_stories() -> None:
    assert told(1)[1] != told(2)[1]


@pytest.mark.parametrize("seed", [3, 11])
def test_a_story_can_be_counted_again_by_somebody_who_knows_nothing_else(seed: int) -> None:
    found, lines = told(seed)
    counted = recount(json.loads(as_text(line)) for line in lines)
    assert found.failure is None
    assert counted.keys() >= {"dispatched", "lost", "mixed_up", "double_accepted", "worst_wait_s", "utilisation"}
    for name, number in counted.items():
        assert number == pytest.approx(getattr(found.summary, name), abs=0.0011), name
    assert counted["dispatched"] > 20


def test_a_story_that_was_tampered_with_does_not_count_the_same() -> None:
    _, lines = told(3)
    accepted = next(line for line in lines if line["what"] == "accepted")
    stranger = next(
        line["attempt"] for line in lines if line["what"] == "made" and line["attempt"] != accepted["attempt"]
    )
    assert recount([line if line is not accepted else {**line, "attempt": stranger} for line in lines])["mixed_up"] == 1
    built = next(line for line in lines if line["what"] == "build" and line["state"] == "FULLYBUILT")
    assert recount([*lines, {**built, "at": lines[-1]["at"]}])["double_accepted"] == 1
    gone = [line for line in lines if line["what"] != "build" or line["build"] != built["build"]]
    assert recount(gone)["lost"] == 1


def test_what_is_left_out_of_a_plan_changes_nothing_else_of_it() -> None:
    whole = draw(seed=5, builders=6, jobs=30, hours=2.0, faults="heavy", times=5.0)
    fewer = replace(whole, faults=whole.faults[1:], jobs=whole.jobs[1:])
    assert (fewer.faults, fewer.jobs) == (whole.faults[1:], whole.jobs[1:])
    without = draw(seed=5, builders=5, jobs=30, hours=2.0, faults="heavy", times=5.0)
    names = {builder.name for builder in without.builders}
    assert {fault for fault in whole.faults if not fault.builder or fault.builder in names} == set(without.faults)


def test_a_farm_without_trouble_builds_everything_once() -> None:
    found, lines = told(1, faults="none")
    assert found.failure is None
    assert found.summary.finished == 25
    assert found.summary.overlaps == 0
    assert found.summary.dispatched - found.summary.outcomes.get("GIVENBACK", 0) == 25
    assert not [line for line in lines if line["what"] in {"fault", "deed"}]


@pytest.mark.parametrize("trouble", Trouble)
def test_a_farm_survives_each_kind_of_trouble(trouble: Trouble) -> None:
    tale = Tale(hours=2.0)
    tale.builder("a", "b", "c")
    for number in range(12):
        tale.job(f"s{number}", at=10.0 + 200.0 * number, seconds=150.0)
    of_farm = list(Trouble).index(trouble) >= list(Trouble).index(Trouble.NURSERY_CRASH)
    manner = "wrong_hash" if trouble is Trouble.LIES else ""
    for number in range(4):
        name = "" if of_farm else "ab"[number % 2]
        tale.fault(100.0 + 300.0 * number, trouble, name, seconds=120.0, strength=50.0, manner=manner)
    tale.deed(5000.0, Act.SET_OK)
    tale.run()
    assert tale.times("fault", trouble=str(trouble)) == 4
    told = {BuildState.FULLYBUILT, BuildState.FAILEDTOUPLOAD, BuildState.INFRAFAILED, BuildState.FAILEDTOBUILD}
    assert tale.states <= told
    if trouble not in {Trouble.LIES, Trouble.BLACK_HOLE}:
        assert tale.states == {BuildState.FULLYBUILT}
    assert all(runtime.connected for runtime in tale.world.ground.server.builders.runtimes())


@pytest.mark.parametrize("act", Act)
def test_people_may_do_what_they_like(act: Act) -> None:
    tale = Tale(hours=1.0)
    tale.builder("a", "b")
    for number in range(10):
        tale.job(f"s{number}", at=10.0 + 60.0 * number, seconds=100.0)
    for number in range(8):
        tale.deed(45.0 + 77.0 * number, act, target=(0.3 * number) % 1, seconds=40.0)
    tale.run()
    assert tale.times("deed", act=str(act)) == 8
    assert all(state.final for state in tale.states)

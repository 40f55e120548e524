"""A tapped story of twenty jobs, put into fresh cores: the same orders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.console.attach import Attached
from cli.given import Given
from console.obeying import Console
from console.replay import replay
from simulation.slaves.script import Script
from storage.records import BuildState

if TYPE_CHECKING:
    from simulation.slaves.buildd.host import SlaveHost
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow

JOBS = 20


@pytest.fixture
def story(whole_farm: FarmUnderTest, slave_host: SlaveHost, tmp_path: Path) -> Path:
    """All that bob, eve, the queue actor and the supervisor heard and answered while they built twenty jobs."""
    farm = whole_farm
    farm.lay_out()
    for name in ("bob", "eve"):
        farm.builders.add(name, slave_host.add(name, Script()).url, ["x86"], trusted=True)
    farm.start()
    for name in ("bob", "eve"):
        farm.wait_runtime(name, "IDLE")
    file = tmp_path / "story"
    given = Given(state_directory=farm.settings.state_directory, database=farm.database)
    with Attached(farm.settings) as attached, (tmp_path / "said").open("w") as said:
        console = Console(attached, said, given)
        console.obey(f"tap bob eve queue supervisor --to {file}")
        builds = [farm.queue_build().build for _ in range(JOBS)]
        for build in builds:
            farm.wait_build(build, BuildState.FULLYBUILT, seconds=60)
        console.obey("untap")
        console.close()
    assert (tmp_path / "said").read_text().endswith(" lines\n")  # none was lost
    return file


def test_a_tapped_story_of_twenty_jobs_replays_with_no_difference(story: Path) -> None:
    done = replay(story)
    assert done.difference is None
    cores = {name.rpartition(" ")[2] for name in done.events}
    assert cores >= {"builder", "dispatch", "outbox"}
    assert sum(done.events.values()) > 20 * JOBS
    assert done.skipped == 0
    lines = [json.loads(line) for line in story.read_text().splitlines()]
    assigned = [line for line in lines if line["kind"] == "handled" and line["type"] in {"Assign", "Recorded"}]
    assert {line["peer"] for line in assigned} == {"queue"}


def test_of_a_story_that_was_meddled_with_the_first_difference_is_told(story: Path) -> None:
    lines = story.read_text().splitlines()
    place = next(
        number
        for number, line in enumerate(lines)
        if '"core": "builder"' in line
        and '"kind": "event"' in line
        and "QueueSaid" in line
        and json.loads(line)["orders"]
    )
    changed = json.loads(lines[place])
    changed["orders"] = []
    story.write_text("\n".join([*lines[:place], json.dumps(changed), *lines[place + 1 :]]) + "\n")
    difference = replay(story).difference
    assert difference is not None
    assert difference.line == place + 1
    assert difference.told == ()
    assert difference.now != ()
    assert "heard QueueSaid(" in difference.words()

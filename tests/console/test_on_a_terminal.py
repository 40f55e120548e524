"""The debug console as a person has it: on a terminal, at a farm of many processes, with slaves on sockets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.system.transport import write_key
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from storage.events.log import Events
from storage.records import BuildState
from tests.fix_console import Terminal, command, on_a_terminal
from tests.fix_farm import PROJECT

if TYPE_CHECKING:
    from simulation.slaves.buildd.slave import SimulatedSlave
    from storage.records import Event
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow


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
    shared_farm.wait_runtime("bob", "IDLE")
    return shared_farm


@pytest.fixture
def terminal(farm: FarmUnderTest) -> Iterator[Terminal]:
    """A console that has just been entered; left afterwards, the farm goes on."""
    with on_a_terminal(farm) as entered:
        yield entered
    assert farm.process is not None
    assert farm.process.poll() is None


def told(farm: FarmUnderTest, subject: str, since: int = 0) -> list[Event]:
    return [event for event in Events(farm.conn).story(subject) if event.id > since]


def explained(farm: FarmUnderTest, job: int) -> Any:
    ran = subprocess.run(
        command(farm, "explain", str(job), "--json"), cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def finish(farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, build: int) -> None:
    def built() -> bool:
        slave_host.call(bob.finish)
        return farm.builds.get(build).state is BuildState.FULLYBUILT

    farm.wait_until(built, f"build {build} is built")


def test_the_actors_are_listed_and_one_is_shown_with_its_story(terminal: Terminal) -> None:
    table = terminal.says("actors")
    assert re.search(r"supervisor +supervisor +\d+ +1 ", table)
    assert re.search(r"\n    bob +builder +\d+ +\d+ +idle .* MB", table)
    shown = terminal.says("show bob")
    assert re.search(r"stage +idle", shown)
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3} QueueSaid\(SessionOpened\)", shown)
    assert "Tell(Ready)" in shown
    assert "StartQueue" in terminal.says("show supervisor")
    assert "refused: no actor 'eve'" in terminal.says("show eve")


def test_what_actors_say_is_seen_live_until_it_is_interrupted(
    terminal: Terminal, farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave
) -> None:
    terminal.begins("tap bob queue", "bob, generation .*, is tapped")
    build = farm.queue_build().build
    assert str(farm.wait_build(build, BuildState.BUILDING).id)
    assert f"build={build}" in terminal.expect(r"bob <- queue  Assign\(.*?\n")
    terminal.expect(r"bob -> queue  Started\(")
    terminal.interrupt()
    finish(farm, slave_host, bob, build)
    farm.wait_runtime("bob", "IDLE")
    terminal.begins("tap bob --only Recorded", "is tapped")
    build = farm.queue_build().build
    farm.wait_build(build, BuildState.BUILDING)
    finish(farm, slave_host, bob, build)
    seen = terminal.expect(r"bob .*\n")
    assert "Recorded(" in seen
    terminal.interrupt()
    farm.wait_runtime("bob", "IDLE")


def test_a_false_slave_lost_lets_the_ladder_react_and_the_events_tell(
    terminal: Terminal, farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave
) -> None:
    build = farm.queue_build().build
    farm.wait_runtime("bob", "BUILDING")
    attempt = farm.open_attempt(build).id
    life = farm.actor("bob")
    assert life is not None
    since = Events(farm.conn).last_id()
    refused = terminal.says("send bob Finished(builder='bob')", why="")
    assert "refused: Finished: generation, session, attempt, outcome missing" in refused
    session = re.search(r"epoch (\d+)", dict(life.state)["session"])
    assert session is not None
    lost = (
        f'Finished(builder="bob", generation={life.generation}, session={session[1]}, attempt="{attempt}",'
        ' outcome=LOST, text="so it is said", slave_usable=False)'
    )
    assert "sent to queue" in terminal.says(f"send queue {lost}", why="does the ladder react?")
    farm.wait_until(lambda: farm.builds.attempts(build)[0].outcome is not None, "the attempt has ended")
    assert farm.builds.attempts(build)[0].outcome == "LOST"
    farm.wait_until(
        lambda: any(event.what.startswith("failures_in_row") for event in told(farm, "builder:bob", since)),
        "the failure counts",
    )
    note = told(farm, "actor:queue", since)[-1]
    assert note.what.startswith("console: send Finished(")
    assert note.why == "does the ladder react?"
    assert told(farm, "builder:bob", since)[0].id > note.id
    assert '"why": "does the ladder react?"' in terminal.says(f"events --who {note.who} -n 5 --json")
    finish(farm, slave_host, bob, build)
    farm.wait_runtime("bob", "IDLE")


def test_a_frozen_builder_is_shown_as_such_everywhere_its_work_waits_and_goes_on_when_it_is_thawed(
    terminal: Terminal, farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave
) -> None:
    since = Events(farm.conn).last_id()
    assert "bob is frozen for 300 s" in terminal.says("freeze bob 300", why="to look at it")
    job = farm.queue_build()
    assert re.search(r"bob +builder +\d+ +\d+ +frozen for \d+ s more", terminal.says("actors"))
    (answer,) = explained(farm, job.id)["builders"]
    assert answer["reason"]["code"] == "builder_frozen"
    assert "builder_frozen" in terminal.says(f"explain {job.id}")
    listed = subprocess.run(command(farm, "builder", "list"), cwd=PROJECT, capture_output=True, text=True, check=True)
    assert re.search(r"bob +\S* ?FROZEN .*frozen at the debug console until", listed.stdout)
    assert farm.builds.get(job.build).state is BuildState.NEEDSBUILD
    disown = "Disown('bob', 1, '00000000-0000-0000-0000-000000000000', 'so it is')"
    assert "sent to bob" in terminal.says(f"send bob {disown}", why="something to hold")
    for handled in ("bob handled Disown", "bob handled a timer", "bob handled what its sockets had"):
        farm.wait_until(lambda it=handled: it in terminal.says("step bob", why="one by one"), handled)  # type: ignore[misc]
    assert "bob goes on" in terminal.says("thaw bob", why="seen")
    farm.wait_build(job.build, BuildState.BUILDING)
    finish(farm, slave_host, bob, job.build)
    whys = {event.why for event in told(farm, "builder:bob", since)}
    assert {"to look at it", "one by one", "seen"} <= whys
    assert farm.builders.get("bob").builderok
    farm.wait_runtime("bob", "IDLE")


def test_a_crash_is_not_ok_with_fail_notes_and_a_restart(terminal: Terminal, farm: FarmUnderTest) -> None:
    life = farm.actor("bob")
    assert life is not None
    since = Events(farm.conn).last_id()
    terminal.says("crash bob told so", why="to see the fail notes")
    farm.wait_until(
        lambda: any("InjectedCrash: told so" in str(event.after) for event in told(farm, "builder:bob", since)),
        "bob was marked not ok",
    )
    farm.wait_builder("bob", ok=True)
    again = farm.actor("bob")
    assert again is not None
    assert again.generation == life.generation + 1
    marked = next(event for event in told(farm, "builder:bob", since) if "notok_kind" in (event.after or {}))
    because = terminal.says(f"events --because {marked.id}")
    assert re.search(r"console: crash: told so +to see the fail notes", because), because


def test_a_builder_whose_actor_was_killed_is_not_ok_because_somebody_killed_it(
    terminal: Terminal, farm: FarmUnderTest
) -> None:
    since = Events(farm.conn).last_id()
    terminal.says("kill bob", why="to see who is told")
    farm.wait_until(
        lambda: any("notok_kind" in (event.after or {}) for event in told(farm, "builder:bob", since)), "it is marked"
    )
    farm.wait_builder("bob", ok=True)
    marked = next(event for event in told(farm, "builder:bob", since) if "notok_kind" in (event.after or {}))
    assert "  to see who is told" in terminal.says(f"events --because {marked.id}")


def test_what_is_left_of_a_freeze_after_a_crash_is_thawed(terminal: Terminal, farm: FarmUnderTest) -> None:
    life = farm.actor("bob")
    assert life is not None
    terminal.says("freeze bob 300", why="to see it die")
    terminal.says("crash bob", why="so it goes")
    farm.wait_until(
        lambda: (now := farm.actor("bob")) is not None and now.generation > life.generation, "bob lives again"
    )
    farm.wait_builder("bob", ok=True)
    assert farm.builders.get("bob").frozen_until is not None
    assert "bob is not frozen in this life; it gets jobs again" in terminal.says("thaw bob", why="enough")
    assert farm.builders.get("bob").frozen_until is None
    assert "refused: bob: it is not frozen" in terminal.says("thaw bob", why="once more")


def test_a_console_that_only_looks_refuses_changes(farm: FarmUnderTest) -> None:
    life = farm.actor("bob")
    with on_a_terminal(farm, "--read-only") as looking:
        assert " idle " in looking.says("actors")
        for line in ("crash bob", "freeze bob", "kill bob", "send bob Retire('bob')"):
            assert "refused: this console only looks" in looking.says(line)
    again = farm.actor("bob")
    assert life is not None
    assert again is not None
    assert again.generation == life.generation


def test_a_wrong_key_is_refused_and_so_is_a_place_where_no_farm_runs(farm: FarmUnderTest, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(farm.settings.run_file.read_text())
    write_key(tmp_path / "actors.key")
    ran = subprocess.run(
        command(farm, "console", "actors", state_directory=tmp_path),
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "the key file is of another start" in ran.stderr
    nowhere = tmp_path / "nowhere"
    ran = subprocess.run(
        command(farm, "console", "actors", state_directory=nowhere),
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (3, "")
    assert f"no farm runs in {nowhere}: start it with `buildd-master up`" in ran.stderr
    assert not nowhere.exists()

"""What the console changes: with a reason, in the event log before it is done, and not at all with --read-only."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.given import Given
from console.line import BadCommand
from console.obeying import Console
from storage.database.connection import connect
from storage.database.migration import migrate
from storage.events.log import Events

if TYPE_CHECKING:
    from storage.records import Event
    from tests.fix_small_farm import SmallFarm

DEEDS = (
    "send toad BuilderChanged(builder=Builder(1))",
    "send toad Disown('toad', 1, '00000000-0000-0000-0000-000000000000', 'so it is')",
    "ask toad Disown('toad', 1, '00000000-0000-0000-0000-000000000000', 'so it is')",
    "freeze toad",
    "thaw toad",
    "step toad",
    "crash toad",
    "kill toad",
)


def console(farm: SmallFarm, **options: Any) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(farm.attached, out, options.pop("given", farm.given), **options), out


def last_event(farm: SmallFarm) -> Event | None:
    assert farm.settings.database
    with connect(farm.settings.database, application="test") as connection:
        events = Events(connection)
        found = events.list(since_id=events.last_id() - 1)
    return found[0] if found else None


@pytest.mark.parametrize("line", DEEDS[1:])
def test_a_deed_without_a_reason_is_not_done(small_farm: SmallFarm, line: str) -> None:
    before = last_event(small_farm)
    with pytest.raises(BadCommand, match="goes into the event log with its reason: add `--why REASON`"):
        console(small_farm)[0].obey(line)
    with pytest.raises(BadCommand, match="--why says nothing"):
        console(small_farm)[0].obey(f"{line} --why  ")
    with pytest.raises(BadCommand, match="add `--why"):
        console(small_farm, ask_why=lambda: " \x07")[0].obey(line)
    assert last_event(small_farm) == before
    assert small_farm.said("toad").frozen == ""


@pytest.mark.parametrize("line", DEEDS[1:])
def test_a_console_that_only_looks_refuses_every_deed(small_farm: SmallFarm, line: str) -> None:
    before, generation = last_event(small_farm), small_farm.generation("toad")
    with pytest.raises(BadCommand, match="this console only looks"):
        console(small_farm, read_only=True, why="in vain")[0].obey(line)
    assert (last_event(small_farm), small_farm.generation("toad")) == (before, generation)
    looking, out = console(small_farm, read_only=True)
    looking.obey("show toad")
    assert "toad" in out.getvalue()


def test_a_deed_is_in_the_event_log_with_who_what_and_why(small_farm: SmallFarm) -> None:
    generation = small_farm.generation("toad")
    console(small_farm)[0].obey("crash toad out of memory --why to see   the fail notes")
    small_farm.wait_generation("toad", generation + 1)
    told = last_event(small_farm)
    assert told is not None
    assert (told.subject, told.what) == ("builder:toad", "console: crash: out of memory")
    assert (told.who, told.why) == (small_farm.attached.who, "to see the fail notes")
    assert "InjectedCrash: out of memory" in small_farm.facts()[f"gone toad {generation}"]


def test_what_can_not_be_written_into_the_event_log_is_not_done(small_farm: SmallFarm) -> None:
    generation = small_farm.generation("toad")
    elsewhere = Given(state_directory=small_farm.settings.state_directory, database="host=127.0.0.1 port=9")
    for line in ("crash toad", "kill toad", "freeze toad"):
        with pytest.raises(BadCommand, match="not done, because it can't be written into the event log: "):
            console(small_farm, given=elsewhere, why="a try")[0].obey(line)
    assert small_farm.generation("toad") == generation
    with pytest.raises(BadCommand, match="no builder 'toad'"):  # the farm of doubles has no rows
        console(small_farm, why="a try")[0].obey("freeze toad")
    assert small_farm.said("toad").frozen == ""


def test_nothing_is_done_to_one_farm_that_would_stand_in_another_ones_event_log(
    small_farm: SmallFarm, empty_database: str
) -> None:
    migrate(empty_database)
    generation = small_farm.generation("toad")
    other = Given(state_directory=small_farm.settings.state_directory, database=empty_database)
    for line in ("crash toad", "freeze toad"):
        with pytest.raises(BadCommand, match="not done: the database is another farm's than the actors"):
            console(small_farm, given=other, why="a try")[0].obey(line)
    assert small_farm.generation("toad") == generation
    with connect(empty_database, application="test") as connection:
        assert not [one for one in Events(connection).list() if "console" in one.what]


def test_a_killed_actor_comes_back(small_farm: SmallFarm) -> None:
    generation = small_farm.generation("toad")
    assert "was killed" in small_farm.obey("kill toad")
    small_farm.wait_generation("toad", generation + 1)


@pytest.mark.parametrize("line", ["crash supervisor", "kill supervisor", "send supervisor Crash()"])
def test_the_console_never_ends_the_farm(small_farm: SmallFarm, line: str) -> None:
    with pytest.raises(BadCommand, match="never ends a farm"):
        small_farm.obey(line)
    assert small_farm.process.poll() is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("freeze queue", "only those can be frozen; `farm pause` holds the queue"),
        ("freeze supervisor", "only those can be frozen"),
        ("freeze toad 0", "no number of seconds"),
        ("freeze toad 1e-300", "no number of seconds"),
        ("freeze toad 0.9", "no number of seconds"),
        ("freeze toad 601", "no number of seconds"),
        ("freeze toad nan", "no number of seconds"),
        ("freeze toad soon", "no number of seconds"),
        ("thaw queue", "never frozen"),
        ("step toad", "it is not frozen"),
        ("ask toad Describe", "`show toad` asks for that"),
        ("send queue Ready('toad', 4711, 1)", "toad lives in generation .*; 4711 is yet to come"),
        ("crash", "name an actor"),
        ("kill toad now", "'now' is too much"),
        ("actors toad", "takes no arguments"),
        ("tap", "NAME"),
        ("tap toad", "say for how long"),
        ("tap toad --only Nonsense", "no message 'Nonsense'"),
        ("tap toad --for -1", "above 0"),
        ("tap toad --for nan", "above 0"),
        ("tap toad --for 1 --to x", "is for the screen"),
        ("tap toad --to /nowhere/x", "can't be written"),
        ("tap toad --to /tmp/a\0b", "is no name of a file"),
        ("tap 'toad", "can't be read"),
        ("replay", "takes one file"),
        ("replay /nowhere/x", "can't be read"),
    ],
)
def test_nonsense_is_refused_with_its_reason(small_farm: SmallFarm, line: str, reason: str) -> None:
    generation = small_farm.generation("toad")
    with pytest.raises(BadCommand, match=reason):
        small_farm.obey(line)
    assert small_farm.generation("toad") == generation


def test_json_says_the_same_one_document_a_line(small_farm: SmallFarm) -> None:
    asking, out = console(small_farm, as_json=True, why="a try")
    asking.obey("actors")
    asking.obey("show supervisor")
    asking.obey("send toad Describe")
    actors, shown, sent = map(json.loads, out.getvalue().splitlines())
    tree = {one["name"]: one["parent"] for one in actors["actors"]}
    assert tree["supervisor"] is None
    assert tree["queue"] == tree["nursery-1"] == "supervisor"
    assert {tree[name] for name in ("bob", "frog", "toad")} <= {"nursery-1", "nursery-2"}
    (toad,) = [one for one in actors["actors"] if one["name"] == "toad"]
    assert (toad["kind"], toad["state"], toad["frozen"]) == ("builder", "IDLE", False)
    assert toad["memory_bytes"] > 10**6
    assert shown["state"]["bob"].startswith("RUNNING")
    assert any("StartQueue" in line for line in shown["story"])
    assert sent == {
        "done": f"sent to toad, generation {toad['generation']}: Describe()",
        "sent": "Describe()",
    }


def test_every_command_has_its_help(small_farm: SmallFarm) -> None:
    told = small_farm.obey("help")
    for name in ("actors", "show", "tap", "untap", "send", "ask", "freeze", "thaw", "step", "crash", "kill", "replay"):
        assert f"\n{name}" in f"\n{told}"
        assert len(small_farm.obey(f"help {name}").splitlines()) > 1
    assert "builder: str" in small_farm.obey("help Cancel")


def test_explain_check_and_events_are_the_command_lines_own(small_farm: SmallFarm) -> None:
    small_farm.obey("send toad Describe")
    assert "console: send Describe()" in small_farm.obey("events --subject builder:toad")
    assert "all invariants hold" in small_farm.obey("check")
    asking, out = console(small_farm, as_json=True)
    assert asking.obey("check") == 0
    assert json.loads(out.getvalue()) == {"violations": [], "damages": []}
    assert asking.obey("explain 4711") == 2  # there is no such job
    with pytest.raises(BadCommand, match="which is for a terminal"):
        asking.obey("events -f")

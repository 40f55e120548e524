"""Real supervisor and nurseries as processes, over doubles of the queue actor and the builders' actors."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil

from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fix_small_farm import SmallFarm


def test_builders_live_in_nurseries_of_limited_size(small_farm: SmallFarm) -> None:
    assert [(one.name, one.kind) for one in small_farm.attached.census().here] == [
        ("supervisor", "supervisor"),
        ("queue", "queue"),
        ("nursery-1", "nursery"),
        ("nursery-2", "nursery"),
        ("bob", "builder"),
        ("frog", "builder"),
        ("toad", "builder"),
    ]


def test_builders_stand_back_behind_the_queue_actor_that_all_of_them_wait_for(small_farm: SmallFarm) -> None:
    niceness = {one.name: psutil.Process(one.pid).nice() for one in small_farm.attached.census().here}
    assert niceness["supervisor"] == niceness["queue"] < niceness["nursery-1"] == niceness["bob"]


def test_a_builders_actor_that_is_killed_is_reported_without_a_word_and_lives_again(small_farm: SmallFarm) -> None:
    old = small_farm.generation("bob")
    small_farm.kill("bob")
    small_farm.wait_generation("bob", old + 1)
    wait_until(lambda: f"gone bob {old}" in small_farm.facts())
    assert small_farm.facts()[f"gone bob {old}"].endswith("process ended without a word (signal?)")


def test_a_crash_that_the_console_injects_is_reported_with_what_where_and_during_what(small_farm: SmallFarm) -> None:
    old = small_farm.generation("frog")
    assert f"sent to frog, generation {old}" in small_farm.obey('send frog Crash(reason="told so")')
    small_farm.wait_generation("frog", old + 1)
    wait_until(lambda: f"gone frog {old}" in small_farm.facts())
    notes = small_farm.facts()[f"gone frog {old}"]
    assert "InjectedCrash: told so (farm_actor.py:" in notes
    assert "during attempt 42" in notes
    assert "injected by" in (small_farm.settings.state_directory / "log").read_text()


def test_an_actor_is_called_once_with_a_message_that_it_dies_of(small_farm: SmallFarm) -> None:
    old = small_farm.generation("toad")
    log = small_farm.settings.state_directory / "log"
    before = log.read_text().count("TypeError: JobRefused")
    small_farm.obey('send toad JobRefused("toad", 1, "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "")')
    small_farm.wait_generation("toad", old + 1)
    assert log.read_text().count("\nTypeError: JobRefused") - before == 1


def test_when_a_nursery_dies_its_builders_live_again_and_nobody_is_blamed(small_farm: SmallFarm) -> None:
    facts = small_farm.facts()
    old = {name: small_farm.generation(name) for name in ("nursery-1", "bob", "frog", "toad")}
    pids = {name: small_farm.said(name).pid for name in ("bob", "frog")}
    small_farm.kill("nursery-1")
    for name in ("nursery-1", "bob", "frog"):
        small_farm.wait_generation(name, old[name] + 1)
    assert small_farm.generation("toad") == old["toad"]
    assert {key for key in small_farm.facts() if "gone" in key} == {key for key in facts if "gone" in key}
    assert all(small_farm.said(name).pid != pid for name, pid in pids.items())


def test_when_the_queue_actor_dies_builders_learn_its_new_address_and_report_again(small_farm: SmallFarm) -> None:
    old = small_farm.generation("queue")
    pids = {name: small_farm.said(name).pid for name in ("bob", "frog", "toad")}
    small_farm.kill("queue")
    small_farm.wait_generation("queue", old + 1)
    wait_until(lambda: {"ready bob", "ready frog", "ready toad"} <= small_farm.facts().keys())
    assert {name: small_farm.said(name).pid for name in pids} == pids


def test_a_changed_row_reaches_the_builders_actor(small_farm: SmallFarm) -> None:
    assert dict(small_farm.said("bob").state)["trusted"] == "True"
    row = 'Builder(1, "bob", "buildd://127.0.0.1:9", ("x86",), {}, True, "", None, None, False, (), ("i386",))'.format
    small_farm.obey(f"send supervisor BuilderChanged({row(False)})")
    wait_until(lambda: dict(small_farm.said("bob").state)["trusted"] == "False")
    small_farm.obey(f"send supervisor BuilderChanged({row(True)})")
    wait_until(lambda: dict(small_farm.said("bob").state)["trusted"] == "True")


def test_a_builder_that_is_removed_retires_without_blame_and_may_come_back(small_farm: SmallFarm) -> None:
    old = small_farm.generation("toad")
    facts = small_farm.facts()
    small_farm.obey('send supervisor Retire("toad")')
    wait_until(lambda: small_farm.here("toad") is None)
    assert {key for key in small_farm.facts() if "gone" in key} == {key for key in facts if "gone" in key}
    row = 'Builder(1, "toad", "buildd://127.0.0.1:9", ("x86",), True, True, "", None, None, False, (), ("i386",))'
    small_farm.obey(f"send supervisor BuilderChanged({row})")
    small_farm.wait_generation("toad", old + 1)


def test_changed_settings_reach_every_actor_and_those_that_are_started_later(small_farm: SmallFarm) -> None:
    def crashes(name: str) -> int:
        return int(dict(small_farm.said(name).state)["crashes"])

    before = crashes("bob")
    small_farm.process.send_signal(signal.SIGHUP)
    wait_until(lambda: {crashes(name) for name in ("bob", "frog", "toad")} == {before + 1})
    old = small_farm.generation("bob")
    small_farm.kill("bob")
    small_farm.wait_generation("bob", old + 1)
    assert crashes("bob") == before + 1

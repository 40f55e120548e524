"""Real supervisor and nurseries as processes, over doubles of the queue actor and the builders' actors."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from actors.attach import Attached, NotAttached
from actors.console import BadCommand, Console, run_console
from actors.message_text import BadMessage
from actors.settings import Settings
from actors.transport import write_key
from tests.fix_farm import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from actors.farm_actor import Here
    from actors.messages import Description


class SmallFarm:
    """A farm of doubles, and a way in."""

    def __init__(self, settings: Settings, process: subprocess.Popen[str]) -> None:
        self.settings = settings
        self.process = process
        self.attached = Attached(settings)

    def here(self, name: str) -> Here | None:
        return next((one for one in self.attached.census().here if one.name == name), None)

    def said(self, name: str) -> Description:
        found = self.here(name)
        assert found is not None
        return self.attached.describe((found,))[name]

    def facts(self) -> dict[str, str]:
        """What the double of the queue actor has heard."""
        return dict(self.said("queue").state) if self.here("queue") else {}

    def obey(self, line: str) -> str:
        out = io.StringIO()
        Console(self.attached, out).obey(line)
        return out.getvalue()

    def kill(self, name: str) -> None:
        found = self.here(name)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)

    def wait_generation(self, name: str, generation: int) -> None:
        """Wait until this life of an actor runs."""
        wait_until(lambda: (one := self.here(name)) is not None and one.generation == generation)


def wait_until(fact: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def run_small_farm(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallFarm]:
    state_directory = tmp_path_factory.mktemp("small") / "state"
    state_directory.mkdir()
    (state_directory / "builders").write_text("bob frog toad")
    database = re.sub(r"dbname=\S+", f"dbname={_template}", postgres_dsn)
    settings = Settings(state_directory=state_directory, database=database, user="", builders_per_nursery=2, crashes=8)
    with (
        (state_directory / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.actors.small_farm", settings.model_dump_json(exclude={"timers"})],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n", (state_directory / "log").read_text()
        farm = SmallFarm(settings, process)
        try:
            yield farm
        finally:
            farm.attached.close()
            process.terminate()
            assert process.stdout.readline() == "ASKED\n"


@pytest.fixture
def small_farm(run_small_farm: SmallFarm) -> SmallFarm:
    """The small farm, with everybody there."""
    wait_until(lambda: not run_small_farm.attached.census().absent)
    return run_small_farm


def generation(farm: SmallFarm, name: str) -> int:
    found = farm.here(name)
    assert found is not None
    return found.generation


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


def test_a_builders_actor_that_is_killed_is_reported_without_a_word_and_lives_again(small_farm: SmallFarm) -> None:
    old = generation(small_farm, "bob")
    small_farm.kill("bob")
    small_farm.wait_generation("bob", old + 1)
    wait_until(lambda: f"gone bob {old}" in small_farm.facts())
    assert small_farm.facts()[f"gone bob {old}"].endswith("process ended without a word (signal?)")


def test_a_crash_that_the_console_injects_is_reported_with_what_where_and_during_what(small_farm: SmallFarm) -> None:
    old = generation(small_farm, "frog")
    assert f"sent to frog, generation {old}" in small_farm.obey('send frog Crash(reason="told so")')
    small_farm.wait_generation("frog", old + 1)
    wait_until(lambda: f"gone frog {old}" in small_farm.facts())
    notes = small_farm.facts()[f"gone frog {old}"]
    assert "InjectedCrash: told so (farm_actor.py:" in notes
    assert "during attempt 42" in notes
    assert "injected by" in (small_farm.settings.state_directory / "log").read_text()


def test_an_actor_is_called_once_with_a_message_that_it_dies_of(small_farm: SmallFarm) -> None:
    old = generation(small_farm, "toad")
    log = small_farm.settings.state_directory / "log"
    before = log.read_text().count("TypeError: JobRefused")
    small_farm.obey('send toad JobRefused("toad", 1, "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "")')
    small_farm.wait_generation("toad", old + 1)
    assert log.read_text().count("\nTypeError: JobRefused") - before == 1


def test_when_a_nursery_dies_its_builders_live_again_and_nobody_is_blamed(small_farm: SmallFarm) -> None:
    facts = small_farm.facts()
    old = {name: generation(small_farm, name) for name in ("nursery-1", "bob", "frog", "toad")}
    pids = {name: small_farm.said(name).pid for name in ("bob", "frog")}
    small_farm.kill("nursery-1")
    for name in ("nursery-1", "bob", "frog"):
        small_farm.wait_generation(name, old[name] + 1)
    assert generation(small_farm, "toad") == old["toad"]
    assert {key for key in small_farm.facts() if "gone" in key} == {key for key in facts if "gone" in key}
    assert all(small_farm.said(name).pid != pid for name, pid in pids.items())


def test_when_the_queue_actor_dies_builders_learn_its_new_address_and_report_again(small_farm: SmallFarm) -> None:
    old = generation(small_farm, "queue")
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
    old = generation(small_farm, "toad")
    facts = small_farm.facts()
    small_farm.obey('send supervisor Retire("toad")')
    wait_until(lambda: small_farm.here("toad") is None)
    assert {key for key in small_farm.facts() if "gone" in key} == {key for key in facts if "gone" in key}
    row = 'Builder(1, "toad", "buildd://127.0.0.1:9", ("x86",), True, True, "", None, None, False, (), ("i386",))'
    small_farm.obey(f"send supervisor BuilderChanged({row})")
    small_farm.wait_generation("toad", old + 1)


def test_the_table_of_actors_has_a_line_for_each(small_farm: SmallFarm) -> None:
    header, *lines = small_farm.obey("actors").splitlines()
    assert header.split("  ")[0] == "NAME"
    assert [line.split()[0] for line in lines][:2] == ["supervisor", "queue"]
    (bob,) = [line for line in lines if line.startswith("bob ")]
    assert "builder" in bob
    assert "IDLE" in bob


def test_an_actor_that_hangs_is_shown_as_such_and_holds_up_nobody(
    small_farm: SmallFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.attach._ANSWER_SECONDS", 0.7)
    frog = small_farm.here("frog")
    assert frog is not None
    os.kill(frog.pid, signal.SIGSTOP)
    try:
        table = small_farm.obey("actors")
        with pytest.raises(BadCommand, match="does not answer"):
            small_farm.obey("show frog")
        assert "sent to bob" in small_farm.obey("send bob Describe")
    finally:
        os.kill(frog.pid, signal.SIGCONT)
    assert re.search(r"^frog .*no answer", table, re.MULTILINE)
    assert re.search(r"^bob .*IDLE", table, re.MULTILINE)


def test_show_tells_what_an_actor_thinks(small_farm: SmallFarm) -> None:
    assert re.search(r"^state +IDLE$", small_farm.obey("show bob"), re.MULTILINE)
    assert re.search(r"^bob +RUNNING, generation", small_farm.obey("show supervisor"), re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("dance", "no command 'dance'"),
        ("show", "name an actor"),
        ("show nobody", "no actor 'nobody'"),
        ("send bob", "the message is missing"),
        ("send nobody Crash()", "no actor 'nobody'"),
        ("send bob Nonsense()", "no message 'Nonsense'"),
        ("help Nonsense", "no message 'Nonsense'"),
    ],
)
def test_what_the_console_cannot_do_is_refused_with_the_reason(small_farm: SmallFarm, line: str, reason: str) -> None:
    with pytest.raises((BadCommand, BadMessage), match=reason):
        small_farm.obey(line)


def test_commands_piped_in_are_obeyed_to_the_end_and_a_refusal_shows_in_the_exit_code(
    small_farm: SmallFarm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("show nobody\n\nactors\nquit\ndance\n"))
    assert run_console(small_farm.settings) == 1
    said = capsys.readouterr()
    assert "toad" in said.out
    assert said.err == "refused: no actor 'nobody'; `actors` lists them\n"
    assert run_console(small_farm.settings, "help") == 0
    assert "send NAME" in capsys.readouterr().out
    assert small_farm.process.poll() is None


def test_a_console_with_another_key_gets_no_answer(
    small_farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.attach._ANSWER_SECONDS", 0.5)
    other = Settings(state_directory=tmp_path, user="")
    other.run_file.write_text(small_farm.settings.run_file.read_text())
    write_key(other.key_file)
    with pytest.raises(NotAttached):
        Attached(other)
    small_farm.attached.close()
    small_farm.attached = Attached(small_farm.settings)  # the key is the process's


def test_where_no_farm_runs_the_console_says_so_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_console(Settings(state_directory=tmp_path, user=""), "actors") == 1
    assert capsys.readouterr().err.startswith(f"buildd-master: no farm runs in {tmp_path}")
    assert list(tmp_path.iterdir()) == []

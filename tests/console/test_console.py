"""The debug console, on a farm of doubles."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest

from actors.console.attach import Attached, NotAttached
from actors.console.message_text import BadMessage
from actors.settings import Settings
from actors.system.transport import write_key
from cli.given import Given
from console.command import run_console
from console.line import BadCommand
from tests.fix_farm import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_small_farm import SmallFarm

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


def test_the_table_of_actors_has_a_line_for_each(small_farm: SmallFarm) -> None:
    header, *lines = small_farm.obey("actors").splitlines()
    assert header.split()[0] == "NAME"
    assert [line.split()[0] for line in lines][:2] == ["supervisor", "queue"]
    (bob,) = [line for line in lines if line.split()[0] == "bob"]
    assert "builder" in bob
    assert "IDLE" in bob


def test_an_actor_that_hangs_is_shown_as_such_and_holds_up_nobody(
    small_farm: SmallFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.console.attach._ANSWER_SECONDS", 0.7)
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
    assert re.search(r"^ +frog .*no answer", table, re.MULTILINE)
    assert re.search(r"^ +bob .*IDLE", table, re.MULTILINE)


def test_a_nurserys_story_tells_whom_it_forked_and_who_ended(small_farm: SmallFarm) -> None:
    generation = small_farm.generation("toad")
    small_farm.obey("crash toad for a story")
    small_farm.wait_generation("toad", generation + 1)
    stories = [small_farm.obey(f"show {name}").partition("\nstory\n")[2] for name in ("nursery-1", "nursery-2")]
    (told,) = [story for story in stories if "toad" in story]
    words = [line.split()[-1] for line in told.splitlines() if "(toad)" in line]
    assert words[-4:] == ["Crashed(toad)", "ChildGone(toad)", "Fork(toad)", "Here(toad)"]


def test_show_tells_what_an_actor_thinks(small_farm: SmallFarm) -> None:
    assert re.search(r"^stage +IDLE$", small_farm.obey("show bob"), re.MULTILINE)
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
    assert run_console(small_farm.given) == 2
    said = capsys.readouterr()
    assert "toad" in said.out
    assert said.err == "refused: no actor 'nobody'; `actors` lists them\n"
    assert run_console(small_farm.given, "help") == 0
    assert "send NAME Message" in capsys.readouterr().out
    assert small_farm.process.poll() is None


def test_a_console_with_another_key_gets_no_answer(
    small_farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.console.attach._ANSWER_SECONDS", 0.5)
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
    assert run_console(Given(state_directory=tmp_path), "actors") == 3
    assert capsys.readouterr().err.startswith(f"buildd-master: no farm runs in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_prompts_refuses_and_leaves_the_farm_running(small_farm: SmallFarm) -> None:
    command = [sys.executable, "-m", "buildd_master", "--state-directory", str(small_farm.settings.state_directory)]
    terminal = pexpect.spawn(
        command[0],
        [*command[1:], "console"],
        cwd=PROJECT,
        env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"},
        encoding="utf-8",
        timeout=20,
        dimensions=(40, 160),
    )
    try:
        terminal.expect("farm>")
        terminal.send("show supervisor\r")
        terminal.expect("bob +RUNNING, generation")
        terminal.send("send bob Nonsense()\r")
        terminal.expect("refused: no message 'Nonsense'")
        terminal.send("quit\r")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert small_farm.process.poll() is None

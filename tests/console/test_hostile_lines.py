"""Whatever is typed, piped in or given as an argument: one line says what is wrong, and nothing was done."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from actors.console.attach import Attached, NotAttached
from actors.master.run_file import running_farm
from actors.settings import Settings
from console.command import run_console
from console.line import BadCommand, read_line
from console.obeying import Console
from console.tapped import Tapped
from tests.fix_farm import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fix_small_farm import SmallFarm

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


def said_as_json(farm: SmallFarm, line: str, **options: Any) -> Any:
    out = io.StringIO()
    Console(farm.attached, out, farm.given, why="a test", **options).obey(line)
    (only,) = out.getvalue().splitlines()
    return json.loads(only)


# --- reasons and JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["help --why ", "crash toad --why \x07", "replay x --why --json"])
def test_a_reason_that_says_nothing_is_refused_as_an_argument_too(
    small_farm: SmallFarm, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_console(small_farm.given, line) == 2
    said = capsys.readouterr()
    assert said.err == "refused: --why says nothing that a person can read\n"
    assert bool(said.out) is line.endswith("--json")


@pytest.mark.parametrize(
    ("text", "why", "as_json"),
    [
        ("kill bob --why so it is --json", "so it is", True),
        ("kill bob --json --why so it is", "so it is", True),
        ("kill bob --why so --json it is", "so --json it is", False),
        ("kill bob", "", False),
    ],
)
def test_every_line_may_end_with_json(text: str, why: str, as_json: bool) -> None:
    line = read_line(text)
    assert (line.command, line.rest, line.why, line.as_json) == ("kill", "bob", why, as_json)


def test_a_line_that_ends_with_json_is_refused_in_json(
    small_farm: SmallFarm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("dance --json\nfreeze toad x --json\nshow nobody\n"))
    assert run_console(small_farm.given) == 2
    refusals = [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()]
    assert [refusal["text"].partition(";")[0] for refusal in refusals] == [
        "no command 'dance'",
        "for how long? 'x' is no number of seconds from 1 to 600",
    ]


@pytest.mark.parametrize("line", ["help", "help crash", "help Cancel", "events --help", "status --help"])
def test_help_is_json_where_that_is_wanted(small_farm: SmallFarm, line: str) -> None:
    assert said_as_json(small_farm, line, as_json=True) == said_as_json(small_farm, f"{line} --json")
    assert len(said_as_json(small_farm, line, as_json=True)["help"]) > 1


def test_on_a_terminal_json_is_on_one_line_too(small_farm: SmallFarm) -> None:
    assert "events" in said_as_json(small_farm, "events -n 2 --json", ask_why=lambda: "a test")


def test_taps_that_end_with_the_console_are_told_in_json_too(small_farm: SmallFarm, tmp_path: Path) -> None:
    out = io.StringIO()
    tapping = Console(small_farm.attached, out, small_farm.given, as_json=True)
    tapping.obey(f"tap toad --to {tmp_path / 'story'}")
    tapping.close()
    (done,) = json.loads(out.getvalue())["taps"]
    assert done["file"] == str(tmp_path / "story")
    tapping.close()
    assert out.getvalue().count("\n") == 1


# --- what has no end ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["-f", "-fn5", "--follow", "-n5 -f"])
def test_what_has_no_end_is_for_a_terminal(small_farm: SmallFarm, options: str) -> None:
    with pytest.raises(BadCommand, match="which is for a terminal"):
        small_farm.obey(f"events {options}")


def test_a_tap_that_is_broken_off_as_it_begins_leaves_no_file(
    small_farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Tapped:
        raise KeyboardInterrupt

    monkeypatch.setattr("console.tapping.Tapped", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_farm.obey(f"tap toad --to {tmp_path / 'story'}")
    assert list(tmp_path.iterdir()) == []


# --- what nobody can read -------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["\x1b[31mred", "two\nlines", "\udcff", "\u202egnp.exe", "a\0b"])
def test_a_crash_has_a_reason_that_people_can_read(small_farm: SmallFarm, reason: str) -> None:
    generation = small_farm.generation("toad")
    with pytest.raises(BadCommand, match="is no reason that a person can read"):
        small_farm.obey(f"crash toad {reason}")
    assert small_farm.generation("toad") == generation


def test_bytes_that_are_no_text_are_refused_and_what_follows_is_obeyed(
    small_farm: SmallFarm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(b"dance\xff\nactors\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", piped)
    assert run_console(small_farm.given) == 2
    said = capsys.readouterr()
    assert said.err.startswith(r"refused: no command 'dance\\xff'")
    assert "toad" in said.out


def test_a_refusal_does_not_steer_the_terminal_either(
    small_farm: SmallFarm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_console(small_farm.given, "replay /nowhere/\x1b[31mx --json") == 2
    said = capsys.readouterr()
    assert said.err == "refused: /nowhere/\\u001b[31mx can't be read: No such file or directory\n"
    assert json.loads(said.out)["error"]["text"].startswith("/nowhere/\x1b[31mx")


# --- streams that are closed, and ^C --------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "line", "code"),
    [("<&-", (), 0), (">&-", ("actors",), 0), ("2>&-", ("dance",), 2), ("<&- >&- 2>&-", (), 0)],
)
def test_streams_that_are_closed_are_nobodys_end(
    small_farm: SmallFarm, closed: str, line: tuple[str, ...], code: int
) -> None:
    words = [sys.executable, "-m", "buildd_master", "--state-directory", str(small_farm.settings.state_directory)]
    ran = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words, "console", *line],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (code, "")


@pytest.fixture
def terminal(small_farm: SmallFarm) -> Iterator[pexpect.spawn[str]]:
    """A console on a terminal."""
    words = ["-m", "buildd_master", "--state-directory", str(small_farm.settings.state_directory), "console"]
    environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "dumb"}
    child = pexpect.spawn(sys.executable, words, cwd=PROJECT, env=environment, encoding="utf-8", timeout=30)
    child.expect("farm> ")
    yield child
    child.close(force=True)


def test_an_interrupt_ends_the_command_and_not_the_console(small_farm: SmallFarm, terminal: pexpect.spawn[str]) -> None:
    frog = small_farm.here("frog")
    assert frog is not None
    os.kill(frog.pid, signal.SIGSTOP)
    try:
        terminal.send("show frog\r")
        terminal.expect(r"show frog\r+\n")
        terminal.sendintr()
        terminal.expect("interrupted: what was begun may be done|does not answer")
        assert str(terminal.match.group(0)).startswith("interrupted")
        terminal.expect("farm> ")
        terminal.send("show supervisor\r")
        terminal.expect("bob +RUNNING, generation")
    finally:
        os.kill(frog.pid, signal.SIGCONT)


# --- a farm that is gone --------------------------------------------------------------------------


def test_a_farm_that_ended_or_began_anew_is_told_from_one_that_hangs(
    small_farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_directory=tmp_path, user="")
    found = running_farm(small_farm.settings.run_file)
    assert found is not None
    settings.run_file.write_text(json.dumps(asdict(found)))
    settings.key_file.write_text(small_farm.settings.key_file.read_text())
    settings.key_file.chmod(0o600)
    with Attached(settings) as attached:
        monkeypatch.setattr("actors.console.attach._ANSWER_SECONDS", 0.2)
        attached._key = b"x" * 32  # nobody answers any more
        with pytest.raises(NotAttached, match="it hangs, or"):
            attached.census()
        settings.run_file.write_text(json.dumps(asdict(replace(found, pid=os.getpid()))))
        with pytest.raises(NotAttached, match="has been started anew: enter again"):
            attached.census()
        settings.run_file.unlink()
        with pytest.raises(NotAttached, match="has ended, or was killed: `buildd-master up` starts it"):
            attached.census()
    small_farm.attached.close()
    small_farm.attached = Attached(small_farm.settings)  # the key is the process's

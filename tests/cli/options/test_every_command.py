"""What all commands share: `--utc`, and completion by the shell."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import run
from storage.records import ArchivePurpose
from tests.fix_cli import Command
from tests.fix_storage import Farm

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def in_new_york(laid_out: Farm, command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Give a farm with an event of a winter's day, looked at five hours west of Greenwich."""
    laid_out.conn.execute(
        "INSERT INTO event (at, who, why, subject, what) VALUES ('2026-01-15 02:30:00Z', 'ann', '', 'farm:f', 'update')"
    )
    with monkeypatch.context() as there:
        there.setenv("TZ", "EST5")
        time.tzset()
        yield command
    time.tzset()


def test_times_are_local_ones_unless_utc_is_asked_for_before_or_behind_the_command(in_new_york: Command) -> None:
    looked = "2026-01-14 21:30:00 "
    assert looked in in_new_york("events").out
    for arguments in (("--utc", "events"), ("events", "--utc")):
        shown = in_new_york(*arguments).out
        assert "2026-01-15 02:30:00Z " in shown
        assert looked not in shown
    assert looked in in_new_york("events").out  # it was asked for once


def test_a_variable_asks_for_utc_always(in_new_york: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDD_MASTER_UTC", "yes")
    assert "2026-01-15 02:30:00Z " in in_new_york("events").out
    monkeypatch.setenv("BUILDD_MASTER_UTC", "no")
    assert "2026-01-14 21:30:00 " in in_new_york("events").out
    monkeypatch.setenv("BUILDD_MASTER_UTC", "perhaps")
    ran = in_new_york("events")
    assert (ran.code, ran.err.count("\n"), "--utc" in ran.err) == (2, 1, True)


def test_times_that_are_given_are_of_the_zone_of_those_that_are_shown(in_new_york: Command) -> None:
    assert "02:30:00Z" in in_new_york("events", "--utc", "--until", "2026-01-15 02:31").out
    assert "21:30:00 " not in in_new_york("events", "--until", "2026-01-14 21:29").out
    assert "21:30:00 " in in_new_york("events", "--until", "2026-01-15 02:31Z").out
    assert "21:30:00 " not in in_new_york("events", "--until", "2026-01-15 02:30Z").out


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what bash is told when Tab is pressed behind `line`."""
    with monkeypatch.context() as pressed:
        pressed.setenv("_BUILDD_MASTER_COMPLETE", "complete_bash")
        pressed.setenv("COMP_WORDS", line)
        pressed.setenv("COMP_CWORD", str(len(f"{line}|".split()) - 1))
        with pytest.raises(SystemExit):
            run([])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("buildd-master bui", ["build", "builder"]),
        ("buildd-master build", ["build", "builder"]),  # though `build` is a whole word
        ("buildd-master builder q", ["quarantine"]),
        ("buildd-master builder set --no-r", ["--no-restricted-tags"]),
        ("buildd-master builder set --ut", ["--utc"]),
        ("buildd-master build list --state fail", ["FAILEDTOBUILD", "FAILEDTOUPLOAD"]),
    ],
)
def test_commands_options_and_values_are_completed(
    line: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed(line, monkeypatch, capsys) == words


def test_names_of_the_farm_are_completed(
    laid_out: Farm, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with laid_out.acting("test"):
        laid_out.builders.add("bob", "buildd://127.0.0.1:1", ["x86"], trusted=True)
        for name in ("anna", "celso"):
            laid_out.people.add(name)
        laid_out.archives.add("celso/ppa", "ubuntu", ArchivePurpose.PPA, owner="celso", private=True)
    for line, words in {
        "builder show b": ["bob"],
        "builder show x": [],
        "builder add b": [],
        "events --builder ": ["bob"],
        "series set ubuntu/": ["ubuntu/hoary"],
        "chroot add ubuntu/hoary": ["ubuntu/hoary/i386"],
        "archive show ubuntu/": ["ubuntu/celso/ppa", "ubuntu/cprov/ppa", "ubuntu/primary"],
        "--as celso archive show ubuntu/": ["ubuntu/celso/ppa", "ubuntu/cprov/ppa", "ubuntu/primary"],
        "--as anna archive show ubuntu/": ["ubuntu/cprov/ppa", "ubuntu/primary"],
        "--as nobody-we-know archive show ubuntu/": [],
        "person show ce": ["celso"],
        "token create ce": ["celso"],
        "token list ce": ["celso"],
        "events --who an": ["anna"],
        "--as an": ["anna"],
        "submit hello --archive ubuntu/pri": ["ubuntu/primary"],
        "submit hello --series h": ["hoary"],
        "submit hello --arch i": ["i386"],
        "build retry --archive ubuntu/pri": ["ubuntu/primary"],
        "build retry --series u": ["ubuntu/hoary"],
        "archive unpublish ubuntu/primary hello --series h": ["hoary"],
        "archive import-packages ubuntu/pri": ["ubuntu/primary"],
        "chroot update h": ["hoary"],
        "farm fence --family x": ["x86"],
        "person add c": [],
    }.items():
        assert completed(f"buildd-master {line}", monkeypatch, capsys) == words, line
    assert "bob" in command("builder", "list").out  # the same farm


def test_where_no_farm_is_no_name_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed(f"buildd-master --state-directory {tmp_path} builder show ", monkeypatch, capsys) == []
    assert capsys.readouterr().err == ""


def test_a_terminal_without_our_signs_gets_question_marks() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    program = "from cli import main; from cli.terminal import output; main.run = lambda _: output.say('✘ café') or 0; main.main()"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=CHECKOUT, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"? caf?\n", b"")

"""What `--help` shows to type is typed here, on a farm laid out for it: no example is only almost right."""

from __future__ import annotations

from typing import cast

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.app import command_line, meant
from cli.options.every_command import commands, finish
from cli.options.examples import EXAMPLES, PROGRAM
from tests.fix_cli import Command
from tests.fix_examples import ALL, runnable, words
from tests.fix_storage import Farm

PROGRAM_READ = finish(cast("TyperGroup", get_command(command_line(meant(())))))
_COLUMNS = 80  #: of a terminal that nobody made wider


def test_every_command_has_an_example_and_no_example_is_without_a_command() -> None:
    assert list(EXAMPLES) == list(commands(PROGRAM_READ))


def test_the_help_of_a_command_ends_with_its_examples_as_they_are_typed(command: Command) -> None:
    assert command("builder", "remove", "--help").out.endswith(f"\n\n  Example:\n    {PROGRAM} builder remove frog\n")
    shown = command("events", "--help").out
    assert f"\n\n  Examples:\n    {PROGRAM} events --build 812  # who cancelled it?\n    {PROGRAM} events --bu" in shown


def test_examples_fit_a_terminal() -> None:
    shown = [f"    {PROGRAM} {command} {line}" for command, line in ALL]
    assert [line for line in shown if len(line) > _COLUMNS] == []


@pytest.mark.parametrize(("name", "line"), ALL, ids=[f"{name} {line}" for name, line in ALL])
def test_an_example_is_understood(name: str, line: str) -> None:
    commands(PROGRAM_READ)[name].make_context(name, words(name, line)[len(name.split()) :])


@pytest.mark.slow
def test_examples_do_what_they_say(farm_of_examples: Farm, command: Command) -> None:
    assert farm_of_examples.queue.jobs()
    for name, line in runnable():
        done = command(*words(name, line))
        assert done.code == 0, (name, line, done)

"""`--json` keeps the shape that `docs/commands.md` promises: names and types of fields are those of real answers.

A field that is new, gone or of another type is seen here first; `make commands` writes the page anew.
"""

from __future__ import annotations

import os
import shlex

import pytest

from cli.options.every_command import commands
from tests.chaos.table import write_into
from tests.cli.json_shapes import BEGIN, END, PAGE, Shapes
from tests.cli.options.test_examples import PROGRAM_READ
from tests.fix_cli import Command
from tests.fix_examples import runnable, words
from tests.fix_storage import Farm

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

#: What is run once more after an example, as fields are filled then that were empty.
AFTERWARDS = {
    "build give-back": ["build show 816", "explain 905"],
    "build assign": ["queue", "build show 818"],
    "builder set": ["builder show bob"],
    "builder quarantine": ["builder list", "builder show bob", "explain --builder bob", "status"],
    "farm pause": ["farm show", "status", "queue"],
    "token revoke": ["token list"],
    "ca revoke": ["ca list"],
    "db migrate": [
        "farm fence 20",
        "farm fence --none",
        "builder add ida buildd://ida:8221 --family amd64 --tag big --restricted-tag gpu",
        "archive add debian/eve/ppa --tag big",
        "submit ./tiny_1.0.dsc --series bookworm --archive eve/ppa --again",
        "series add debian/forky --arch amd64",
        "series set debian/forky --apt-source 'deb http://mirror.invalid/debian forky main'",
        "team add-member buildd-admins ann",
        "person list",
        "team list",
        "queue",
        "explain --builder ida",
        "doctor",
        "simulate --builders 2 --jobs 4 --hours 1",
        "build show 999999",
    ],
}
FAILS = "any command that fails"


def answers(command: Command) -> Shapes:
    """Run every example that has it with `--json`, in the order of the help."""
    known, seen = commands(PROGRAM_READ), Shapes()
    for name, line in runnable():
        for arguments in [words(name, line), *map(shlex.split, AFTERWARDS.get(name, []))]:
            meant = next(one for one in known if one.split() == arguments[: len(one.split())])
            if any("--json" in parameter.opts for parameter in known[meant].params):
                ran = command(*arguments, "--json")
                seen.answers.append((FAILS if "error" in ran.json else meant, ran.json))
    order = [*known, FAILS]
    seen.answers.sort(key=lambda one: order.index(one[0]))
    return seen


def test_json_has_the_shapes_that_are_documented(farm_of_examples: Farm, command: Command) -> None:
    assert farm_of_examples.queue.jobs()
    found = answers(command).page()
    if os.environ.get("WRITE_COMMANDS"):
        write_into(PAGE, found, BEGIN, END)
    documented = PAGE.read_text().partition(f"{BEGIN}\n")[2].partition(END)[0]
    assert found.splitlines() == documented.splitlines()

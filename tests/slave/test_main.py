"""The command line of `buildd-slave`: help with examples, and whatever is wrong in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fix_slaves import CHECKOUT


def slave(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slave", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [(), ("enroll",), ("doctor",)])
def test_every_help_ends_with_an_example_and_has_no_boxes(command: tuple[str, ...]) -> None:
    ran = slave(*command, "-h")
    assert ran.returncode == 0
    assert ran.stdout.rstrip().splitlines()[-1].startswith(" ".join(["    buildd-slave", *command]))
    assert ran.stdout.isascii()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("enrol",), "No such command 'enrol'"),
        (("--stat",), "No such option: --stat"),
        (("doctor", "--jsn"), "see `buildd-slave doctor --help`"),
        (("--log-limit", "much"), "'--log-limit'"),
    ],
)
def test_bad_usage_is_one_line_and_says_where_to_read_on(words: tuple[str, ...], told: str) -> None:
    ran = slave(*words)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("buildd-slave: ")
    assert told in ran.stderr

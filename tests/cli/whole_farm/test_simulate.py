"""`buildd-master simulate` as people use it: drawn farms, the real one, stories, drawings, failures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from actors.core.builder.attempt.in_hand import AttemptInHand
from cli.main import run
from simulation.recount import recount
from storage.records import BuildState, Outcome
from tests.fix_cli import Command, Ran
from tests.fix_storage import Farm

SMALL = ("--builders", "6", "--jobs", "25", "--hours", "2", "--seed", "7")


@pytest.fixture
def simulate(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `buildd-master simulate` where no farm is."""

    def line(*words: str | Path, token: str | None = None) -> Ran:
        assert token is None
        code = run(["simulate", *map(str, words)])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return line


def test_a_farm_in_trouble_is_summed_up_and_its_story_counts_the_same(simulate: Command, tmp_path: Path) -> None:
    story, plot = tmp_path / "story.jsonl", tmp_path / "plot.svg"
    ran = simulate(*SMALL, "--faults", "heavy", "--json", "--story", story, "--plot", plot)
    assert ran.code == 0, ran
    sums = ran.json
    assert (sums["builds"], sums["lost"], sums["mixed_up"], sums["double_accepted"]) == (25, 0, 0, 0)
    assert sums["failure"] is None
    assert sums["faults"] > 5
    counted = recount(map(json.loads, story.read_text().splitlines()))
    for name, number in counted.items():
        assert sums[name] == pytest.approx(number, abs=0.0011), name
    drawing = ET.fromstring(plot.read_text())
    words = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"waiting", "running", "ok", "registered", "jobs", "builders"} <= set(words)


def test_it_is_told_to_people_too(simulate: Command) -> None:
    ran = simulate(*SMALL, "--faults", "heavy")
    assert ran.code == 0, ran
    for words in (
        " faults, simulated in ",
        "longest wait",
        "accepted twice",
        "utilisation",
        "amd64",
        "builds a second",
    ):
        assert words in ran.out, ran


def test_more_builders_are_compared_with_what_there_is(simulate: Command) -> None:
    line = ("--builders", "4", "--jobs", "120", "--hours", "2", "--minutes", "5", "--json")
    ran = simulate(*line, "--add", "amd64=12")
    assert ran.code == 0, ran
    now, then = ran.json["families"]["amd64"], ran.json["with_added"]["families"]["amd64"]
    assert then["p99"] < now["p99"] / 2
    assert then["busy"] < now["busy"]
    assert ran.json["with_added"]["builders"] == 16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--add", "arm64"), "give a processor family and a number, as in arm64=10"),
        (("--add", "amd46=3"), "no processor family 'amd46' here (there are: amd64, "),
        (("--from-database", "--faults", "heavy"), "leave --faults out"),
        (("--faults", "some"), "some"),
        (("--builders", "0"), "--builders"),
        (("--story", "/no/such/directory/story"), "can't be written: No such file or directory"),
        (("--plot", "/no/such/directory/farm.svg"), "can't be written: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused(simulate: Command, words: tuple[str, ...], said: str) -> None:
    ran = simulate(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.slow
def test_a_bug_ends_with_its_shortest_story(simulate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    finish: Any = AttemptInHand._tell_finished

    def twice_lost(attempt: AttemptInHand, at: float, out: list[Any]) -> None:
        finish(attempt, at, out)
        if attempt.ending is not None and attempt.ending.outcome == "PACKAGEFAIL":
            raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(AttemptInHand, "_tell_finished", twice_lost)
    ran = simulate(*SMALL, "--shrink", "120")  # it ends when nothing can be left out any more
    assert ran.code == 1
    assert "ZeroDivisionError: a bug of ours" in ran.err
    assert "1 job, 0 faults" in ran.err
    assert "dispatched" in ran.err


@pytest.mark.slow
def test_the_real_farm_is_looked_ahead_from_and_only_read(laid_out: Farm, command: Command) -> None:
    laid_out.builder("ann")
    laid_out.builder("bob")
    laid_out.builders.set_ok("bob", ok=False, notes="broken")
    for number in range(4):
        _built(laid_out, f"past{number}", minutes=30)
    for number in range(10):
        laid_out.job(f"waits{number}")
    before = laid_out.sql("SELECT max(id), count(*) FROM event")
    ran = command("simulate", "--from-database", "--hours", "24", "--seed", "3", "--add", "x86/trusted=9", "--json")
    assert ran.code == 0, ran
    assert laid_out.sql("SELECT max(id), count(*) FROM event") == before
    assert "2 builders (1 of them not ok or manual, left out), 10 jobs" in ran.err
    assert "times of 4 builds" in ran.err
    now, then = ran.json["families"]["x86"], ran.json["with_added"]["families"]["x86"]
    assert ran.json["builders"] == 1
    assert now["worst"] > 8 * 1800, "ten builds of half an hour, and what comes still, wait for one builder"
    assert then["worst"] < now["worst"] / 4
    assert then["busy"] < now["busy"]


def test_a_farm_without_builders_can_not_be_looked_ahead_from(command: Command) -> None:
    ran = command("simulate", "--from-database")
    assert (ran.code, ran.out) == (2, "")
    assert "the farm has no builders" in ran.err


def test_no_command_but_this_one_loads_the_simulator_and_only_when_it_runs() -> None:
    script = (
        "import sys; from cli.main import run; run(['simulate', '--help']);"
        " print([name for name in sys.modules if name.startswith('simulation')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def _built(farm: Farm, name: str, *, minutes: int) -> None:
    attempt = farm.claim(farm.job(name), "ann")
    farm.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    farm.sql("UPDATE attempt SET accepted = ended - make_interval(mins => %s) WHERE id = %s", minutes, attempt.id)

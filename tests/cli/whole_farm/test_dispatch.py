"""`buildd-master farm`, and quarantine, on a real database."""

from __future__ import annotations

from datetime import UTC

from cli.given import login_name
from tests.fix_cli import Command
from tests.fix_storage import Farm


def test_a_farm_is_paused_with_a_reason_that_everybody_sees_and_resumed(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    ran = command("farm", "pause", "--why", "the mirror\n is being moved")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == ("dispatch is paused: the mirror is being moved; `buildd-master farm resume` goes on\n")
    assert "dispatch is paused: the mirror is being moved" in command("explain", job.id).out
    assert "dispatch is paused: the mirror is being moved" in command("status").out
    laid_out.sql("UPDATE farm SET paused = E'the mirror\nis gone'")
    assert "dispatch is paused: the mirror is gone; `buildd-master farm resume` goes on\n" in command("status").out
    laid_out.sql("UPDATE farm SET paused = 'the mirror is being moved'")
    assert command("status", "--json").json["paused"] == "the mirror is being moved"
    shown = command("farm", "show", "--json").json
    assert shown["paused"] == "the mirror is being moved"
    said = [(event["who"], event["why"]) for event in shown["events"]]
    assert (login_name(), "the mirror is being moved") in said
    assert "paused: the mirror is being moved" in command("farm", "show").out
    ran = command("farm", "resume")
    assert ran.out == "jobs are given away again (was paused: the mirror is being moved)\n"
    assert command("farm", "resume").out == "it was not paused\n"
    assert "dispatch is paused" not in command("status").out


def test_fences_of_the_farm_and_of_families_hold_jobs_back(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    assert command("farm", "fence", "-5").out == "the least score of the farm is -5: jobs below it wait\n"
    assert command("farm", "fence", "--family", "x86", "3000", "--why", "release").code == 0
    assert "below_minimum_score" in command("explain", job.id).out
    shown = command("farm", "show", "--json").json
    assert (shown["paused"], shown["minimum_score"], shown["family_scores"]) == (None, -5, {"x86": 3000})
    assert shown["events"][-1]["why"] == "release"
    assert "x86: minimum_score = 3000  release" in command("farm", "show").out
    assert command("farm", "fence", "--family", "x86", "--none").out == "the least score of x86 is none\n"
    document = command("farm", "fence", "--none", "--json").json
    assert document == {"paused": None, "minimum_score": None, "family_scores": {}}


NOT_SO: list[tuple[list[str], str]] = [
    (["pause"], "--why"),
    (["pause", "--why", " "], "says nothing"),
    (["fence"], "give a number, or --none"),
    (["fence", "5", "--none"], "give a number, or --none"),
    (["fence", "1e9"], "should be a valid integer"),
    (["fence", "1000000000"], "at most 1000000 either way"),
    (["fence", "5", "--family", "z80"], "no processor family 'z80' here (there are: "),
]


def test_what_can_not_be_said_of_the_farm_is_bad_input(command: Command) -> None:
    for arguments, told in NOT_SO:
        ran = command("farm", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert told in ran.err
    assert command("farm", "show", "--json").json["minimum_score"] is None


def test_a_builder_is_quarantined_for_a_while_and_released(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    ran = command("builder", "quarantine", "bob", "--minutes", "10", "--why", "smells of smoke")
    assert ran.code == 0
    assert "builder bob gets no work until " in ran.out
    assert "smells of smoke" in command("builder", "list").out
    assert "`buildd-master builder release bob` ends it" in command("builder", "show", "bob").out
    until = laid_out.builders.get("bob").quarantined_until
    assert until is not None
    for asked in (("explain", job.id), ("explain", "--builder", "bob"), ("queue",)):
        shown = command("--utc", *asked).out
        assert f"quarantined until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z: smells of smoke" in shown
    assert "builder_quarantined" in command("explain", job.id).out
    shown = command("builder", "show", "bob", "--json").json
    assert (shown["quarantine_why"], shown["events"][-1]["why"]) == ("smells of smoke", "smells of smoke")
    assert command("builder", "release", "bob", "--why", "aired").out == "builder bob gets work again\n"
    assert command("builder", "show", "bob", "--json").json["events"][-1]["why"] == "aired"
    assert command("builder", "release", "bob", "--json").json == {"builder": "bob", "released": False}
    assert command("builder", "show", "bob", "--json").json["quarantined_until"] is None


def test_a_quarantine_that_can_not_be_is_bad_input(command: Command, laid_out: Farm) -> None:
    laid_out.builder("bob")
    for arguments in (
        ["quarantine", "bob", "--minutes", "0", "--why", "x"],
        ["quarantine", "bob", "--minutes", "100000000", "--why", "x"],
        ["quarantine", "bob", "--minutes", "ten", "--why", "x"],
        ["quarantine", "bob", "--minutes", "10"],
        ["quarantine", "nobody", "--minutes", "10", "--why", "x"],
        ["release", "nobody"],
    ):
        ran = command("builder", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert laid_out.builders.get("bob").quarantined_until is None

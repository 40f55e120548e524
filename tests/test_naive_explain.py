"""`explain` against an answer that knows nothing of it (`tests.naive_explain`), on farms with a bit of everything.

What is compared is what the commands print.  That the queue actor's books do as `explain` says, whatever changes, is
tested in `tests/actors/queue/test_naive_dispatch.py`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg
import pytest

from storage.access.tokens import ApiTokens
from tests.farm_of_everything import FarmOfEverything
from tests.fix_cli import Command
from tests.fix_farm import PROJECT
from tests.naive_explain import NaiveFarm, Row

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

SEEDS = range(6)
OF_JOBS = {
    *("no_chroot", "pocket_closed", "superseded", "archive_disabled", "below_minimum_score", "files_missing"),
    *("cooling_down", "no_capable_builder"),
}
OF_PAIRS = {
    *("builder_not_ok", "builder_quarantined", "builder_manual", "assigned_elsewhere", "family_mismatch"),
    *("trust_mismatch", "tags_missing", "pair_excluded", "builder_disconnected", "builder_busy", "builder_cleaning"),
    "builder_frozen",
}


def in_short(document: dict[str, Any]) -> Row:
    """Return what `queue --json` and `explain --json` print of a job, as `NaiveFarm.explain` says it."""
    return {
        **{name: document[name] for name in ("queue_length", "score", "position", "eligible_now")},
        "reason": code(document["reason"]),
        "builders": {each["builder"]: code(each["reason"]) for each in document["builders"]},
    }


def code(reason: dict[str, Any] | None) -> str | None:
    return None if reason is None else reason["code"]


def compared(command: Command, naive: NaiveFarm, token: str | None = None) -> dict[int, Row]:
    """Return the answers about all jobs, which both give."""
    document = command("queue", "--limit", "1000", "--json", token=token).json
    told = {one["job"]: in_short(one) for one in document["jobs"]}
    assert told.keys() == {job["id"] for job in naive.jobs}
    for job in naive.jobs:
        assert told[job["id"]] == naive.explain(job), job
    return told


@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_and_every_builder_is_answered_as_the_text_of_the_rules_says(
    seed: int, command: Command, connection: psycopg.Connection[Any]
) -> None:
    FarmOfEverything(connection, seed)
    naive = NaiveFarm(connection)
    told = compared(command, naive)
    for builder in naive.builders:
        document = command("explain", "--builder", builder["name"], "--json").json
        document["reason"] = code(document["reason"])
        assert document == {"builder": builder["name"], **naive.explain_builder(builder)}, builder
    assert sum(job["builder"] is None for job in naive.jobs) >= 200
    assert {one["reason"] for one in told.values()} == {None} | OF_JOBS, "this farm does not test everything"
    assert {one for answer in told.values() for one in answer["builders"].values()} == {None} | OF_PAIRS


def test_while_dispatch_is_paused_the_answers_are_those_of_the_text_too(
    command: Command, connection: psycopg.Connection[Any]
) -> None:
    FarmOfEverything(connection, 99)
    connection.execute("UPDATE farm SET paused = 'the mirror is being moved'")
    told = compared(command, NaiveFarm(connection))
    assert {one["reason"] for one in told.values()} == {None, "dispatch_paused"} | OF_JOBS - {"no_capable_builder"}
    assert {one["eligible_now"] for one in told.values()} == {None}


def test_a_stranger_who_may_not_read_a_private_archive_gets_the_same_places_and_codes(
    command: Command, connection: psycopg.Connection[Any]
) -> None:
    FarmOfEverything(connection, 98, jobs=40)
    connection.execute("INSERT INTO person (name) VALUES ('mallory')")
    token, _ = ApiTokens(connection).create("mallory", None)
    compared(command, NaiveFarm(connection), token)
    assert "private source" in command("queue", "--limit", "1000", "--json", token=token).out


def test_explain_prints_of_one_job_what_the_queue_prints_of_it(
    command: Command, connection: psycopg.Connection[Any]
) -> None:
    FarmOfEverything(connection, 7, jobs=40)
    for one in command("queue", "--limit", "1000", "--json").json["jobs"][::7]:
        assert command("explain", one["job"], "--json").json == one


@pytest.mark.parametrize("about", [("20",), ("--builder", "erin")])
def test_a_process_of_its_own_prints_the_same(
    about: tuple[str, ...], command: Command, connection: psycopg.Connection[Any]
) -> None:
    FarmOfEverything(connection, 7, jobs=40)
    words = [sys.executable, "-m", "cli", "explain", *about, "--json"]
    told = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert told == command("explain", *about, "--json").out

"""While the database is away, or can't write, the command line says what the master here does about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from actors.master.run_file import RunningFarm, write_run_file
from actors.queue.pause_note import write_note
from storage.records import Job
from tests.fix_cli import Command
from tests.fix_storage import Farm

NO_ROOM = "the database can't do that now: could not extend file: No space left on device"


@pytest.fixture
def master(state_directory: Path) -> Iterator[Path]:
    """Look like a master that runs here; return where it leaves its note."""
    with socket.socket() as admin:
        admin.bind(("127.0.0.1", 0))
        admin.listen()
        write_run_file(state_directory / "run.json", RunningFarm(os.getpid(), admin.getsockname()[1], 0, "given", ""))
        yield state_directory / "paused"


def test_a_database_that_does_not_answer_is_said_with_what_the_master_does_meanwhile(
    command: Command, master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", "host=127.0.0.1 port=1 dbname=farm")
    write_note(master, "can't reach the database")
    ran = command("status")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "can't reach the database (name farm, at 127.0.0.1, port 1)" in ran.err
    assert "the master here waits for it since 2" in ran.err
    assert "nothing is given away, running builds go on, their results wait" in ran.err
    write_note(master, "")
    assert "the master here" not in command("status").err


def test_a_master_that_does_not_run_does_not_wait(
    command: Command, state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", "host=127.0.0.1 port=1 dbname=farm")
    write_note(state_directory / "paused", "can't reach the database")
    assert "the master here" not in command("status").err


def test_a_database_that_goes_away_in_the_middle_is_said_the_same_way(
    command: Command, laid_out: Farm, master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_: object, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        with psycopg.connect(laid_out.conn.info.dsn, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'test'"
            )
        return jobs

    monkeypatch.setattr("cli.jobs.explaining.seen_jobs", cut)
    write_note(master, "the database does not answer")
    ran = command("queue")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "the database does not answer" in ran.err
    assert "the master here waits for it" in ran.err


def test_status_and_explain_tell_a_pause_that_the_database_has_no_room_for(
    command: Command, laid_out: Farm, master: Path
) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    write_note(master, NO_ROOM)
    assert f"dispatch is paused: {NO_ROOM} (since 2" in command("status").out
    explained = command("explain", job.id, "--json").json
    assert "dispatch_paused" in str(explained)
    assert f"dispatch is paused: {NO_ROOM}" in command("explain", job.id).out
    laid_out.farm_states.pause("moving")
    assert "dispatch is paused: moving" in command("status").out


def test_a_pause_that_ends_by_itself_is_not_said_to_need_a_person(command: Command, laid_out: Farm) -> None:
    laid_out.farm_states.pause_for_now("the master's own disk: full")
    shown = command("status").out
    assert "dispatch is paused: the master's own disk: full; goes on by itself when that is mended" in shown
    assert "farm resume" not in shown

"""`buildd-master events`: what happened, and why, on a real database."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC

import pytest
from rich.console import Console

from storage.events.log import KINDS
from storage.records import Attempt, BinaryPackage, BuildState, Limits, NotOkKind, Outcome, Pick, Settlement
from tests.fix_cli import Command
from tests.fix_storage import Farm as StageFarm
from tests.fix_storage import left


def test_events_on_a_narrow_terminal_are_lines_that_it_wraps(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("builder", "add", "frog", "buildd://frog:8221", "--family", "amd64")
    for columns, lines in ((60, 1), (80, 2), (120, 2)):  # a table has its headings
        monkeypatch.setattr(
            "cli.terminal.stories.console", lambda width=columns: Console(width=width, force_terminal=True)
        )
        shown = command("events", "--builder", "frog").out
        assert len(re.findall(r"^ *\d+  |^.*EVENT", shown, re.MULTILINE)) == lines
        assert ("insert url=buildd://frog:8221  (builder add frog)" in shown) == (columns < 110)
        number = str(last(command, "--builder", "frog"))
        assert number in shown.split(), "`events --because` wants it"


def dispatch(farm: StageFarm, build: int, builder: str = "bob") -> Attempt:
    """Give the build's job to a builder, as the queue actor does."""
    with farm.acting("queue"):
        (attempt,) = farm.queue.claim((Pick(farm.builds.job(build).id, builder, 1),), Limits(wall_seconds=60))
    return attempt


def built(farm: StageFarm, attempt: Attempt) -> None:
    """Record that an attempt came to a package, as the queue actor does."""
    with farm.acting("queue"):
        farm.queue.gathering(attempt.id)
        farm.queue.record(
            attempt.id,
            Outcome.OK,
            "",
            build_state=BuildState.FULLYBUILT,
            keep_job=False,
            results=(left("foo.deb"),),
        )


@pytest.fixture
def farm(laid_out: StageFarm) -> StageFarm:
    laid_out.builder("bob")
    return laid_out


def chain(command: Command, event: int) -> list[tuple[str, str]]:
    """Return the subjects' kinds of what led to an event, and who did it."""
    told = command("events", "--because", str(event), "--json").json["events"]
    return [(one["subject"].partition(":")[0], one["who"]) for one in told]


def last(command: Command, *options: str) -> int:
    """Return the number of the last event that fits."""
    return int(command("events", *options, "-n", "1", "--json").json["events"][-1]["id"])


def test_what_happened_to_a_build_is_one_command_from_the_upload_to_the_end(command: Command, farm: StageFarm) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    built(farm, attempt)
    told = command("events", "--build", str(build), "-n", "100").out.splitlines()
    words = [re.sub(r"^\s*\d+ +\S+ \S+ +", "", one) for one in told]
    assert any(one.startswith("stage") and f"build:{build}" in one and "insert source=" in one for one in words)
    assert any(one.startswith("queue") and "insert build=" in one and "builder=bob" in one for one in words)
    assert any("state = FULLYBUILT" in one for one in words)
    assert any(f"job:{attempt.job}" in one and "delete" in one for one in words)
    assert command("events", "--build", "99").code == 2


def test_what_happened_to_a_build_tells_of_jobs_that_no_builder_ever_had(command: Command, farm: StageFarm) -> None:
    job = farm.job()
    with farm.acting("anna", "not now"):
        farm.builds.rescore(job.build, 5)
        farm.builds.cancel(job.build)
    with farm.acting("anna"):
        farm.builds.retry(job.build)
    told = command("events", "--build", str(job.build), "--json").json["events"]
    mine = [(one["who"], one["what"]) for one in told if one["subject"] == f"job:{job.id}"]
    assert mine == [("stage", "insert"), ("anna", "manual_score"), ("anna", "delete")]


def test_the_log_names_its_subjects_as_the_database_does(farm: StageFarm) -> None:
    rows = farm.conn.execute("SELECT encode(tgargs, 'escape') FROM pg_trigger WHERE tgfoid = 'record_event'::regproc")
    written = {str(arguments).partition("\\000")[0] for (arguments,) in rows}
    assert {*KINDS} == written | {"actor"}


def test_an_attempt_is_meant_by_the_digits_that_tables_show(command: Command, farm: StageFarm) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    shown = command("events", "--build", str(build)).out
    short = f"attempt:{str(attempt.id)[:8]}"
    assert short in shown
    told = command("events", "--subject", short, "--json").json["events"]
    assert told
    assert {one["subject"] for one in told} == {f"attempt:{attempt.id}"}


def test_times_in_what_changed_are_those_of_the_reader(command: Command, farm: StageFarm) -> None:
    with farm.acting("anna", "hot"):
        until = farm.builders.quarantine("bob", 600, "hot").quarantined_until
    assert until is not None
    told = command("--utc", "events", "--builder", "bob").out
    assert f"quarantined_until = {until.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" in told


def test_a_dispatch_goes_back_to_who_queued_the_build(command: Command, farm: StageFarm) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    event = last(command, "--subject", f"attempt:{attempt.id}")
    assert chain(command, event) == [("attempt", "queue"), ("job", "stage")]
    told = command("events", "--because", str(event)).out.splitlines()
    assert [one.startswith("because ") for one in told] == [False, False, True]  # the first line are the headings


def test_what_ended_a_build_is_its_attempts_end_and_that_its_builders_lost_trust(
    command: Command, farm: StageFarm
) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    with farm.acting("anna", "not ours any more"):
        farm.builders.change("bob", trusted=False)
    event = last(command, "--subject", f"build:{build}")
    assert chain(command, event) == [("build", "anna"), ("attempt", "anna"), ("builder", "anna")]
    assert last(command, "--subject", f"attempt:{attempt.id}") < event


def test_what_a_person_does_has_no_cause(command: Command, farm: StageFarm) -> None:
    build = farm.job().build
    dispatch(farm, build)
    with farm.acting("anna", "wrong upload"):
        farm.builds.cancel(build)
    event = last(command, "--who", "anna", "--subject", f"build:{build}")
    assert chain(command, event) == [("build", "anna")]


def test_who_marked_a_builder_and_for_what_is_one_command(command: Command, farm: StageFarm) -> None:
    with farm.acting("anna", "its fan rattles"):
        farm.builders.set_ok("bob", ok=False, notes="its fan rattles")
    told = command("events", "--builder", "bob", "-n", "1").out.splitlines()[-1]
    assert " anna " in told
    assert "builderok = False" in told
    assert "its fan rattles" in told
    assert command("events", "--builder", "eve").code == 2


def test_a_builder_that_failed_too_often_was_marked_because_of_its_last_attempt(
    command: Command, farm: StageFarm
) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    with farm.acting("queue"):
        farm.queue.fence(attempt.id, "")
        farm.builders.mark_not_ok("bob", "five failures in a row", NotOkKind.FAILURES)
    marked = last(command, "--builder", "bob")
    told = chain(command, marked)
    assert told[:2] == [("builder", "queue"), ("attempt", "queue")]
    with farm.acting("queue"):
        farm.builders.set_ok("bob", ok=True)
    dispatch(farm, build)
    assert chain(command, marked) == told, "what comes later changes no cause"


def lacking(farm: StageFarm, name: str) -> int:
    """Let a build end because it lacks a package; return it."""
    attempt = farm.claim(farm.job())
    with farm.acting("queue"):
        farm.queue.record(
            attempt.id,
            Outcome.DEPFAIL,
            "it lacks something",
            build_state=BuildState.MANUALDEPWAIT,
            keep_job=False,
            dependencies=(name,),
        )
    return attempt.build


def test_a_build_waited_no_longer_because_of_who_published_what_it_lacked(command: Command, farm: StageFarm) -> None:
    build = lacking(farm, "libfoo")
    with farm.acting("anna", "from the mirror"):
        primary = farm.archives.get("ubuntu", "primary")
        farm.packages.import_index(primary, "hoary", "i386", (BinaryPackage("libfoo", "1", "i386"),))
    with farm.acting("queue", "libfoo 1 is there now"):
        farm.waits.settle((Settlement(build, ("libfoo",), (), "libfoo 1 is there now"),))
    attempt = dispatch(farm, build)
    event = last(command, "--subject", f"attempt:{attempt.id}")
    assert chain(command, event) == [("attempt", "queue"), ("job", "queue"), ("build", "queue"), ("archive", "anna")]


def test_what_a_build_published_is_because_of_that_build(command: Command, farm: StageFarm) -> None:
    build = farm.job().build
    attempt = dispatch(farm, build)
    built(farm, attempt)
    with farm.acting("queue"):
        place = farm.packages.place(attempt.id)
        assert place is not None
        farm.packages.publish(place, (BinaryPackage("foo", "1", "i386"),))
    told = command("events", "-n", "100", "--json").json["events"]
    published = next(one["id"] for one in told if one["what"].startswith("packages: "))
    assert chain(command, published)[:2] == [("archive", "queue"), ("build", "queue")]


def test_an_actor_was_killed_because_of_the_deed_that_does_so_and_of_no_other(
    command: Command, farm: StageFarm
) -> None:
    with farm.acting("anna", "to look at it"):
        note = farm.events.note("builder:bob", "console: kill -9 4711")
        farm.events.note("builder:bob", "console: thaw")
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "process ended without a word", NotOkKind.CRASH)
    event = last(command, "--builder", "bob")
    told = command("events", "--because", str(event), "--json").json["events"]
    assert [one["id"] for one in told] == [event, note]
    with farm.acting("queue"):
        farm.builders.heal("bob")
        farm.builders.mark_not_ok("bob", "InjectedCrash: of somebody", NotOkKind.CRASH)
    assert chain(command, last(command, "--builder", "bob")) == [("builder", "queue")]


def test_an_actor_that_was_marked_already_was_killed_because_of_the_deed_too(command: Command, farm: StageFarm) -> None:
    note = 0
    for deed in ("console: kill -9 4711", "console: kill -9 4712"):
        with farm.acting("anna", "to look at it"):
            note = farm.events.note("builder:bob", deed)
        with farm.acting("queue"):
            farm.builders.mark_not_ok("bob", f"ended without a word after {deed}", NotOkKind.CRASH)
    event = last(command, "--builder", "bob")
    told = command("events", "--because", str(event), "--json").json["events"]
    assert [one["id"] for one in told] == [event, note]
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "connection refused", NotOkKind.UNREACHABLE)
        farm.builders.mark_not_ok("bob", "no route to host", NotOkKind.UNREACHABLE)
    assert chain(command, last(command, "--builder", "bob")) == [("builder", "queue")]


def test_what_a_console_did_long_ago_has_killed_nobody_now(command: Command, farm: StageFarm) -> None:
    farm.conn.execute(
        "INSERT INTO event (at, who, why, subject, what)"
        " VALUES (now() - interval '2 minutes', 'anna', '', 'builder:bob', 'console: kill -9 4711')"
    )
    with farm.acting("queue"):
        farm.builders.mark_not_ok("bob", "process ended without a word", NotOkKind.CRASH)
    assert chain(command, last(command, "--builder", "bob")) == [("builder", "queue")]


def test_times_are_given_as_long_ago_or_as_the_clock_says(command: Command, farm: StageFarm) -> None:
    assert command("events", "--since", "2h", "--json").json["events"]
    assert not command("events", "--until", "2h", "--json").json["events"]
    assert not command("events", "--since", "2990-01-01", "--json").json["events"]
    assert command("events", "--until", "2990-01-01 14:30", "-n", "3", "--json").json["events"]
    refused = command("events", "--since", "yesterday")
    assert (refused.code, "write how long ago" in refused.err) == (2, True)
    assert farm.builders.get("bob").builderok


@pytest.mark.parametrize(
    "options",
    [
        ("--build", "1", "--builder", "bob"),
        ("--because", "1", "--build", "1"),
        ("--because", "1", "-f"),
        ("-f", "--until", "2h"),
        ("--because", "4711"),
        ("--because", "9" * 30),
        ("--build", "9" * 30),
        ("--subject", "bob"),
        ("--subject", "bulider:bob"),
        ("--subject", "archive:ubuntu/primary"),
        ("--subject", "attempt:nonesuch"),
        ("--subject", "attempt:"),
    ],
)
def test_what_can_not_be_asked_is_refused(command: Command, farm: StageFarm, options: tuple[str, ...]) -> None:
    refused = command("events", *options)
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert farm.builders.get("bob").builderok


def test_following_shows_what_happens_next(command: Command, farm: StageFarm) -> None:
    assert command("events").code == 0  # and the environment is that of a command
    follow = [sys.executable, "-m", "cli", "events", "-f", "-n", "1", "--json"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"subject"' in process.stdout.readline()
        with farm.acting("anna", "fan"):
            farm.builders.set_ok("bob", ok=False, notes="fan")
        seen = process.stdout.readline()
        assert '"anna"' in seen
        process.terminate()


def test_the_whole_farms_events_are_for_its_admins(command: Command, farm: StageFarm) -> None:
    command("person", "add", "anna")
    token = command("token", "create", "anna").out.strip()
    refused = command("events", token=token)
    assert (refused.code, "buildd-admin" in refused.err) == (2, True)
    assert command("events", "--builder", "bob", token=token).code == 0
    assert command("events", "--build", str(farm.job().build), token=token).code == 0

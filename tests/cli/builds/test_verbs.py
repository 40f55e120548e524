"""`buildd-master build cancel`, `retry`, `give-back`, `set-state` and `show`, on a real database."""

from __future__ import annotations

from collections import Counter

import pytest
import typer
from typer.main import get_command

from actors.core.people.roles import Action
from cli.app import command_line
from cli.builds.verbs import each
from cli.errors import Failed
from cli.farm import Farm as OpenFarm
from cli.farm import open_farm
from cli.given import Given, login_name
from storage.builds import Builds
from storage.records import BuildState, Outcome
from tests.fix_cli import Command
from tests.fix_storage import Farm

VERBS = [("cancel",), ("retry",), ("give-back",), ("set-state", "FAILEDTOBUILD"), ("rescore", "5"), ("assign", "bob")]


def running(farm: Farm, name: str = "foo", builder: str = "bob") -> int:
    """Return a build that runs on `builder`."""
    job = farm.job(name)
    farm.claim(job, farm.builder(builder))
    return job.build


def ended(farm: Farm, state: BuildState, *names: str, archive: str = "primary") -> list[int]:
    """Return builds that ended in `state`."""
    builds = [farm.job(name, archive).build for name in names]
    with farm.acting("anna"):
        for build in builds:
            farm.builds.set_state(build, state)
    return builds


def state(farm: Farm, build: int) -> BuildState:
    return farm.builds.get(build).state


# --- cancel ---------------------------------------------------------------------------------------


def test_several_builds_are_cancelled_at_once_the_running_ones_by_their_slaves(
    command: Command, laid_out: Farm
) -> None:
    waiting, runs = laid_out.job("waiting").build, running(laid_out)
    ran = command("build", "cancel", waiting, runs, waiting, "--why", "the  wrong\nupload")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"build {waiting} is cancelled",
        f"build {runs} is being cancelled: its slave was told to abort (70 s at most)",
    ]
    assert (state(laid_out, waiting), state(laid_out, runs)) == (BuildState.CANCELLED, BuildState.CANCELLING)
    event = laid_out.events.story(f"build:{waiting}")[-1]
    assert (event.who, event.why) == (login_name(), "the wrong upload")
    shown = command("build", "show", waiting).out
    assert "the wrong upload" in shown
    again = command("build", "cancel", runs, "--json")
    assert again.json == {"builds": [{"build": runs, "state": "CANCELLING"}]}


def test_if_one_of_several_builds_can_not_be_cancelled_none_is(command: Command, laid_out: Farm) -> None:
    waiting = laid_out.job("waiting").build
    (failed,) = ended(laid_out, BuildState.FAILEDTOBUILD, "failed")
    last = laid_out.events.last_id()
    ran = command("build", "cancel", waiting, failed)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert f"build {failed} is FAILEDTOBUILD and can't become CANCELLED; it has ended" in ran.err
    assert "nothing was changed" in ran.err
    assert laid_out.events.last_id() == last


def test_a_cancelled_build_does_not_come_back_by_the_end_of_its_attempt(command: Command, laid_out: Farm) -> None:
    runs = running(laid_out)
    (attempt,) = laid_out.queue.open_attempts()
    command("build", "cancel", runs)
    refused = command("build", "give-back", runs)
    assert refused.code == 1
    assert f"it is being cancelled (70 s at most); `buildd-master build retry {runs}` goes on from there" in refused.err
    with laid_out.acting("queue"):
        laid_out.queue.record(attempt.id, Outcome.LOST, "", build_state=BuildState.NEEDSBUILD, keep_job=True)
    assert state(laid_out, runs) is BuildState.CANCELLED


def test_if_somebody_is_quicker_between_trial_and_deed_the_builds_that_were_changed_are_told(
    command: Command, laid_out: Farm
) -> None:
    del command  # sets the environment
    builds = [laid_out.builds.get(laid_out.job(name).build) for name in ("one", "two", "three")]
    times = Counter[int]()

    def cancel(farm: OpenFarm, build: int) -> BuildState:
        times[build] += 1
        if build == builds[1].id and times[build] == 2:  # not when it is tried
            laid_out.builds.set_state(builds[2].id, BuildState.SUPERSEDED)
            build = builds[2].id
        return Builds(farm.connection).cancel(build)

    here = typer.Context(get_command(command_line(frozenset({"build"}))), obj=Given())
    with open_farm(here) as farm, pytest.raises(Failed) as failed:
        each(farm, builds, "test", Action.CHANGE_BUILDS, lambda build: cancel(farm, build))
    assert str(failed.value).startswith(f"build {builds[2].id} is SUPERSEDED and can't become CANCELLED; ")
    assert str(failed.value).endswith(f"(changed before that, and only those: builds {builds[0].id})")
    assert [state(laid_out, build.id) for build in builds] == [
        BuildState.CANCELLED,
        BuildState.NEEDSBUILD,
        BuildState.SUPERSEDED,
    ]


# --- retry ----------------------------------------------------------------------------------------


def test_builds_are_retried_and_say_which_job_they_have_now(command: Command, laid_out: Farm) -> None:
    builds = ended(laid_out, BuildState.CHROOTWAIT, "one", "two")
    ran = command("build", "retry", *builds)
    jobs = {job.build: job.id for job in laid_out.queue.jobs()}
    assert (ran.code, list(jobs)) == (0, builds)
    assert ran.out.splitlines() == [
        f"build {build} ({name} 1.0-1 for ubuntu/hoary/i386) was CHROOTWAIT and is queued again: job {jobs[build]}"
        for build, name in zip(builds, ("one", "two"), strict=True)
    ]
    again = command("build", "retry", builds[0])
    assert f"waits already, as job {jobs[builds[0]]}" in again.out


def test_what_was_built_is_not_retried(command: Command, laid_out: Farm) -> None:
    runs = running(laid_out)
    (attempt,) = laid_out.queue.open_attempts()
    refused = command("build", "retry", runs)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"`buildd-master build give-back {runs}` takes it from its builder" in refused.err
    with laid_out.acting("queue"):
        laid_out.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    refused = command("build", "retry", runs)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "`buildd-master submit --again` builds it once more" in refused.err


def test_all_builds_of_a_kind_are_retried_after_a_look_at_them(command: Command, laid_out: Farm) -> None:
    one, two = ended(laid_out, BuildState.CHROOTWAIT, "one", "two")
    (ppa,) = ended(laid_out, BuildState.CHROOTWAIT, "one", archive="cprov/ppa")
    ended(laid_out, BuildState.MANUALDEPWAIT, "three")
    last = laid_out.events.last_id()
    looked = command("build", "retry", "--state", "chrootwait", "--dry-run", "--json")
    assert [each["build"] for each in looked.json["builds"]] == [one, two, ppa]
    assert {each["job"] for each in looked.json["builds"]} == {None}
    looked = command("build", "retry", "--state", "CHROOTWAIT", "--archive", "ubuntu/primary", "--dry-run")
    assert len(looked.out.splitlines()) == 2
    assert "2 builds would be queued again" in looked.err
    assert laid_out.events.last_id() == last
    ran = command("build", "retry", "--state", "CHROOTWAIT", "--archive", "ubuntu/primary", "--series", "ubuntu/hoary")
    assert "2 builds queued again" in ran.err
    assert {job.build for job in laid_out.queue.jobs()} == {one, two}
    assert state(laid_out, ppa) is BuildState.CHROOTWAIT
    nothing = command("build", "retry", "--state", "CHROOTWAIT", "--archive", "ubuntu/primary")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "0 builds queued again\n")


RETRY_WHAT: list[tuple[list[str], str]] = [
    ([], "give the numbers of builds, or --state"),
    (["1", "--state", "CHROOTWAIT"], "give the numbers of builds, or --state"),
    (["1", "--archive", "ubuntu/primary"], "--archive and --series go with --state"),
    (["--state", "FULLYBUILT"], "builds that are FULLYBUILT are not retried"),
    (["--state", "BUILDING"], "--state takes one of FAILEDTOBUILD"),
    (["--state", "BROKEN"], "'BROKEN' is not one of"),
    (["--state", "CHROOTWAIT", "--archive", "primary"], "write DISTRIBUTION/ARCHIVE"),
    (["--state", "CHROOTWAIT", "--archive", "ubuntu/nowhere"], "no archive 'ubuntu/nowhere' here"),
    (
        ["--state", "CHROOTWAIT", "--series", "ubuntu/warty"],
        "no series 'ubuntu/warty' here (there are: ubuntu/hoary)",
    ),
    (["1", "--why", "   "], "says nothing"),
]


def test_retrying_nothing_or_something_else_is_bad_input(command: Command, laid_out: Farm) -> None:
    ended(laid_out, BuildState.CHROOTWAIT, "one")
    last = laid_out.events.last_id()
    for arguments, told in RETRY_WHAT:
        ran = command("build", "retry", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert told in ran.err
    assert laid_out.events.last_id() == last


# --- give back, set state -------------------------------------------------------------------------


def test_a_running_build_is_taken_from_its_builder(command: Command, laid_out: Farm) -> None:
    runs = running(laid_out)
    laid_out.builder("eve")
    ran = command("build", "give-back", runs, "--exclude", "--why", "the machine is needed")
    (job,) = laid_out.queue.jobs()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"build {runs} was taken from bob and waits, as job {job.id}\n"
    assert [one.builder for one in job.excluded] == ["bob"]
    (attempt,) = laid_out.builds.attempts(runs)
    assert (attempt.outcome, attempt.text) == (Outcome.FENCED, "given back by an operator: the machine is needed")
    assert laid_out.builders.get("bob").builderok
    assert "no builder has it" in command("build", "give-back", runs).err


def test_the_only_builder_is_not_excluded_and_that_is_told(command: Command, laid_out: Farm) -> None:
    runs = running(laid_out)
    laid_out.builder("eve", trusted=False)
    ran = command("build", "give-back", runs, "--exclude", "--json")
    assert ran.json["builds"][0]["builder"] == "bob"
    laid_out.claim(laid_out.builds.job(runs))
    assert "bob is the only builder that could have it" in command("build", "give-back", runs, "--exclude").err


def test_an_operators_verdict_on_a_running_build_is_told_with_its_builder(command: Command, laid_out: Farm) -> None:
    runs, waiting = running(laid_out), laid_out.job("waiting").build
    ran = command("build", "set-state", runs, waiting, "superseded", "--why", "newer one is there")
    assert ran.out.splitlines() == [
        f"build {runs} is SUPERSEDED (was BUILDING); it ran on bob, which aborts it",
        f"build {waiting} is SUPERSEDED (was NEEDSBUILD)",
    ]
    assert laid_out.queue.jobs() == ()
    assert laid_out.builds.get(runs).why == "newer one is there"
    assert command("build", "set-state", runs, "NEEDSBUILD").code == 0
    assert [job.build for job in laid_out.queue.jobs()] == [runs]


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        ("BUILDING", 1, "the farm makes it so when a builder has it"),
        ("FULLYBUILT", 1, "only results that a slave left make it so"),
        ("BROKEN", 2, "'BROKEN' is not one of"),
    ],
)
def test_a_state_that_can_not_be_set_is_refused(
    command: Command, laid_out: Farm, wanted: str, code: int, told: str
) -> None:
    build = laid_out.job().build
    ran = command("build", "set-state", build, wanted)
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
    assert told in ran.err
    assert state(laid_out, build) is BuildState.NEEDSBUILD


# --- which build ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [*VERBS, ("show",), ("log",), ("files",)])
def test_a_build_that_is_not_there_is_bad_input(command: Command, laid_out: Farm, verb: tuple[str, ...]) -> None:
    laid_out.builder("bob")
    every = verb == ("show",)  # they are all read in one place
    for number in ("0", "9223372036854775808", "1" + "0" * 40, "999")[0 if every else -1 :]:
        ran = command("build", verb[0], number, *verb[1:])
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert f"no build '{number}' here; `buildd-master build list` shows the latest" in ran.err
    for number in ("-1", "1.5", "1e3", "", "seventeen")[0 if every else -1 :]:
        ran = command("build", verb[0], number, *verb[1:])
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_the_number_of_a_job_is_not_taken_for_a_builds(command: Command, laid_out: Farm) -> None:
    laid_out.builder("bob")
    build = laid_out.job().build
    for _ in range(3):
        command("build", "cancel", build)
        command("build", "retry", build)
    (job,) = laid_out.queue.jobs()
    for verb in VERBS:
        ran = command("build", verb[0], job.id, *verb[1:])
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert f"no build {job.id} here, but job {job.id} is that of build {build}" in ran.err
    assert laid_out.queue.jobs() == (job,)


def test_one_unknown_build_among_several_changes_nothing(command: Command, laid_out: Farm) -> None:
    build = laid_out.job().build
    assert command("build", "cancel", build, "999").code == 2
    assert state(laid_out, build) is BuildState.NEEDSBUILD


# --- show -----------------------------------------------------------------------------------------


def test_a_build_is_shown_with_its_job_and_what_happened_to_it(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    command("build", "rescore", job.build, "5000")
    command("build", "assign", job.build, "bob")
    shown = command("build", "show", job.build).out
    assert f"{job.id}; score 5000 instead of its own; for bob only; `buildd-master explain {job.id}` says why" in shown
    document = command("build", "show", job.build, "--json").json
    assert document["job"] == {"id": job.id, "manual_score": 5000, "assigned": "bob"}
    with laid_out.acting("anna"):
        laid_out.queue.remove(job.id)
    assert f"`buildd-master build retry {job.build}` puts it back" in command("build", "show", job.build).out
    command("build", "cancel", job.build, "--why", "never mind")
    document = command("build", "show", job.build, "--json").json
    assert (document["job"], document["events"][-1]["why"]) == (None, "never mind")

"""`buildd-master build rescore` and `assign`, on a real database."""

from __future__ import annotations

import re

from storage.records import BuildState
from tests.fix_cli import Command
from tests.fix_storage import Farm


def test_a_job_is_given_another_score_and_its_own_again(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    ran = command("build", "rescore", job.build, "-500", "--why", "it can wait")
    assert (ran.code, ran.err) == (0, "")
    own = "U+5 C+1000 P+1500 A+0 = 2505"
    assert ran.out == f"build {job.build} (job {job.id}) has score -500 instead of its own ({own})\n"
    assert laid_out.queue.job(job.id).manual_score == -500
    assert laid_out.events.story(f"job:{job.id}")[-1].why == "it can wait"
    assert re.search(r"manual_score = -500 +it can wait\n", command("build", "show", job.build).out)
    ran = command("build", "rescore", job.build, "--default")
    assert ran.out == f"build {job.build} (job {job.id}) has its own score again: {own}\n"
    assert laid_out.queue.job(job.id).manual_score is None
    assert command("build", "rescore", job.build, "7", "--json").json == {
        "build": job.build,
        "job": job.id,
        "score": 7,
        "manual": True,
    }


NO_SCORES: list[tuple[list[str], str]] = [
    ([], "give a number, or --default"),
    (["7", "--default"], "give a number, or --default"),
    (["1e9"], "should be a valid integer"),
    (["abc"], "should be a valid integer"),
    (["--abc"], "should be a valid integer"),
    (["1000000000"], "score 1000000000 can't be: at most 1000000 either way"),
    (["-1000001"], "score -1000001 can't be"),
    (["1" + "0" * 40], "can't be: at most 1000000 either way"),
    (["7", "8"], "unexpected extra argument"),
]


def test_a_score_that_can_not_be_is_bad_input(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    for arguments, told in NO_SCORES:
        ran = command("build", "rescore", job.build, *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert told in ran.err
    assert laid_out.queue.jobs() == (job,)


def test_a_build_is_assigned_to_a_builder_in_manual_mode_and_says_why_it_waits(
    command: Command, laid_out: Farm
) -> None:
    job = laid_out.job()
    laid_out.builder("bob")
    command("builder", "set", "bob", "--manual")
    ran = command("build", "assign", job.build, "bob")
    assert (ran.code, ran.out) == (0, f"build {job.build} (job {job.id}) goes to bob only\n")
    assert "bob: its slave is not connected" in ran.err
    assert laid_out.queue.job(job.id).assigned == "bob"
    ran = command("build", "assign", job.build, "--nobody", "--json")
    assert ran.json == {"build": job.build, "job": job.id, "assigned": None, "builder": None}


NEVER: list[tuple[str, str]] = [
    ("eve", "eve could never build it: it builds only untrusted code; the job is trusted (trust_mismatch)"),
    ("arm", "arm could never build it: it serves arm64; the job is for x86 (family_mismatch)"),
    ("fussy", "fussy could never build it: it takes only jobs that ask for kvm (tags_missing)"),
    ("nobody", "no builder 'nobody' here"),
]


def test_a_build_is_not_assigned_to_a_builder_that_could_never_have_it(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    laid_out.builder("eve", trusted=False)
    laid_out.builder("arm", family="arm64")
    laid_out.builder("fussy")
    laid_out.sql("UPDATE builder SET restricted_tags = '{kvm}' WHERE name = 'fussy'")
    for builder, told in NEVER:
        ran = command("build", "assign", job.build, builder)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert told in ran.err
    for arguments in ([], ["bob", "--nobody"]):
        ran = command("build", "assign", job.build, *arguments)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "give the name of a builder, or --nobody" in ran.err
    assert laid_out.queue.jobs() == (job,)


def test_a_build_is_assigned_elsewhere_than_before(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    for name in ("bob", "eve"):
        laid_out.builder(name)
        assert command("build", "assign", job.build, name).code == 0
    laid_out.claim(job, "eve")
    ran = command("build", "assign", job.build, "bob")
    assert f"it goes on on eve: `buildd-master build give-back {job.build}` takes it from there" in ran.err


def test_a_build_that_ended_has_no_job_to_say_something_of(command: Command, laid_out: Farm) -> None:
    build = laid_out.job().build
    laid_out.builder("bob")
    with laid_out.acting("anna"):
        laid_out.builds.set_state(build, BuildState.CHROOTWAIT)
    for verb, what in (("rescore", "7"), ("assign", "bob"), ("assign", "--nobody")):
        ran = command("build", verb, build, what)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert f"is CHROOTWAIT and not in the queue; `buildd-master build retry {build}` puts it there" in ran.err


def test_the_queue_names_only_builders_that_could_ever_have_the_job(command: Command, laid_out: Farm) -> None:
    laid_out.job()
    laid_out.builder("bob")
    laid_out.builder("frog", family="arm64")
    laid_out.builder("eve", trusted=False)
    laid_out.sql("UPDATE builder SET builderok = false, failnotes = 'no disk'")
    (waiting,) = command("queue").out.splitlines()[1:]
    assert waiting.endswith("  1 of 1 for x86; bob: not ok: no disk")


def test_a_list_of_a_state_that_no_build_has_says_so(command: Command, laid_out: Farm) -> None:
    laid_out.job()
    assert command("build", "list", "--state", "manualdepwait").err == "no build is MANUALDEPWAIT\n"


def test_a_build_that_ended_without_beginning_took_no_time(command: Command, laid_out: Farm) -> None:
    job = laid_out.job()
    command("build", "cancel", job.build)
    (ended,) = [line for line in command("build", "show", job.build).out.splitlines() if line.startswith("ended")]
    assert "took" not in ended

"""`build show` and `explain` say what a build waits for, and why that is not there."""

from __future__ import annotations

import pytest

from storage.access.people import People
from storage.access.tokens import ApiTokens
from storage.records import BinaryPackage, BuildState, Outcome
from tests.fix_cli import Command
from tests.fix_storage import Farm


@pytest.fixture
def farm(laid_out: Farm) -> Farm:
    laid_out.builder("bob")
    return laid_out


def missing(farm: Farm, *dependencies: str) -> tuple[int, int]:
    """Let a build end for want of these; return it and the job it had."""
    job = farm.job()
    attempt = farm.claim(job)
    with farm.acting("queue"):
        farm.queue.record(
            attempt.id,
            Outcome.DEPFAIL,
            "it lacks something",
            build_state=BuildState.MANUALDEPWAIT,
            keep_job=False,
            dependencies=dependencies,
        )
    return job.build, job.id


def publish(farm: Farm, *packages: BinaryPackage) -> None:
    with farm.acting("me"):
        farm.packages.import_index(farm.archives.get("ubuntu", "primary"), "hoary", "i386", packages)


def test_every_dependency_is_shown_with_what_there_is_of_it(farm: Farm, command: Command) -> None:
    publish(farm, BinaryPackage("libold", "1.0", "i386"), BinaryPackage("libhere", "3", "all"))
    build, _ = missing(farm, "libfoo (>= 2) | bar", "libold (>= 2)", "held broken packages", "libhere")
    ran = command("build", "show", str(build))
    assert ran.code == 0
    assert "waits for" in ran.out
    assert "libfoo (>= 2) | bar: not published" in ran.out
    assert "libold (>= 2): published is only libold 1.0 (i386)" in ran.out
    assert "held broken packages: can't be read as a dependency: only a person can queue the build again" in ran.out
    assert "libhere: libhere 3 was published before the build began, and its slave did not find it; counts" in ran.out


def test_programs_get_the_same_as_data(farm: Farm, command: Command) -> None:
    build, job = missing(farm, "libfoo")
    expected = {"line": "libfoo", "standing": "missing", "words": "not published", "package": "", "until": None}
    assert command("build", "show", str(build), "--json").json["lacks"] == [expected]
    told = command("explain", str(job), "--json").json
    assert (told["job"], told["build"], told["state"], told["lacks"]) == (None, build, "MANUALDEPWAIT", [expected])


def test_explain_knows_the_build_behind_a_job_that_is_gone_and_by_its_own_number(farm: Farm, command: Command) -> None:
    farm.build("other")  # so that builds and jobs have other numbers
    build, job = missing(farm, "libfoo")
    assert build != job
    for number in (job, build):
        ran = command("explain", str(number))
        assert ran.code == 0, ran
        assert f"build {build}: foo 1.0-1 for ubuntu/hoary/i386 RELEASE has no job, it is" in ran.out
        assert "libfoo: not published" in ran.out


def test_a_build_that_says_not_what_it_lacks_waits_for_a_person(farm: Farm, command: Command) -> None:
    build, _ = missing(farm)
    words = f"a person: it says not what it lacks; `buildd-master build retry {build}` queues it again"
    assert words in command("build", "show", str(build)).out
    assert words in command("explain", str(build)).out


def test_a_build_that_does_not_wait_lacks_nothing(farm: Farm, command: Command) -> None:
    job = farm.job()
    assert command("build", "show", str(job.build), "--json").json["lacks"] == []
    assert "waits for" not in command("build", "show", str(job.build)).out
    assert command("explain", "999").code == 2


def test_what_a_private_archives_build_waits_for_is_not_told_to_others(farm: Farm, command: Command) -> None:
    build, job = missing(farm, "libsecret")
    with farm.acting("me"):
        farm.archives.change("ubuntu", "primary", private=True)
        People(farm.conn).add("mallory")
        token = ApiTokens(farm.conn).create("mallory", None)[0]
    for line in (("build", "show", str(build)), ("explain", str(job)), ("explain", str(build), "--json")):
        ran = command(*line, token=token)
        assert ran.code == 0, ran
        assert "libsecret" not in ran.out + ran.err
    assert "dependencies, which are private" in command("build", "show", str(build), token=token).out

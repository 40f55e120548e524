"""Builds that wait for dependencies, and what a check of them writes down.  On PostgreSQL and in memory."""

from __future__ import annotations

from uuid import UUID

from storage.database.connection import connect
from storage.records import BinaryPackage, BuildState, Outcome, Settled, Settlement
from tests.fix_storage import Farm, Stage


def missing(stage: Stage, *dependencies: str, name: str = "foo", archive: str = "primary") -> int:
    """Make a build that waits for these."""
    builder = "bob" if archive == "primary" else "eve"
    if builder not in {one.name for one in stage.builders.all()}:
        stage.builder(builder, trusted=archive == "primary")
    attempt = stage.claim(stage.job(name, archive), builder)
    miss(stage, attempt.id, *dependencies)
    return attempt.build


def miss(stage: Stage, attempt: UUID, *dependencies: str) -> None:
    with stage.acting("queue"):
        stage.queue.record(
            attempt,
            Outcome.DEPFAIL,
            "missing",
            build_state=BuildState.MANUALDEPWAIT,
            keep_job=False,
            dependencies=dependencies,
        )


def imported(
    stage: Stage, *packages: BinaryPackage, archive: str = "primary", series: str = "hoary"
) -> tuple[int, ...]:
    """Publish in an archive; return the ids."""
    where = stage.archives.get("ubuntu", archive)
    with stage.acting("me"):
        stage.packages.import_index(where, series, "i386", packages)
    found = stage.packages.offered([one.name for one in packages], [where.id], [series])
    return tuple(one.id for one in found)


def settle(stage: Stage, *settlements: Settlement) -> tuple[Settled, ...]:
    with stage.acting("queue", "sweep"):
        return stage.waits.settle(settlements)


def test_a_build_that_waits_says_all_that_its_check_looks_at(stage: Stage) -> None:
    build = missing(stage, "libfoo (>= 2)", "bar")
    (wait,) = stage.waits.waits()
    (attempt,) = stage.builds.attempts(build)
    assert (wait.build, wait.architecture, wait.series) == (build, "i386", "hoary")
    assert wait.archives == (stage.archives.get("ubuntu", "primary").id,)
    assert wait.dependencies == ("libfoo (>= 2)", "bar")
    assert (wait.since, wait.tried, wait.missed) == (stage.builds.get(build).ended, attempt.started, 1)
    assert wait.now >= wait.since


def test_a_build_of_a_ppa_sees_its_own_archive_and_the_primary_one(stage: Stage) -> None:
    missing(stage, "libfoo", archive="cprov/ppa")
    (wait,) = stage.waits.waits()
    assert wait.archives == tuple(sorted(stage.archives.get("ubuntu", name).id for name in ("primary", "cprov/ppa")))


def test_every_attempt_that_missed_something_is_counted(stage: Stage) -> None:
    build = missing(stage, "libfoo")
    with stage.acting("me"):
        job = stage.builds.queue(build)
    with stage.acting("me"):
        stage.queue.fence(stage.claim(job).id, "for another reason")
    miss(stage, stage.claim(job).id, "libfoo")
    (wait,) = stage.waits.waits()
    assert (wait.missed, wait.tried) == (2, stage.builds.attempts(build)[2].started)


def test_only_builds_that_say_what_they_miss_are_checked(stage: Stage) -> None:
    missing(stage, name="silent")
    missing(stage, "libfoo", name="cancelled")
    with stage.acting("me"):
        stage.builds.queue(stage.waits.waits()[0].build)
    stage.job("waits")
    assert stage.waits.waits() == ()


def test_a_build_that_waits_for_nothing_that_can_be_read_is_checked_too(stage: Stage) -> None:
    build = missing(stage, "Unable to correct problems")
    assert [wait.build for wait in stage.waits.waits()] == [build]


def test_builds_come_by_id_after_one_and_no_more_than_asked_for(stage: Stage) -> None:
    builds = [missing(stage, *("a", "b", "c")[: number + 1], name=f"foo{number}") for number in range(3)]

    def found(**asked: object) -> list[int]:
        return [wait.build for wait in stage.waits.waits(**asked)]  # type: ignore[arg-type]

    assert found() == builds
    assert found(after=builds[0]) == builds[1:]
    assert found(most_builds=2) == builds[:2]
    assert found(builds=[builds[2], builds[0], 999]) == [builds[0], builds[2]]
    assert found(builds=[builds[2], builds[0]], after=builds[0]) == [builds[2]]
    assert found(most_lines=1) == builds[:1]
    assert found(most_lines=2) == builds[:2]
    assert found(most_lines=3) == builds[:2]
    assert found(most_lines=4) == builds


def test_a_package_concerns_who_sees_it_and_waits_for_its_name_or_what_it_provides(stage: Stage) -> None:
    by_name = missing(stage, "gone", "libfoo (>= 2) | libbar", name="one")
    by_provided = missing(stage, "editor [i386]", name="two")
    in_ppa = missing(stage, "libfoo", name="three", archive="cprov/ppa")
    missing(stage, "libfoo-dev, libfoox", name="four")
    (package,) = imported(stage, BinaryPackage("libfoo", "1", "i386", ("editor (= 1)",)))
    assert stage.waits.awaiting([package]) == (by_name, by_provided, in_ppa)
    (of_ppa,) = imported(stage, BinaryPackage("libfoo", "2", "i386"), archive="cprov/ppa")
    assert stage.waits.awaiting([of_ppa]) == (in_ppa,)
    assert stage.waits.awaiting([package, of_ppa, 999]) == (by_name, by_provided, in_ppa)
    assert stage.waits.awaiting([]) == ()
    with stage.acting("me"):
        stage.series.add("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
    (of_warty,) = imported(stage, BinaryPackage("libfoo", "3", "i386"), series="warty")
    assert stage.waits.awaiting([of_warty]) == ()


def test_what_remains_is_stored_and_the_reason_is_an_event(stage: Stage) -> None:
    build = missing(stage, "libfoo", "bar")
    ended = stage.builds.get(build).ended
    assert settle(stage, Settlement(build, ("libfoo", "bar"), ("bar",), "libfoo 1 is there now")) == (
        Settled(build, None),
    )
    one = stage.builds.get(build)
    assert (one.state, one.dependencies, one.ended, one.why) == (BuildState.MANUALDEPWAIT, ("bar",), ended, "missing")
    event = stage.events.story(f"build:{build}")[-1]
    assert (event.who, event.why, event.what) == ("queue", "libfoo 1 is there now", "dependencies")


def test_a_build_of_which_nothing_remains_is_queued_again(stage: Stage) -> None:
    one, two = missing(stage, "libfoo", name="one"), missing(stage, "bar", name="two")
    done = settle(
        stage,
        Settlement(one, ("libfoo",), (), "libfoo 1 is there now"),
        Settlement(two, ("bar",), (), "bar 2 is there now"),
    )
    jobs = {job.build: job for job in stage.queue.jobs()}
    assert done == (Settled(one, jobs[one].id), Settled(two, jobs[two].id))
    assert (jobs[one].state, jobs[one].builder) == (BuildState.NEEDSBUILD, None)
    build = stage.builds.get(one)
    assert (build.dependencies, build.ended, build.why) == ((), None, "")
    assert [stage.events.story(f"build:{number}")[-1].why for number in (one, two)] == [
        "libfoo 1 is there now",
        "bar 2 is there now",
    ]
    assert stage.events.story(f"job:{jobs[two].id}")[-1].why == "bar 2 is there now"


def test_a_build_that_somebody_changed_meanwhile_is_left_alone(stage: Stage) -> None:
    queued, changed = missing(stage, "a", name="queued"), missing(stage, "a", name="changed")
    with stage.acting("me"):
        stage.builds.queue(queued)
    settlements = (
        Settlement(queued, ("a",), (), "no"),
        Settlement(changed, ("a", "b"), ("b",), "no"),
        Settlement(999, ("a",), (), "no"),
    )
    assert settle(stage, *settlements) == ()
    assert stage.builds.get(changed).dependencies == ("a",)
    assert settle(stage) == ()


def test_a_build_that_somebody_holds_is_not_waited_for(farm: Farm, shared_database: str) -> None:
    held, free = missing(farm, "a", name="held"), missing(farm, "a", name="free")
    with connect(shared_database, application="me") as other, other.transaction():
        other.execute("SELECT FROM build WHERE id = %s FOR UPDATE", (held,))
        done = settle(farm, Settlement(held, ("a",), (), "a"), Settlement(free, ("a",), (), "a"))
        assert [one.build for one in done] == [free]
    assert farm.builds.get(held).state == BuildState.MANUALDEPWAIT

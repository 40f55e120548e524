"""Builds that wait for dependencies, in turns of the queue actor on a real database (dispatch-rules §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from actors.core.dependencies.agenda import MOST_BUILDS, Agenda, Look, Order, SweepDue
from actors.core.dependencies.waits import MOST_REPORTED, reported
from actors.messages import Assign, Recorded
from actors.queue import dependency_waits
from actors.queue.letters import Letter
from storage.errors import BadValue
from storage.records import BinaryPackage, BuildState, Outcome
from tests.fix_desk import Desk, finished, only

LIBFOO = BinaryPackage("libfoo", "1.2-1", "i386")


def check(desk: Desk) -> list[Letter]:
    """Work off the agenda, as the queue actor does."""
    letters: list[Letter] = []
    while desk.books.books.agenda.due:
        letters += desk.books.check_dependencies(desk.at)
    return letters


def missed(desk: Desk, *dependencies: str, name: str = "foo", archive: str = "primary") -> int:
    """Let a build of a new source end for want of these; nobody is ready then."""
    builder = "bob" if archive == "primary" else "eve"
    job = desk.farm.job(name, archive)
    attempt = only(Assign, desk.ready(builder)).order.attempt
    end(desk, attempt, Outcome.DEPFAIL, builder, dependencies=reported(dependencies))
    check(desk)
    return job.build


def end(desk: Desk, attempt: UUID, outcome: Outcome, builder: str = "bob", **fields: Any) -> Sequence[Letter]:
    return desk.take(finished(attempt, outcome, builder, slave_usable=False, **fields))


def built(desk: Desk, *packages: BinaryPackage, name: str, archive: str = "primary") -> None:
    """Build something that leaves these."""
    builder = "bob" if archive == "primary" else "eve"
    desk.farm.job(name, archive)
    attempt = only(Assign, desk.ready(builder)).order.attempt
    end(desk, attempt, Outcome.OK, builder, packages=packages)


def imported(desk: Desk, *packages: BinaryPackage, archive: str = "primary") -> None:
    with desk.farm.acting("me", "archive import-packages"):
        where = desk.farm.archives.get("ubuntu", archive)
        desk.farm.packages.import_index(where, "hoary", "i386", packages)


def whys(desk: Desk, build: int) -> list[tuple[str, str, str]]:
    return [(event.who, event.why, event.what) for event in desk.farm.events.story(f"build:{build}")]


def dependencies(desk: Desk, build: int) -> tuple[str, ...]:
    return desk.farm.builds.get(build).dependencies


def test_a_package_that_a_build_leaves_queues_who_waits_for_it_and_the_event_says_why(desk: Desk) -> None:
    waiting = missed(desk, "libfoo (>= 1.0)")
    built(desk, LIBFOO, name="libfoo")
    assert desk.state(waiting) is BuildState.MANUALDEPWAIT
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD
    assert dependencies(desk, waiting) == ()
    assert whys(desk, waiting)[-1][:2] == ("queue", "libfoo 1.2-1 is there now")
    assert [job.build for job in desk.farm.queue.jobs()] == [waiting]


def test_who_is_queued_again_goes_to_a_builder_that_waits_in_that_very_turn(desk: Desk) -> None:
    waiting = missed(desk, "libfoo")
    desk.ready()
    imported(desk, LIBFOO)
    desk.take()
    assert only(Assign, check(desk)).order.build == waiting


def test_the_slave_that_built_the_missing_package_gets_its_answer_at_once(desk: Desk) -> None:
    missed(desk, "libfoo")
    desk.farm.job("libfoo")
    attempt = only(Assign, desk.ready()).order.attempt
    letters = desk.take(finished(attempt, packages=(LIBFOO,)))
    assert only(Recorded, letters).next is None
    assert desk.books.books.agenda.due


def test_a_package_inserted_at_the_prompt_queues_who_waits_for_it(desk: Desk) -> None:
    waiting = missed(desk, "libfoo")
    desk.farm.sql(
        "INSERT INTO binary_package (archive, distroseries, name, version, architecture)"
        " VALUES (1, 1, 'libfoo', '1.0', 'all')"
    )
    desk.take()
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def test_what_remains_is_stored(desk: Desk) -> None:
    waiting = missed(desk, "libfoo", "bar (>= 2) | baz", "qux [amd64]")
    imported(desk, LIBFOO, BinaryPackage("bar", "1", "i386"))
    desk.take()
    check(desk)
    assert desk.state(waiting) is BuildState.MANUALDEPWAIT
    assert dependencies(desk, waiting) == ("bar (>= 2) | baz",)
    assert whys(desk, waiting)[-1] == ("queue", "libfoo 1.2-1 is there now", "dependencies")


def test_only_builds_that_wait_for_that_name_where_it_is_seen_are_looked_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.farm.builder("eve", trusted=False)
    concerned = missed(desk, "libfoo (>= 9)", name="one", archive="cprov/ppa")
    missed(desk, "other", name="two", archive="cprov/ppa")
    missed(desk, "libfoo", name="three")
    check(desk)
    seen: list[Look] = []
    real = Agenda.next

    def next_seen(agenda: Agenda) -> Order | None:
        order = real(agenda)
        if isinstance(order, Look):
            seen.append(order)
        return order

    monkeypatch.setattr(Agenda, "next", next_seen)
    built(desk, LIBFOO, name="libfoo", archive="cprov/ppa")
    check(desk)
    assert {build for look in seen for build in look.builds or () if build > 0} == {concerned}  # less marks of tests
    assert all(look.builds is not None for look in seen)


def test_a_package_that_came_while_the_build_ran_is_seen_as_soon_as_the_build_waits(desk: Desk) -> None:
    job = desk.farm.job("foo")
    attempt = only(Assign, desk.ready()).order.attempt
    imported(desk, LIBFOO)
    desk.take()
    check(desk)
    end(desk, attempt, Outcome.DEPFAIL, dependencies=("libfoo",))
    check(desk)
    assert desk.state(job.build) is BuildState.NEEDSBUILD


def test_the_sweep_finds_what_nobody_told(desk: Desk) -> None:
    waiting = missed(desk, "libfoo")
    check(desk)
    imported(desk, LIBFOO)  # and no turn hears of it
    desk.books.books.agenda.handle(SweepDue())
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def test_a_mass_import_is_heard_of_and_hundreds_are_worked_off_in_slices(desk: Desk) -> None:
    desk.farm.conn.execute(
        "INSERT INTO build (source, archive, distroarchseries, pocket, arch_indep, again)"
        " SELECT source, archive, distroarchseries, pocket, arch_indep, number"
        " FROM build, generate_series(1, %s) AS number WHERE id = %s",
        (2 * MOST_BUILDS + 10, desk.farm.build("many").id),
    )
    desk.farm.sql("UPDATE build SET state = 'MANUALDEPWAIT', dependencies = '{p7,absent}' WHERE id %% 2 = 0")
    desk.farm.sql("UPDATE build SET state = 'MANUALDEPWAIT', dependencies = '{p7}' WHERE id %% 2 = 1")
    desk.take()
    check(desk)
    imported(desk, *(BinaryPackage(f"p{number}", "1", "i386") for number in range(150)))
    desk.take()
    slices = 0
    while desk.books.books.agenda.due:
        before = len(desk.farm.queue.jobs())
        desk.books.check_dependencies(desk.at)
        assert len(desk.farm.queue.jobs()) - before <= MOST_BUILDS
        slices += 1
    assert slices > 2
    assert {job.build % 2 for job in desk.farm.queue.jobs()} == {1}
    left = desk.farm.sql("SELECT DISTINCT dependencies FROM build WHERE state = 'MANUALDEPWAIT'")
    assert left == [(["absent"],)]


# --- nobody goes round in circles -------------------------------------------------------------------


def test_what_the_slave_did_not_find_though_it_was_published_is_not_tried_again_at_once(desk: Desk) -> None:
    imported(desk, LIBFOO)
    waiting = missed(desk, "libfoo")
    for _ in range(3):
        desk.books.books.agenda.handle(SweepDue())
        check(desk)
    assert desk.state(waiting) is BuildState.MANUALDEPWAIT
    assert dependencies(desk, waiting) == ("libfoo",)
    desk.farm.sql("UPDATE build SET ended = ended - interval '5 minutes' WHERE id = %s", waiting)
    desk.books.books.agenda.handle(SweepDue())
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def test_a_dependency_that_cannot_be_read_keeps_the_build_waiting_and_a_person_can_queue_it(desk: Desk) -> None:
    waiting = missed(desk, "Unable to correct problems, you have held broken packages\0\n\x1b[31m", "libfoo")
    imported(desk, LIBFOO)
    desk.take()
    check(desk)
    (kept,) = dependencies(desk, waiting)
    assert kept.startswith("Unable to correct problems")
    with desk.farm.acting("me"):
        desk.farm.builds.queue(waiting)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def test_a_build_that_says_not_what_it_misses_waits_for_a_person(desk: Desk) -> None:
    waiting = missed(desk)
    desk.books.books.agenda.handle(SweepDue())
    check(desk)
    assert desk.state(waiting) is BuildState.MANUALDEPWAIT


def test_ten_thousand_dependencies_are_kept_within_bounds_and_looked_at(desk: Desk) -> None:
    waiting = missed(desk, *(f"lib{number} (>= 1)" for number in range(10_000)))
    imported(desk, *(BinaryPackage(f"lib{number}", "1", "all") for number in range(MOST_REPORTED)))
    desk.take()
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def test_a_build_that_somebody_holds_is_left_to_the_next_sweep(desk: Desk) -> None:
    held, free = missed(desk, "libfoo", name="held"), missed(desk, "libfoo", name="free")
    imported(desk, LIBFOO)
    desk.take()
    with desk.farm.conn.transaction():
        desk.farm.conn.execute("SELECT FROM build WHERE id = %s FOR UPDATE", (held,))
        check(desk)
    assert (desk.state(held), desk.state(free)) == (BuildState.MANUALDEPWAIT, BuildState.NEEDSBUILD)
    desk.books.books.agenda.handle(SweepDue())
    check(desk)
    assert desk.state(held) is BuildState.NEEDSBUILD


def test_a_look_that_the_database_refuses_is_told_and_the_next_builds_are_looked_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = missed(desk, "libfoo")
    imported(desk, LIBFOO)
    desk.take()
    with monkeypatch.context() as patch:
        patch.setattr(desk.database.waits, "settle", lambda _: _refuse())
        check(desk)
    assert "was refused" in caplog.text
    assert desk.state(waiting) is BuildState.MANUALDEPWAIT
    desk.books.books.agenda.handle(SweepDue())
    check(desk)
    assert desk.state(waiting) is BuildState.NEEDSBUILD


def _refuse() -> None:
    raise BadValue("no")


# --- what is published ------------------------------------------------------------------------------


def test_a_newer_build_takes_the_place_of_an_older_one(desk: Desk) -> None:
    built(desk, LIBFOO, BinaryPackage("libfoo-doc", "1.2-1", "all"), name="libfoo")
    built(desk, BinaryPackage("libfoo", "1.10-1", "i386"), name="libfoo-newer")
    built(desk, BinaryPackage("libfoo", "1.9-1", "i386"), name="libfoo-older")
    found = desk.farm.packages.offered(["libfoo", "libfoo-doc"], (1,), ("hoary",))
    assert [(one.name, one.version) for one in found] == [("libfoo-doc", "1.2-1"), ("libfoo", "1.10-1")]
    (story,) = (event for event in desk.farm.events.story("archive:1") if event.what == "packages: delete")
    assert story.who == "queue"


def test_a_build_that_is_cancelled_as_it_ends_publishes_nothing(desk: Desk) -> None:
    desk.farm.job("libfoo")
    attempt = only(Assign, desk.ready()).order
    with desk.farm.acting("me"):
        desk.farm.builds.cancel(attempt.build)
    desk.take(finished(attempt.attempt, packages=(LIBFOO,)))
    assert desk.state(attempt.build) is BuildState.CANCELLED
    assert desk.farm.packages.offered(["libfoo"], (1,), ("hoary",)) == ()


def test_an_end_that_is_told_twice_publishes_once(desk: Desk) -> None:
    desk.farm.job("libfoo")
    attempt = only(Assign, desk.ready()).order.attempt
    report = finished(attempt, packages=(LIBFOO,))
    desk.take(report)
    before = desk.farm.packages.offered(["libfoo"], (1,), ("hoary",))
    desk.take(report)
    assert len(before) == 1
    assert desk.farm.packages.offered(["libfoo"], (1,), ("hoary",)) == before


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("i386", True), ("any", True), ("linux-any", True), ("any-i386", True), ("amd64", False), ("x y", False)],
)
def test_wildcards_are_dpkgs(tag: str, expected: bool) -> None:
    assert dependency_waits.fits("i386", tag) == expected

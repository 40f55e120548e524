"""Who is blamed, in turns of the queue actor on a real database (dispatch-rules §5, §6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from actors.messages import Assign
from storage.records import Build, Builder, BuildState, NotOkBy, NotOkKind, Outcome
from tests.fix_desk import Desk, finished, kinds, only


def builder(desk: Desk, name: str = "bob") -> Builder:
    return desk.farm.builders.get(name)


def build_of(desk: Desk, attempt: UUID) -> Build:
    return desk.farm.builds.get(desk.farm.queue.attempt(attempt).build)


def given(desk: Desk, name: str = "bob") -> UUID:
    """Have `name` be ready, and return the attempt that it is given; it gets one."""
    return only(Assign, desk.ready(name)).order.attempt


def end(desk: Desk, attempt: UUID, outcome: Outcome, name: str = "bob", **fields: Any) -> None:
    desk.take(finished(attempt, outcome, name, **fields))


def freed(desk: Desk) -> None:
    """Let every quarantine and cooling down be over, as if time had passed."""
    desk.farm.sql("UPDATE builder_runtime SET quarantined_until = NULL WHERE quarantined_until IS NOT NULL")
    desk.farm.sql("UPDATE buildqueue SET cooling_until = NULL WHERE cooling_until IS NOT NULL")
    desk.take()


def fail(desk: Desk, times: int, name: str = "bob") -> None:
    """Have `name` fail different jobs one after the other."""
    for _ in range(times):
        desk.farm.job(f"job{len(desk.farm.builds.list(limit=999))}")
        freed(desk)
        end(desk, given(desk, name), Outcome.BUILDERFAIL, name, text="disk broken")


@pytest.fixture
def two(desk: Desk) -> Desk:
    """bob and zoe, both capable of everything."""
    desk.farm.builder("zoe")
    desk.take()
    return desk


# --- the ladder -----------------------------------------------------------------------------------


def test_failures_in_a_row_are_counted_and_the_builder_is_quarantined_longer_each_time(two: Desk) -> None:
    seen = []
    for _ in range(4):
        fail(two, 1)
        ((seconds,),) = two.farm.sql("SELECT extract(epoch FROM quarantined_until - now())::int FROM builder_runtime")
        seen.append((builder(two).failures_in_row, seconds and round(seconds / 60)))
        assert builder(two).builderok
    assert seen == [(1, None), (2, 1), (3, 4), (4, 16)]


def test_at_the_fifth_failure_in_a_row_the_builder_is_not_ok_until_a_person_says_otherwise(two: Desk) -> None:
    fail(two, 5)
    bob = builder(two)
    assert (bob.builderok, bob.notok_by, bob.notok_kind) == (False, NotOkBy.MACHINE, NotOkKind.FAILURES)
    assert bob.failnotes == "5 failures in a row, the last one: disk broken"
    with two.farm.acting("queue"):
        assert not two.farm.builders.heal("bob")
    two.farm.sql("UPDATE builder SET builderok = true WHERE name = 'bob'")
    bob = builder(two)
    assert (bob.builderok, bob.failures_in_row, bob.quarantined_until) == (True, 0, None)


def test_a_completed_build_sets_the_failures_in_a_row_to_nothing_a_mere_dispatch_does_not(two: Desk) -> None:
    fail(two, 2)
    two.farm.job("fine")
    freed(two)
    attempt = given(two)
    assert builder(two).failures_in_row == 2
    end(two, attempt, Outcome.PACKAGEFAIL)
    assert builder(two).failures_in_row == 0


def test_quarantine_keeps_the_builder_out_of_dispatch_and_explains_itself(two: Desk) -> None:
    fail(two, 2)
    bob = builder(two)
    assert bob.quarantine_why == "2 failures in a row: disk broken"
    two.farm.job("waiting")
    assert "Assign" not in kinds(two.ready())
    events = two.farm.sql(
        "SELECT after ->> 'quarantine_why' FROM event WHERE subject = 'builder:bob' AND what ~ 'quarantine'"
    )
    assert events == [("2 failures in a row: disk broken",)]


def test_the_only_capable_builder_is_never_disabled_for_its_failures(desk: Desk) -> None:
    fail(desk, 7)
    bob = builder(desk)
    assert (bob.builderok, bob.failures_in_row) == (True, 7)
    assert bob.quarantined_until is not None


def test_what_was_decided_and_why_stands_with_the_attempt(two: Desk) -> None:
    fail(two, 1)
    ((verdict,),) = two.farm.sql("SELECT verdict FROM attempt")
    assert verdict == (
        "first failure of the builder: its slave is cleaned; "
        "not charged to the build: the builder has not completed another one just before"
    )


# --- who is charged -------------------------------------------------------------------------------


def test_a_job_that_fails_on_sane_builders_three_times_is_infrafailed(two: Desk) -> None:
    killer = two.farm.job("killer")
    for number, name in enumerate(("bob", "zoe", "bob")):
        two.farm.sql("UPDATE buildqueue SET cooling_until = '2999-01-01' WHERE id = %s", killer.id)
        two.farm.job(f"sane{number}")
        end(two, given(two, name), Outcome.OK, name)
        two.farm.sql("UPDATE attempt SET excluded_until = NULL")
        two.farm.sql("UPDATE buildqueue SET cooling_until = NULL")
        attempt = given(two, name)
        assert two.farm.queue.attempt(attempt).build == killer.build
        end(two, attempt, Outcome.BUILDERFAIL, name, text="the slave died")
    build = two.farm.builds.get(killer.build)
    assert (build.state, two.farm.queue.jobs()) == (BuildState.INFRAFAILED, ())
    assert [one.charged for one in two.farm.builds.attempts(killer.build)] == [True, True, True]
    assert builder(two).builderok
    assert builder(two, "zoe").builderok


def test_an_infrafailed_build_is_queued_again_when_a_builder_it_was_charged_on_turns_out_to_be_broken(
    two: Desk,
) -> None:
    attempt = two.assigned()
    build = two.farm.queue.attempt(attempt).build
    end(two, attempt, Outcome.BUILDERFAIL)
    two.farm.sql("UPDATE attempt SET charged = true")
    two.farm.sql("UPDATE build SET state = 'INFRAFAILED'")
    fail(two, 4)
    assert not builder(two).builderok
    again = two.farm.builds.get(build)
    assert (again.state, again.why) == (
        BuildState.NEEDSBUILD,
        "bob, on which it failed, turned out to be broken",
    )
    assert only(Assign, two.ready("zoe")).order.build in {job.build for job in two.farm.queue.jobs()}


# --- chroots --------------------------------------------------------------------------------------


def test_a_chroot_that_fails_on_two_builders_is_held_back_with_a_note_until_another_takes_its_place(two: Desk) -> None:
    for name in ("bob", "zoe"):
        two.farm.job(f"on{name}")
        end(two, given(two, name), Outcome.CHROOTFAIL, name, text="no /bin/sh in the chroot")
    assert {one.state for one in two.farm.builds.list()} == {BuildState.CHROOTWAIT}
    assert builder(two).failures_in_row == builder(two, "zoe").failures_in_row == 0
    waiting = two.farm.job("waiting")
    assert "Assign" not in kinds(two.ready())
    (job,) = two.farm.queue.jobs()
    assert (job.has_chroot, job.chroot_held_back) == (False, "no /bin/sh in the chroot")
    two.farm.sql(
        "WITH content AS (INSERT INTO library_content SELECT repeat('a', 64), repeat('a', 40), 1 RETURNING sha256),"
        " named AS (INSERT INTO library_alias (content, filename, mimetype)"
        " SELECT sha256, 'new.tar.zst', 'application/zstd' FROM content RETURNING id)"
        " UPDATE chroot SET alias = named.id FROM named"
    )
    assert only(Assign, two.take()).order.build == waiting.build


def test_a_chroot_that_works_elsewhere_is_the_builders_failure(two: Desk) -> None:
    two.farm.job("fine")
    end(two, given(two, "zoe"), Outcome.OK, "zoe")
    attempt = two.assigned()
    end(two, attempt, Outcome.CHROOTFAIL, text="no space")
    assert build_of(two, attempt).state is BuildState.NEEDSBUILD
    assert builder(two).failures_in_row == 1


def test_notes_that_everybody_reads_do_not_repeat_what_a_private_archives_builds_say(two: Desk) -> None:
    with two.farm.acting("root"):
        two.farm.archives.change("ubuntu", "primary", private=True)
    fail(two, 5)
    last = two.farm.builds.list(limit=1)[0]
    assert builder(two).failnotes == (
        f"5 failures in a row, the last one: build {last.id}, which is private: its attempts tell"
    )
    assert two.farm.builds.attempts(last.id)[-1].text == "disk broken"
    everything = two.farm.sql("SELECT event::text FROM event WHERE subject LIKE 'builder:%%'")
    assert not any("disk broken" in row for (row,) in everything)


def test_a_builder_that_a_private_build_convicts_does_not_name_it(two: Desk) -> None:
    with two.farm.acting("root"):
        two.farm.archives.change("ubuntu", "primary", private=True)
    suspected(two)
    attempt = given(two, "zoe")
    end(two, attempt, Outcome.OK, "zoe")
    assert builder(two).failnotes == f"builds that it failed pass elsewhere: build {build_of(two, attempt).id} on zoe"


# --- black holes ----------------------------------------------------------------------------------


def suspected(desk: Desk) -> list[int]:
    """Have zoe build sanely, and bob fail five builds in no time; return those, which are tried elsewhere now."""
    desk.farm.job("sane")
    end(desk, given(desk, "zoe"), Outcome.OK, "zoe")
    builds = []
    for number in range(5):
        desk.farm.job(f"quick{number}")
        attempt = given(desk)
        builds.append(desk.farm.queue.attempt(attempt).build)
        end(desk, attempt, Outcome.PACKAGEFAIL)
    return builds


def test_a_builder_that_fails_everything_quickly_is_quarantined_and_its_builds_are_tried_elsewhere(two: Desk) -> None:
    builds = suspected(two)
    bob = builder(two)
    assert bob.builderok
    assert bob.quarantine_why == "5 of its last 5 builds failed suspiciously quickly; they are tried elsewhere"
    assert {two.farm.builds.get(build).state for build in builds} == {BuildState.NEEDSBUILD}
    assert "Assign" not in kinds(two.ready())
    assert only(Assign, two.ready("zoe")).order.build in builds


def test_a_build_that_passes_elsewhere_convicts_the_builder_and_clears_its_failure(two: Desk) -> None:
    builds = suspected(two)
    attempt = given(two, "zoe")
    end(two, attempt, Outcome.OK, "zoe")
    bob = builder(two)
    assert (bob.builderok, bob.notok_kind) == (False, NotOkKind.BLACKHOLE)
    build = build_of(two, attempt)
    assert bob.failnotes == (
        f"builds that it failed pass elsewhere: build {build.id} ({build.source} {build.version}) on zoe"
    )
    assert [one.builder_induced for one in two.farm.builds.attempts(build.id)] == [True, False]
    assert build.id in builds


def test_builds_that_fail_elsewhere_too_acquit_the_builder(two: Desk) -> None:
    builds = suspected(two)
    for _ in builds:
        end(two, given(two, "zoe"), Outcome.PACKAGEFAIL, "zoe")
        two.farm.sql("UPDATE attempt SET accepted = started - interval '1 hour' WHERE builder = 'zoe'")
    bob = builder(two)
    assert (bob.builderok, bob.quarantined_until) == (True, None)
    assert {two.farm.builds.get(build).state for build in builds} == {BuildState.FAILEDTOBUILD}
    two.farm.job("another")
    attempt = given(two)
    end(two, attempt, Outcome.PACKAGEFAIL)
    assert builder(two).quarantined_until is None, "what was cross-checked is no evidence any more"


def test_each_build_is_tried_elsewhere_once_only(two: Desk) -> None:
    suspected(two)
    end(two, given(two, "zoe"), Outcome.PACKAGEFAIL, "zoe")
    assert two.farm.sql("SELECT state, count(*) FROM build WHERE suspect = 'bob' GROUP BY state ORDER BY state") == [
        ("BUILDING", 1),
        ("NEEDSBUILD", 3),
    ]


def test_quick_failures_without_anybody_to_compare_with_are_believed(desk: Desk) -> None:
    for number in range(8):
        desk.farm.job(f"quick{number}")
        end(desk, given(desk), Outcome.PACKAGEFAIL)
    assert builder(desk).quarantined_until is None

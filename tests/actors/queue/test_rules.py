"""The rules of dispatch-rules §1 in turns of the queue actor: whatever changes a row, by plain SQL, is seen at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

import pytest

from actors.messages import Assign, BuilderChanged, Recorded, ResultStored
from storage.records import BuildState, Outcome
from tests.fix_desk import NOW, Desk, finished, kinds, only
from tests.fix_storage import left

SOON: Final = datetime.now(UTC) + timedelta(days=2)  #: when everything that lasts a while is over

#: what keeps the only job from the only builder, and what lets it go
CHANGES: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "the chroot": (
        "UPDATE chroot SET pocket = 'SECURITY'",
        "UPDATE chroot SET pocket = 'RELEASE'",
    ),
    "the series' status": (
        "UPDATE distroseries SET status = 'SUPPORTED'",
        "UPDATE distroseries SET status = 'DEVELOPMENT'",
    ),
    "the archive": (
        "UPDATE archive SET enabled = false",
        "UPDATE archive SET enabled = true",
    ),
    "the archive's tags": (
        "UPDATE archive SET tags = '{gpu}'",
        "UPDATE archive SET tags = '{}'",
    ),
    "the build's tags": (
        "UPDATE build SET tags = '{gpu}'",
        "UPDATE build SET tags = '{}'",
    ),
    "the builder's tags": (
        "UPDATE build SET tags = '{gpu}'",
        "UPDATE builder SET tags = '{gpu}'",
    ),
    "the builder's restricted tags": (
        "UPDATE builder SET restricted_tags = '{gpu}'",
        "UPDATE builder SET restricted_tags = '{}'",
    ),
    "the farm's fence": (
        "UPDATE farm SET minimum_score = 9000",
        "UPDATE farm SET minimum_score = NULL",
    ),
    "the family's fence": (
        "UPDATE processor_family SET minimum_score = 9000",
        "UPDATE processor_family SET minimum_score = 10",
    ),
    "the job's score": (
        "UPDATE farm SET minimum_score = 9000",
        "UPDATE buildqueue SET manual_score = 9000",
    ),
    "a pause": (
        "UPDATE farm SET paused = 'moving'",
        "UPDATE farm SET paused = ''",
    ),
    "builderok": (
        "UPDATE builder SET builderok = false",
        "UPDATE builder SET builderok = true",
    ),
    "quarantine": (
        "INSERT INTO builder_runtime (builder, state, connected, quarantined_until) VALUES ('bob', 'IDLE', true, '2999-01-01')",
        "UPDATE builder_runtime SET quarantined_until = NULL",
    ),
    "freezing": (
        "INSERT INTO builder_runtime (builder, state, connected, frozen_until) VALUES ('bob', 'IDLE', true, '2999-01-01')",
        "UPDATE builder_runtime SET frozen_until = NULL",
    ),
    "manual mode": (
        "UPDATE builder SET manual = true",
        "UPDATE builder SET manual = false",
    ),
    "an assignment": (
        "UPDATE builder SET manual = true",
        "UPDATE buildqueue SET assigned = 'bob'",
    ),
    "trust": (
        "UPDATE builder SET trusted = false",
        "UPDATE builder SET trusted = true",
    ),
    "families": (
        "UPDATE builder SET families = '{arm64}'",
        "UPDATE builder SET families = '{arm64,x86}'",
    ),
    "the family of an architecture": (
        "UPDATE distroarchseries SET family = 'arm64'",
        "UPDATE distroarchseries SET family = 'x86'",
    ),
    "cooling down": (
        "UPDATE buildqueue SET cooling_until = now() + interval '1 day'",
        "UPDATE buildqueue SET cooling_until = NULL",
    ),
    "a source file": (
        "INSERT INTO source_file SELECT id, 'late.tar.gz', repeat('a', 64), 1 FROM source_release",
        "DELETE FROM source_file WHERE filename = 'late.tar.gz'",
    ),
    "the state of the build": (
        "UPDATE build SET state = 'CHROOTWAIT'",
        "WITH back AS (UPDATE build SET state = 'NEEDSBUILD' RETURNING id) INSERT INTO buildqueue (build) SELECT id FROM back",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_by_plain_sql_holds_a_job_back_and_lets_it_go(desk: Desk, what: str) -> None:
    hold, let_go = CHANGES[what]
    job = desk.farm.job()
    desk.farm.sql(hold)
    assert "Assign" not in kinds(desk.ready()), "held back, before the builder is ready"
    desk.farm.sql(let_go)
    assert only(Assign, desk.take()).order.build == job.build


@pytest.mark.parametrize("what", CHANGES)
def test_a_job_is_held_back_that_comes_when_the_builder_is_ready_already(desk: Desk, what: str) -> None:
    hold, let_go = CHANGES[what]
    desk.ready()
    job = desk.farm.job()
    desk.farm.sql(hold)
    assert "Assign" not in kinds(desk.take())
    desk.farm.sql(let_go)
    assert only(Assign, desk.take()).order.build == job.build


def test_what_was_to_last_a_while_is_over_without_anybody_saying_so(desk: Desk) -> None:
    job = desk.farm.job()
    desk.farm.sql("UPDATE buildqueue SET cooling_until = now() + interval '1 day'")
    assert "Assign" not in kinds(desk.ready())
    assert kinds(desk.books.tick(desk.at, NOW)) == []
    with desk.farm.conn.transaction():  # a day later: nobody is told of it
        desk.farm.conn.execute("SET LOCAL session_replication_role = replica")
        desk.farm.conn.execute("UPDATE buildqueue SET cooling_until = now() - interval '1 second'")
    assert only(Assign, desk.books.tick(desk.at, SOON)).order.job == job.id


def test_a_quarantine_is_over_without_anybody_saying_so_and_the_slave_is_probed_first(desk: Desk) -> None:
    job = desk.farm.job()
    desk.farm.sql(
        "INSERT INTO builder_runtime (builder, state, connected, quarantined_until, quarantine_why)"
        " VALUES ('bob', 'IDLE', true, now() + interval '1 day', 'failed twice')"
    )
    assert "Assign" not in kinds(desk.ready())
    with desk.farm.conn.transaction():
        desk.farm.conn.execute("SET LOCAL session_replication_role = replica")
        desk.farm.conn.execute("UPDATE builder_runtime SET quarantined_until = now() - interval '1 second'")
    letters = desk.books.tick(desk.at, SOON)
    assert kinds(letters) == ["BuilderChanged"]
    assert only(BuilderChanged, letters).builder.quarantined_until is None
    assert only(Assign, desk.ready()).order.job == job.id


def test_whether_something_is_over_is_the_databases_to_say(desk: Desk) -> None:
    desk.farm.job()
    desk.farm.sql("UPDATE buildqueue SET cooling_until = now() + interval '1 day'")
    assert "Assign" not in kinds(desk.ready())
    assert kinds(desk.books.tick(desk.at, SOON)) == [], "our clock is two days fast"


# --- superseding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["SUPERSEDED", "DELETED"])
def test_a_waiting_build_whose_source_is_published_no_more_is_superseded_and_its_job_is_gone(
    desk: Desk, status: str
) -> None:
    job = desk.farm.job()
    desk.farm.sql("UPDATE publication SET status = %s", status)
    desk.take()
    build = desk.farm.builds.get(job.build)
    assert (build.state, build.why) == (
        BuildState.SUPERSEDED,
        "its source is not published in the archive any more",
    )
    assert desk.farm.queue.jobs() == ()
    (event,) = desk.farm.sql(
        "SELECT who FROM event WHERE subject = %s AND after ->> 'state' = 'SUPERSEDED'", f"build:{job.build}"
    )
    assert event == ("queue",)
    assert "Assign" not in kinds(desk.ready())


def test_a_source_that_is_still_published_in_another_pocket_of_the_series_is_built(desk: Desk) -> None:
    job = desk.farm.job()
    desk.farm.sql(
        "INSERT INTO publication (source, archive, distroseries, pocket, component, status)"
        " SELECT source, archive, distroseries, 'PROPOSED', component, 'PENDING' FROM publication"
    )
    desk.farm.sql("UPDATE publication SET status = 'SUPERSEDED' WHERE pocket = 'RELEASE'")
    assert only(Assign, desk.ready()).order.job == job.id


def test_a_build_that_succeeds_after_its_source_was_superseded_is_superseded_and_keeps_its_log(desk: Desk) -> None:
    attempt = desk.assigned()
    build = desk.farm.queue.attempt(attempt).build
    desk.farm.sql("UPDATE publication SET status = 'SUPERSEDED'")
    deb, log = left("foo_1.0-1_i386.deb"), left("build.log")
    report = finished(
        attempt, results=(ResultStored(deb.filename, deb.content),), log=ResultStored(log.filename, log.content)
    )
    assert kinds(desk.take(report)) == ["Recorded"]
    assert desk.state(build) is BuildState.SUPERSEDED
    assert desk.farm.builds.files(build) == ()
    assert desk.farm.builds.log(build) is not None
    assert desk.farm.queue.jobs() == ()


def test_a_running_build_whose_source_is_superseded_goes_on(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.farm.sql("UPDATE publication SET status = 'SUPERSEDED'")
    assert kinds(desk.take()) == []
    assert desk.state(desk.farm.queue.attempt(attempt).build) is BuildState.BUILDING


def test_five_hundred_builds_are_superseded_in_one_turn(desk: Desk) -> None:
    for number in range(3):
        desk.farm.job(f"foo{number}")
    desk.farm.sql(
        "INSERT INTO build (source, archive, distroarchseries, pocket, arch_indep, again)"
        " SELECT source, archive, distroarchseries, pocket, arch_indep, number"
        " FROM build, generate_series(1, 166) AS number"
    )
    desk.farm.sql("INSERT INTO buildqueue (build) SELECT id FROM build WHERE again > 0")
    desk.farm.sql("UPDATE publication SET status = 'DELETED'")
    desk.take()
    assert desk.farm.sql("SELECT state, count(*) FROM build GROUP BY state") == [("SUPERSEDED", 501)]
    assert desk.farm.queue.jobs() == ()


# --- failures of infrastructure -------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.BUILDERFAIL, Outcome.LOST])
def test_a_build_that_failed_on_a_builder_waits_for_another_for_an_hour(desk: Desk, outcome: Outcome) -> None:
    desk.farm.builder("zoe")
    desk.take()
    attempt = desk.assigned()
    desk.take(finished(attempt, outcome, text="disk broken"))
    (job,) = desk.farm.queue.jobs()
    ((seconds,),) = desk.farm.sql("SELECT extract(epoch FROM excluded_until - ended)::int FROM attempt")
    assert seconds == 3600
    assert [one.builder for one in job.excluded] == ["bob"]
    assert "Assign" not in kinds(desk.ready())
    assert only(Assign, desk.ready("zoe")).builder == "zoe"


def test_a_build_that_failed_on_the_only_capable_builder_goes_there_again(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(finished(attempt, Outcome.BUILDERFAIL, text="disk broken"))
    assert only(Assign, desk.ready()).builder == "bob"


def test_taking_an_exclusion_back_by_plain_sql_lets_the_job_go_there_again(desk: Desk) -> None:
    desk.farm.builder("zoe")
    desk.take()
    attempt = desk.assigned()
    desk.take(finished(attempt, Outcome.BUILDERFAIL, text="disk broken"))
    assert "Assign" not in kinds(desk.ready())
    desk.farm.sql("UPDATE attempt SET excluded_until = NULL")
    assert only(Assign, desk.take()).builder == "bob"


def test_a_job_that_its_slave_gives_back_cools_down_longer_each_time(desk: Desk) -> None:
    waits = []
    desk.farm.builder("zoe")
    desk.take()
    attempt = desk.assigned()
    for _ in range(3):
        answer = only(Recorded, desk.take(finished(attempt, Outcome.GIVENBACK, text="not now")))
        assert answer.next is None
        ((seconds,),) = desk.farm.sql("SELECT extract(epoch FROM cooling_until - now())::int FROM buildqueue")
        waits.append(round(seconds / 60))
        desk.farm.sql("UPDATE buildqueue SET cooling_until = NULL")
        desk.farm.sql("UPDATE attempt SET excluded_until = NULL")
        attempt = only(Assign, desk.ready()).order.attempt
    assert waits == [1, 4, 16]


def test_a_job_that_failed_otherwise_has_not_been_given_back_in_a_row(desk: Desk) -> None:
    attempt = desk.assigned()
    desk.take(finished(attempt, Outcome.GIVENBACK))
    desk.farm.sql("UPDATE buildqueue SET cooling_until = NULL")
    desk.take(finished(only(Assign, desk.ready()).order.attempt, Outcome.BUILDERFAIL))
    assert desk.farm.sql("SELECT given_back, cooling_until FROM buildqueue") == [(0, None)]


def test_a_builders_quarantine_is_made_known_to_its_actor(desk: Desk) -> None:
    desk.farm.sql(
        "INSERT INTO builder_runtime (builder, state, connected, quarantined_until, quarantine_why)"
        " VALUES ('bob', 'IDLE', true, now() + interval '1 day', 'failed twice')"
    )
    assert only(BuilderChanged, desk.take()).builder.quarantine_why == "failed twice"

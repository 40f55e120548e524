"""The dispatching walk-through: the story of `bob` and `frog`, step by step.

The real database, the real actors (one process each), and a simulated slave on a real socket, once of each dialect.  The numbers are the
story's own.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator

import pytest

from actors.core.dispatch.explain import Explanation, Snapshot, views
from actors.core.dispatch.reasons import ReasonCode
from cli.main import run
from simulation.slaves.script import Conduct, Script
from storage.access.people import People
from storage.access.tokens import ApiTokens
from storage.check import check
from storage.events.log import Events
from storage.records import (
    ArchivePurpose,
    Attempt,
    BuildState,
    Job,
    Limits,
    NamedFile,
    NewSource,
    NotOkKind,
    Outcome,
    Pick,
    Pocket,
    RuntimeState,
    Urgency,
)
from tests.fix_dialects import Slaves, WatchedSlave
from tests.fix_farm import FarmUnderTest
from tests.fix_storage import every_row


@pytest.fixture
def bobs_slave(slaves_of_either_dialect: Slaves) -> WatchedSlave:
    """bob's slave runs; its builds never end by themselves."""
    return slaves_of_either_dialect.add("bob", Script(conducts=(Conduct(hangs=True),)))


@pytest.fixture
def nobodys_port() -> Iterator[int]:
    """A port on loopback that nobody listens on, nor can while the test runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield int(probe.getsockname()[1])


def explained(farm: FarmUnderTest, job: int) -> Explanation:
    jobs = farm.queue.jobs()
    answer = Snapshot(jobs, views(farm.builders.all(), farm.builders.runtimes(), jobs)).explain(job)
    assert answer is not None
    return answer


def candidates(farm: FarmUnderTest) -> list[Job]:
    return [job for job in farm.queue.jobs() if job.state is BuildState.NEEDSBUILD and job.builder is None]


def wait_asked_to_build(farm: FarmUnderTest, slave: WatchedSlave, attempt: Attempt) -> None:
    farm.wait_until(lambda: str(attempt.id) in slave.builds(), f"the slave is asked to build {attempt.id}")


def wait_cleaned(farm: FarmUnderTest, slave: WatchedSlave, attempt: Attempt) -> None:
    def cleaned() -> bool:
        asked = slave.asked()
        return ("clean", "") in asked[asked.index(("build", str(attempt.id))) :]

    farm.wait_until(cleaned, f"the slave is cleaned of {attempt.id}")


@pytest.fixture
def command_as(
    whole_farm: FarmUnderTest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return what runs a command line with a person's token, and returns its exit code and what it says on stderr."""
    which = (f"--state-directory={whole_farm.settings.state_directory}", f"--database={whole_farm.database}")

    def run_it(token: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("BUILDD_MASTER_TOKEN", token)
        return run([*which, *arguments]), capsys.readouterr().err

    return run_it


def test_the_walk_through(  # noqa: PLR0915 - one story, told from its beginning to its end
    whole_farm: FarmUnderTest,
    bobs_slave: WatchedSlave,
    nobodys_port: int,
    command_as: Callable[..., tuple[int, str]],
) -> None:
    farm = whole_farm

    # --- Setting the stage ---
    # 1. Two builders: bob, whose slave runs, and frog, whose URL answers to nobody.
    farm.builders.add("bob", bobs_slave.url, ("x86",), trusted=True)
    farm.builders.add("frog", f"buildd://127.0.0.1:{nobodys_port}", ("x86",), trusted=True)

    # 2. foo.tar.gz becomes the chroot of ubuntu/hoary/i386; doing it twice replaces, it never duplicates.
    farm.series.add("ubuntu", "hoary", {"i386": "x86"}, nominated_archindep="i386")
    farm.series.add("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
    farm.archives.add("primary", "ubuntu", ArchivePurpose.PRIMARY)
    hoary = farm.series.named("ubuntu/hoary/i386")
    for base in (b"an older base system", b"a base system"):
        farm.chroots.set(hoary.id, Pocket.RELEASE, farm.library.add(farm.librarian.add_bytes(base), "foo.tar.gz").id)
    (chroot,) = farm.chroots.all()
    assert (chroot.filename, chroot.sha256) == ("foo.tar.gz", farm.librarian.add_bytes(b"a base system").sha256)

    # 3. A member of the team buildd-admins sets every builder ok; somebody who is not a member is refused.
    people = People(farm.conn)
    tokens = {name: ApiTokens(farm.conn).create(people.add(name).name, None)[0] for name in ("anna", "mallory")}
    people.add_member("buildd-admins", "anna")
    for name in ("bob", "frog"):
        farm.builders.set_ok(name, ok=False, notes="not looked at yet")
        rows = every_row(farm.conn)
        code, said = command_as(tokens["mallory"], "builder", "set", name, "--ok")
        assert code == 2
        assert "needs a buildd-admin (a member of the team buildd-admins); you act as mallory" in said
        assert every_row(farm.conn) == rows
        assert command_as(tokens["anna"], "builder", "set", name, "--ok") == (0, "")
        assert farm.builders.get(name).builderok
        assert Events(farm.conn).story(f"builder:{name}")[-1].who == "anna"

    # 4. A left-over job (id 1, assigned to bob, with an open attempt) is deleted; its build stays; bob is free.
    leftover = farm.queue_build("leftover")
    (attempt,) = farm.queue.claim([Pick(leftover.id, "bob", 1)], Limits(wall_seconds=3600))
    assert farm.queue.job(leftover.id).builder == "bob"
    farm.queue.remove(leftover.id)
    assert leftover.id == 1
    assert farm.builds.get(leftover.build).state is BuildState.NEEDSBUILD
    assert farm.queue.attempt(attempt.id).outcome is Outcome.FENCED
    assert farm.queue.open_attempts() == ()

    # --- Who is there ---
    # 5. The farm starts.  Two series share the builders of their family: each builder is checked once.
    farm.start(**bobs_slave.settings)
    farm.wait_runtime("bob", RuntimeState.IDLE)
    farm.wait_builder("frog", ok=False)
    assert bobs_slave.sessions() == 1

    # 7. frog has been excluded, in words.
    frog = farm.builders.get("frog")
    assert frog.notok_kind is NotOkKind.UNREACHABLE
    for word in ("127.0.0.1", str(nobodys_port), "refused"):
        assert word in frog.failnotes
    assert "Error(" not in frog.failnotes
    assert "<" not in frog.failnotes

    # --- What is queued ---
    # 8. One family with one job: id 2, builder none, no start time, trusted.  Its source file has no content yet.
    dsc = b"Source: foo\nVersion: 1.0-1\n"
    content = farm.librarian.add_bytes(dsc)
    source = farm.sources.add(
        NewSource("foo", "1.0-1", "main", Urgency.LOW, ("any",), (NamedFile("foo.dsc", content.sha256, len(dsc)),))
    )
    job = farm.queue_build(source=source)
    (candidate,) = candidates(farm)
    assert (candidate.id, candidate.family, candidate.builder, candidate.buildstart) == (2, "x86", None, None)
    assert candidate.trusted
    waiting = explained(farm, job.id)
    assert waiting.position == 1
    assert waiting.job_reason is not None
    assert waiting.job_reason.code is ReasonCode.FILES_MISSING
    # 6. The first available builder for a trusted build is bob: but for the missing file he would get it.
    whole = dataclasses.replace(candidate, files_missing=())
    seen = Snapshot((whole,), views(farm.builders.all(), farm.builders.runtimes(), (whole,)))
    offered = seen.explain(job.id)
    assert offered is not None
    assert offered.eligible_now == "bob"
    assert farm.builders.get("bob").trusted

    # 9. The job's source package gets its foo.dsc through the librarian.
    # --- Dispatch ---
    # 10. That alone has the job dispatched: to bob, BUILDING, with the database's time in UTC.
    farm.library.add(content, "foo.dsc")
    held = farm.wait_held(job.id, "bob")
    running = farm.open_attempt(job.build)
    wait_asked_to_build(farm, bobs_slave, running)
    assert farm.builds.get(job.build).state is BuildState.BUILDING
    row = farm.conn.execute(
        "SELECT buildstart, now() - buildstart < '1 minute' FROM buildqueue WHERE id = 2"
    ).fetchone()
    assert row == (held.buildstart, True)
    assert held.buildstart is not None
    assert held.buildstart.utcoffset() is not None
    # The slave was IDLE; it was pushed the chroot and the .dsc; it was then asked to build, in this order.
    assert bobs_slave.asked() == [
        ("file", bobs_slave.hash_of(farm.librarian.add_bytes(b"a base system"))),
        ("file", bobs_slave.hash_of(content)),
        ("build", str(running.id)),
    ]

    # 11. The slave goes away in mid-build; the operator marks the build FAILEDTOBUILD and deletes its job.
    bobs_slave.go_away()
    farm.builds.set_state(job.build, BuildState.FAILEDTOBUILD)
    farm.queue.remove(job.id)
    assert farm.queue.attempt(running.id).outcome is Outcome.FENCED
    bobs_slave.come_back()
    wait_cleaned(farm, bobs_slave, running)
    farm.wait_runtime("bob", RuntimeState.IDLE)
    bob = farm.wait_builder("bob", ok=True)
    assert bob.failnotes == ""
    assert farm.builds.get(job.build).state is BuildState.FAILEDTOBUILD
    assert candidates(farm) == []

    # --- Trust ---
    # 12. The same source in cprov's PPA: job 3, not trusted.
    farm.archives.add("cprov/ppa", "ubuntu", ArchivePurpose.PPA, owner="cprov")
    ppa_job = farm.queue_build(archive="cprov/ppa", source=source)
    # 13. The candidates now are exactly that job.
    (candidate,) = candidates(farm)
    assert (candidate.id, candidate.builder, candidate.buildstart, candidate.trusted) == (3, None, None, False)
    # 14. It is given to nobody: bob builds only trusted code.
    answers = {answer.builder: answer.reason for answer in explained(farm, ppa_job.id).builders}
    assert answers["bob"] is not None
    assert answers["bob"].code is ReasonCode.TRUST_MISMATCH
    # 15. bob.trusted is set to false, by plain SQL: the running farm notices by itself.
    processes = {name: farm.pid(name) for name in ("supervisor", "queue", "bob")}
    farm.conn.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
    held = farm.wait_held(ppa_job.id, "bob", seconds=5.0)
    assert held.buildstart is not None
    untrusted = farm.wait_build(ppa_job.build, BuildState.BUILDING)
    assert {name: farm.pid(name) for name in processes} == processes
    noticed = farm.conn.execute(
        "SELECT %s - max(at) < '1 second' FROM event WHERE subject = 'builder:bob' AND what LIKE '%%trusted%%'",
        (untrusted.started,),
    ).fetchone()
    assert noticed == (True,)

    # --- The other direction ---
    # 16. While an untrusted build runs, trusted is set to true again: it goes on, and its results are accepted.
    before = farm.open_attempt(ppa_job.build)
    wait_asked_to_build(farm, bobs_slave, before)
    farm.conn.execute("UPDATE builder SET trusted = true WHERE name = 'bob'")
    trusted_job = farm.queue_build("bar")
    bobs_slave.finish()
    farm.wait_build(ppa_job.build, BuildState.FULLYBUILT)
    attempt = farm.queue.attempt(before.id)
    assert (attempt.outcome, attempt.trusted) == (Outcome.OK, False)
    assert farm.builds.files(ppa_job.build) != ()
    # The slave is cleaned before the first trusted build.
    farm.wait_held(trusted_job.id, "bob")
    victim = farm.open_attempt(trusted_job.build)
    wait_asked_to_build(farm, bobs_slave, victim)
    farm.wait_runtime("bob", RuntimeState.BUILDING)
    asked = [one for one in bobs_slave.asked() if one[0] in {"build", "clean"}]
    assert asked[-3:] == [("build", str(before.id)), ("clean", ""), ("build", str(victim.id))]

    # 17. While a trusted build runs, trusted is set to false: fenced in the very transaction that changed the flag.
    with farm.conn.transaction():
        farm.conn.execute("UPDATE builder SET trusted = false WHERE name = 'bob'")
        assert farm.queue.attempt(victim.id).outcome is Outcome.FENCED
        assert farm.builds.get(trusted_job.build).state is BuildState.NEEDSBUILD
    farm.wait_until(lambda: bobs_slave.asked()[-1][0] in {"abort", "clean"}, "the slave is told to abort")
    farm.wait_runtime("bob", RuntimeState.IDLE)
    back = farm.queue.job(trusted_job.id)
    assert (back.builder, back.created) == (None, trusted_job.created)
    assert farm.builders.get("bob").builderok
    assert farm.builds.files(trusted_job.build) == ()

    assert check(farm.conn, farm.librarian) == ()
    assert farm.stop() == 0

"""The shell of a builder's actor against simulated launchpad-buildd slaves: every hazard of the dialect's page, and how it ends."""

from __future__ import annotations

import socket
import threading
import xmlrpc.client
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from actors.builder import http_lane
from actors.builder.timed_socket import TimedSocket
from actors.core.launchpad.build import build_id
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    BuilderTroubled,
    Cancel,
    Disown,
    FencedOff,
    Finished,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    ResultStored,
    Started,
)
from protocol.messages import Build, WireOutcome
from simulation.slaves.launchpad.hazards import Hazards
from simulation.slaves.launchpad.server import Refusal
from simulation.slaves.launchpad.slave import LaunchpadSlave
from simulation.slaves.script import Conduct, Script
from storage.records import NotOkKind, Outcome
from tests.fix_builder import FARM
from tests.fix_builder_shell import StagedBuilder, digest
from tests.fix_launchpad import LaunchpadStage

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


def hangs() -> Script:
    """Return what makes the first build hang."""
    return Script(conducts=(Conduct(hangs=True, log=b"line\n" * 1000), Conduct()))


def log_of(stage: LaunchpadStage, log: ResultStored | None) -> bytes:
    assert log is not None
    with stage.librarian.path(log.content.sha256).open("rb") as packed:
        return zstandard.ZstdDecompressor().stream_reader(packed).read()


def begun(stage: LaunchpadStage, slave: LaunchpadSlave, **fields: object) -> tuple[StagedBuilder, str]:
    """Have a build begin; return the actor and the attempt."""
    builder, order = stage.ready(slave), stage.order(**fields)  # type: ignore[arg-type]
    builder.hear(Assign("bob", 1, order))
    builder.wait_told(Started)
    return builder, str(order.attempt)


def test_a_build_goes_from_assignment_to_files_in_the_librarian(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(Script(conducts=(Conduct(log=b"line\n" * 100_000, seconds=0.1),)))
    builder, order, end = launchpad_stage.built(slave)
    assert (end.outcome, end.text, end.slave_usable) == (Outcome.OK, "", True)
    assert sorted(result.filename for result in end.results) == ["foo_1.0-1_i386.changes", "foo_1.0-1_i386.deb"]
    for result in end.results:
        assert digest(launchpad_stage.librarian.path(result.content.sha256).read_bytes()) == result.content.sha256
    assert log_of(launchpad_stage, end.log) == b"line\n" * 100_000
    # Nothing is cleaned before it is committed.
    assert slave.calls("clean") == []
    builder.hear(Recorded("bob", 1, order.attempt))
    builder.wait_told(Ready)
    assert slave.calls("ensurepresent", "build", "clean") == [*["ensurepresent"] * 2, "build", "clean"]
    assert {path.split("/")[1] for path in launchpad_stage.files.asked} == {str(order.attempt)}


def test_the_order_says_all_that_such_a_slave_must_know(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    lines = ("deb http://mirror.invalid/ubuntu hoary main universe",)
    _, order, _ = launchpad_stage.built(slave, component="universe", apt_sources=lines, arch_indep=True)
    (call,) = [one for one in slave.heard if one.method == "build"]
    its_id, manager, chroot, files, args = call.arguments
    assert its_id == str(build_id(str(order.attempt), 1, FARM))  # hazard 8: the id is all that it echoes
    assert (manager, chroot) == ("binarypackage", order.chroot.sha1)
    assert files == {order.dsc: order.files[0].sha1}
    assert args == {
        "series": "hoary",
        "suite": "hoary",
        "ogrecomponent": "universe",
        "arch_tag": "i386",
        "arch_indep": True,
        "archives": list(lines),
        "archive_purpose": "PRIMARY",
        "archive_private": False,
        "build_debug_symbols": False,
    }


@pytest.mark.parametrize(
    ("conduct", "outcome", "dependencies"),
    [
        (Conduct(outcome=WireOutcome.PACKAGEFAIL), Outcome.PACKAGEFAIL, ()),
        (
            Conduct(outcome=WireOutcome.DEPFAIL, dependencies=("libfoo-dev (>= 2)", "bar")),
            Outcome.DEPFAIL,
            ("libfoo-dev (>= 2)", "bar"),
        ),
        (Conduct(outcome=WireOutcome.CHROOTFAIL), Outcome.CHROOTFAIL, ()),
        (Conduct(outcome=WireOutcome.BUILDERFAIL), Outcome.BUILDERFAIL, ()),
        (Conduct(outcome=WireOutcome.GIVENBACK), Outcome.GIVENBACK, ()),
    ],
)
def test_every_end_of_a_build_is_told_in_the_farms_words(
    launchpad_stage: LaunchpadStage, conduct: Conduct, outcome: Outcome, dependencies: tuple[str, ...]
) -> None:
    _, _, end = launchpad_stage.built(launchpad_stage.slave(Script(conducts=(conduct,))))
    assert (end.outcome, end.dependencies) == (outcome, dependencies)
    assert log_of(launchpad_stage, end.log) == conduct.log


def test_a_running_build_is_adopted_by_the_next_life_with_its_log(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(hangs())
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    builder.hear(Assign("bob", 1, order))
    builder.wait_told(Started)
    log = launchpad_stage.log_file(order)
    builder.wait_until(lambda: log.exists() and log.stat().st_size == 5000, "the log is followed while it is written")
    builder.ended()
    again = launchpad_stage.builder(slave.url, generation=2)
    assert again.wait_told(AdoptionWanted).attempt == order.attempt
    again.hear(Adopt("bob", 2, order))
    again.wait_told(Started)
    slave.finish()
    end = again.wait_told(Finished)
    assert end.outcome is Outcome.OK
    assert log_of(launchpad_stage, end.log) == b"line\n" * 1000
    assert slave.calls("build") == ["build"]


def test_results_that_are_not_what_was_announced_are_no_results(launchpad_stage: LaunchpadStage) -> None:
    def other_bytes(path: str, content: bytes) -> bytes:
        return content if path.endswith("buildlog") else bytes(byte ^ 1 for byte in content)

    _, _, end = launchpad_stage.built(launchpad_stage.slave(hazards=Hazards(serve=other_bytes)))
    assert end.outcome is Outcome.UNVERIFIED
    assert "the slave announced" in end.text


def test_a_slave_without_range_requests_is_read_anew(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(
        Script(conducts=(Conduct(log=b"0123456789" * 60_000, seconds=0.3),)), Hazards(ranges=False)
    )
    _, _, end = launchpad_stage.built(slave)
    assert end.outcome is Outcome.OK
    assert log_of(launchpad_stage, end.log) == b"0123456789" * 60_000


# --- hazard 1: a build() that faults wedges the slave -------------------------------------------------


def test_a_wedged_slave_fails_one_attempt_and_is_out_until_somebody_restarts_it(
    launchpad_stage: LaunchpadStage,
) -> None:
    launchpad_stage.use(abort_polite=15.0, abort_forced=0.3, background_retry=0.05, background_retry_limit=0.05)
    slave = launchpad_stage.slave()
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    slave.hazards.leftovers.add(str(build_id(str(order.attempt), 1, FARM)))
    builder.hear(Assign("bob", 1, order))
    end = builder.wait_told(Finished)
    assert end.outcome is Outcome.BUILDERFAIL
    assert "fault 8002" in end.text
    assert "restart the slave" in end.text
    builder.hear(Recorded("bob", 1, order.attempt))
    trouble = builder.wait_told(BuilderTroubled)
    assert trouble.kind is NotOkKind.MISFIT
    assert "has been ABORTING for more than 0.3 seconds" in trouble.failnotes
    assert "restart the slave (`systemctl restart launchpad-buildd` on its machine)" in trouble.failnotes
    assert slave.calls("build") == ["build"]
    slave.restart()
    builder.wait_told(ProbePassed)
    builder.wait_told(Ready)


def test_an_order_without_a_dsc_never_reaches_the_slave(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    order = launchpad_stage.order()
    (file,) = order.files
    builder, _, end = launchpad_stage.built(
        slave, files=(launchpad_stage._filed("foo.tar.xz", b"foo"),), dsc=file.filename
    )
    assert end.outcome is Outcome.PACKAGEFAIL
    assert "no .dsc among the files" in end.text
    assert slave.calls("build") == []
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)


def test_an_abort_that_does_not_end_is_given_up(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(abort_polite=15.0, abort_forced=0.3, reconnect=0.2, background_retry=0.05)
    slave = launchpad_stage.slave(Script(conducts=(Conduct(hangs=True, deaf=True),)))
    builder, attempt = begun(launchpad_stage, slave)
    order = builder._core.work.order if builder._core.work else None
    assert order is not None
    builder.hear(Cancel("bob", 1, order.attempt))
    end = builder.wait_told(Finished)
    assert (end.outcome, str(end.attempt), end.slave_usable) == (Outcome.ABORTED, attempt, False)
    builder.wait_until(lambda: bool(builder.heard(BuilderTroubled)) or builder._core.session.troubled is not None)
    told = builder._core.session.troubled
    assert told is not None
    assert "restart the slave" in told.failnotes


# --- hazard 2: a second build() changes the id and truncates the log ----------------------------------


def test_another_masters_build_is_an_isolation_breach_and_no_result_of_ours(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(background_retry=0.05, background_retry_limit=0.05)
    slave = launchpad_stage.slave(hangs())
    builder, _ = begun(launchpad_stage, slave)
    with pytest.raises(Refusal):
        slave.call("build", ("PACKAGEBUILD-1", "binarypackage", "0" * 40, {}, {}))
    end = builder.wait_told(Finished)
    assert end.outcome is Outcome.BREACH
    assert "BUILDING with PACKAGEBUILD-1" in end.text
    builder.hear(Recorded("bob", 1, end.attempt))
    trouble = builder.wait_told(BuilderTroubled)
    assert "'PACKAGEBUILD-1', which this farm did not give it: point one master only at a slave" in trouble.failnotes
    assert slave.calls("abort") == []


def test_a_busy_slave_is_never_asked_to_build(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(poll_idle=30.0, poll_building=30.0)  # nobody looks by chance
    slave = launchpad_stage.slave(hangs())
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    for file in (order.chroot, *order.files):
        slave.cache[file.sha1] = launchpad_stage.librarian.path(file.sha256).read_bytes()
    args = {"series": "x", "suite": "x", "ogrecomponent": "main"}
    slave.call("build", ("PACKAGEBUILD-1", "binarypackage", order.chroot.sha1, {order.dsc: order.files[0].sha1}, args))
    builder.hear(Assign("bob", 1, order))
    end = builder.wait_told(Finished)
    assert end.outcome is Outcome.BREACH
    assert len([one for one in slave.heard if one.method == "build"]) == 1
    assert "PACKAGEBUILD-1" in str(slave._status()["build_id"])


def test_a_slave_that_is_busy_for_somebody_else_is_left_alone(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(background_retry=0.05, background_retry_limit=0.05)
    slave = launchpad_stage.slave(hangs())
    slave.cache["0" * 40] = b""
    args = {"series": "x", "suite": "x", "ogrecomponent": "main"}
    slave.call("build", ("PACKAGEBUILD-1", "binarypackage", "0" * 40, {"foo.dsc": "0" * 40}, args))
    builder = launchpad_stage.builder(slave.url)
    trouble = builder.wait_told(BuilderTroubled)
    assert (trouble.kind, "PACKAGEBUILD-1" in trouble.failnotes) == (NotOkKind.MISFIT, True)
    slave.call("abort", ())
    builder.wait_until(lambda: slave._status()["builder_status"] == "BuilderStatus.WAITING", "it is aborted")
    slave.call("clean", ())
    builder.wait_told(Ready)
    assert slave.calls("abort", "clean") == ["abort", "clean"]


# --- hazards 3 and 4: abort is asynchronous; a restart says IDLE --------------------------------------


def test_an_abort_is_waited_for_and_cleaned_up(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(hangs(), Hazards(abort_seconds=0.3))
    builder, _ = begun(launchpad_stage, slave)
    work = builder._core.work
    assert work is not None
    builder.hear(Cancel("bob", 1, work.order.attempt))
    end = builder.wait_told(Finished)
    assert (end.outcome, end.text) == (Outcome.ABORTED, "cancelled")
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)
    assert slave.calls("abort", "clean") == ["abort", "clean"]


def test_a_fenced_build_is_aborted_and_cleaned(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(hangs())
    builder, _ = begun(launchpad_stage, slave)
    work = builder._core.work
    assert work is not None
    builder.hear(FencedOff("bob", 1, work.order.attempt))
    builder.wait_told(Ready)
    assert slave.calls("abort", "clean") == ["abort", "clean"]


def test_a_slave_that_was_restarted_in_mid_build_has_lost_it(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(hangs())
    builder, _ = begun(launchpad_stage, slave)
    slave.restart()
    end = builder.wait_told(Finished)
    assert end.outcome in {Outcome.LOST, Outcome.BUILDERFAIL}
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)
    assert slave.calls("abort", "clean") == []


# --- hazard 5: a file that is missing fails the package, later and without a word -----------------------


def test_a_source_without_one_of_its_files_is_told_so_at_once(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    listed = f" {'a' * 32} 3 foo_1.0.orig.tar.xz\n"
    dsc = f"Source: foo\nVersion: 1.0-1\nFiles:\n{listed}".encode()
    _, _, end = launchpad_stage.built(slave, files=(launchpad_stage._filed("foo_1.0-1.dsc", dsc),))
    assert end.outcome is Outcome.PACKAGEFAIL
    assert "foo_1.0-1.dsc names foo_1.0.orig.tar.xz, which is not among the files" in end.text
    assert slave.calls("build") == []


# --- hazards 6 and 7: the log is a file of its own; it may show a password ------------------------------


def test_the_whole_log_is_here_before_the_slave_is_cleaned(launchpad_stage: LaunchpadStage) -> None:
    log = b"".join(b"line %d\n" % number for number in range(200_000))
    slave = launchpad_stage.slave(Script(conducts=(Conduct(log=log),)))
    builder, _, end = launchpad_stage.built(slave)
    assert log_of(launchpad_stage, end.log) == log
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)
    assert slave.content("/filecache/buildlog") is None


def test_the_log_of_a_private_build_is_not_shown_while_it_is_written_and_holds_no_password(
    launchpad_stage: LaunchpadStage,
) -> None:
    slave = launchpad_stage.slave(hangs())
    builder, attempt = begun(launchpad_stage, slave, private=True)
    polled = len(slave.calls("status"))
    builder.wait_until(lambda: len(slave.calls("status")) > polled + 5, "it is looked at several times")
    password = slave.passwords[-1].encode()
    assert password in (slave.content("/filecache/buildlog") or b"")
    log = launchpad_stage.settings.logs_directory / f"{attempt}.log"
    assert log.read_bytes() == b""
    slave.finish()
    end = builder.wait_told(Finished)
    assert log_of(launchpad_stage, end.log) == b"line\n" * 1000


def test_our_own_password_is_blotted_out_of_every_log(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave(hangs())
    builder, attempt = begun(launchpad_stage, slave)
    build = slave._build
    assert build is not None
    build.log += b"GET http://me:" + slave.passwords[-1].encode()[:30]
    log = launchpad_stage.settings.logs_directory / f"{attempt}.log"
    builder.wait_until(lambda: log.read_bytes().endswith(b"me:"), "the beginning of a password is held back")
    build.log += slave.passwords[-1].encode()[30:] + b"@master/\n"
    slave.finish()
    end = builder.wait_told(Finished)
    assert log_of(launchpad_stage, end.log) == b"line\n" * 1000 + b"GET http://me:" + b"*" * 64 + b"@master/\n"


# --- whose fault, and how long it may take ---------------------------------------------------------------


def test_a_slow_slave_never_keeps_the_actor_waiting(
    launchpad_stage: LaunchpadStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may wait for a slave or a name server happens in the lanes' threads, each and every time."""
    waited_in: set[str] = set()

    def watched(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def spy(*args: Any, **named: Any) -> Any:
            if threading.current_thread().name.startswith(("MainThread", "calls")):
                waited_in.add(threading.current_thread().name.partition(" ")[0])
            return real(*args, **named)

        monkeypatch.setattr(owner, name, spy)

    for name in ("limit", "recv_into", "sendall"):
        watched(TimedSocket, name)
    watched(socket, "getaddrinfo")
    watched(http_lane, "decode")  # a large answer takes its time, too
    slave = launchpad_stage.slave(hangs())
    builder, _ = begun(launchpad_stage, slave)
    slave.hazards.pause.set()
    asked = len(slave.calls("status"))
    builder.wait_until(lambda: len(slave.calls("status")) > asked, "a status is asked for, and not answered")
    for _ in range(1000):
        builder.turn(patience=0.0)
    slave.hazards.pause.clear()
    slave.finish()
    assert builder.wait_told(Finished).outcome is Outcome.OK
    assert waited_in == {"calls"}


def test_a_slave_that_does_not_answer_is_lost_in_bounded_time(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(suspect=0.2, lost=0.5, connect=0.5, reconnect=0.2)
    slave = launchpad_stage.slave(hangs())
    builder, _ = begun(launchpad_stage, slave)
    slave.hazards.pause.set()
    end = builder.wait_told(Finished)
    assert end.outcome is Outcome.LOST


def test_a_slave_that_can_not_be_reached_is_told_in_words(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(first_retry=0.01, second_retry=0.02)
    builder = launchpad_stage.builder("http://127.0.0.1:9")
    trouble = builder.wait_told(BuilderTroubled)
    assert trouble.kind is NotOkKind.UNREACHABLE
    assert "the slave at 127.0.0.1 port 9: connection failed: connection refused" in trouble.failnotes


def test_a_master_that_hands_out_no_files_says_which_setting_is_missing(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.settings = launchpad_stage.settings.model_copy(update={"files_listen": ""})
    trouble = launchpad_stage.builder(launchpad_stage.slave().url).wait_told(BuilderTroubled)
    assert "can't be given any files: set files_listen (and files_url)" in trouble.failnotes


def test_files_that_this_master_does_not_hand_out_are_nobody_elses_fault(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    launchpad_stage.files.close()
    builder.hear(Assign("bob", 1, order))
    refused = builder.wait_told(JobRefused)
    assert "this master's own fault: it hands out no files to slaves" in refused.why
    assert builder.heard(Finished) == []


def test_a_slave_that_can_not_fetch_what_others_can_is_to_blame(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    unreachable = xmlrpc.client.dumps(([False, "Error accessing Librarian: timed out"],), methodresponse=True)
    slave.hazards.say["ensurepresent"] = lambda _: unreachable.encode()
    builder.hear(Assign("bob", 1, order))
    end = builder.wait_told(Finished)
    assert end.outcome is Outcome.BUILDERFAIL
    assert "does not take chroot.tar.zst" in end.text
    assert "Error accessing Librarian: timed out" in end.text
    assert slave.calls("ensurepresent") == ["ensurepresent"] * 4  # each file a second time: we may have been away


def test_a_slave_that_fetches_without_end_is_to_blame_only_if_we_hand_out(launchpad_stage: LaunchpadStage) -> None:
    launchpad_stage.use(transfer=0.3)
    slave = launchpad_stage.slave()
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    slave.hazards.hold.add("ensurepresent")
    builder.hear(Assign("bob", 1, order))
    end = builder.wait_told(Finished)
    assert end.outcome in {Outcome.BUILDERFAIL, Outcome.LOST}
    builder.hear(Recorded("bob", 1, order.attempt))
    builder.wait_told(Ready)
    launchpad_stage.files.close()
    builder.hear(Assign("bob", 1, launchpad_stage.order()))
    assert "this master's own fault" in builder.wait_told(JobRefused).why


def test_a_slave_that_could_not_fetch_for_a_moment_is_let_try_again(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    builder, order = launchpad_stage.ready(slave), launchpad_stage.order()
    said: list[bytes] = []

    def once(body: bytes) -> bytes:
        said.append(body)
        refusal = [False, "Error accessing Librarian: HTTP Error 503"]
        return xmlrpc.client.dumps((refusal,), methodresponse=True).encode() if len(said) == 1 else body

    slave.hazards.say["ensurepresent"] = once
    builder.hear(Assign("bob", 1, order))
    assert builder.wait_told(Finished).outcome is Outcome.OK


def test_what_a_closed_attempt_has_left_is_cleaned_away(launchpad_stage: LaunchpadStage) -> None:
    slave = launchpad_stage.slave()
    builder, order, _ = launchpad_stage.built(slave)
    builder.ended()
    again = launchpad_stage.builder(slave.url, generation=2)
    assert again.wait_told(AdoptionWanted).attempt == order.attempt
    again.hear(Disown("bob", 2, order.attempt, "it is closed"))
    again.wait_told(Ready)
    assert slave.calls("clean") == ["clean"]


def test_a_builder_moves_from_one_dialect_to_the_other(launchpad_stage: LaunchpadStage) -> None:
    ours = launchpad_stage.slaves.add("bob", Script())
    theirs = launchpad_stage.slave()
    builder = launchpad_stage.builder(ours.url)
    builder.wait_told(Ready)
    for url in (theirs.url, ours.url, theirs.url):
        builder.change(replace(builder._core.row, url=url))
        builder.wait_told(Ready)
    order = launchpad_stage.order()
    builder.hear(Assign("bob", 1, order))
    assert builder.wait_told(Finished).outcome is Outcome.OK
    assert not any(isinstance(one.message, Build) for one in ours.heard)

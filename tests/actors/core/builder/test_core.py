"""An attempt in the hands of a builder's core: assigned, built, gathered, reported, cleaned, adopted, cancelled."""

from __future__ import annotations

from dataclasses import fields, replace
from uuid import uuid4

import pytest

from actors.core.builder.events import Event, LibrarianRefused, QueueReplaced, Retired, Store
from actors.core.builder.orders import AppendLog, Connect, Disconnect, Leave, LetGo, Order, SendChunk, ShowPush
from actors.core.builder.session import SessionState
from actors.core.builder.stages import AttemptStage, ImpossibleStep, Stage, Step, next_stage
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    BuilderTroubled,
    Cancel,
    DiskRefused,
    Disown,
    FencedOff,
    Finished,
    GatheringStarted,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    RuntimeChanged,
    Started,
)
from protocol.messages import (
    CHUNK,
    WINDOW,
    Abort,
    Accepted,
    Build,
    ChunkAck,
    Clean,
    EnsurePresent,
    Fetch,
    FetchData,
    Log,
    LogFrom,
    Present,
    PushFailed,
    Rejected,
    RejectionCode,
    ResultFile,
    SlaveState,
    Status,
    WireOutcome,
)
from slave.core.build_args import BinaryPackage
from storage import records
from storage.records import BuildOrder, Limits, NamedFile, NotOkKind, Outcome, RuntimeState
from tests.fix_builder import (
    CONTROL,
    IDLE,
    Scene,
    an_order,
    announced,
    building,
    changes_of,
    kinds,
    results_of_foo,
    sha256,
    stored,
    waiting,
)


def the_end(scene: Scene) -> Finished:
    """Return the one end that was told (however often)."""
    (finished,) = set(scene.told(Finished))
    return finished


def the_refusal(scene: Scene) -> JobRefused:
    (refused,) = scene.told(JobRefused)
    return refused


def ready(scene: Scene) -> None:
    scene.begin()
    scene.open_session()


def reported(scene: Scene, order: BuildOrder | None = None) -> BuildOrder:
    """Come from nothing to a build that failed and was reported."""
    order = scene.begin_building(order)
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, text="dpkg-buildpackage failed"))
    return order


def break_for(scene: Scene, seconds: float) -> None:
    """Let the connection break after it had lasted, and some time pass."""
    scene.fail("connection reset by peer")
    scene.pass_time(seconds)


# --- a build that goes well -----------------------------------------------------------------------


def test_the_chroot_comes_before_the_sources_and_both_before_the_build(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    asked = scene.assign(order)
    assert [message.sha256 for message in scene.sent() if isinstance(message, EnsurePresent)] == [
        order.chroot.sha256,
        *(file.sha256 for file in order.files),
    ]
    assert kinds(asked) == ["EnsurePresent"] * 3
    scene.all_present()
    build = scene.last(Build)
    assert (build.attempt, build.chroot, build.build_type) == (str(order.attempt), order.chroot.sha256, "binarypackage")
    assert build.files == {file.filename: file.sha256 for file in order.files}
    assert build.args == {
        "dsc": "foo_1.0-1.dsc",
        "architecture": "i386",
        "arch_indep": False,
        "suite": "hoary",
        "trusted": True,
        "wall_seconds": 3600,
    }


def test_the_limits_in_force_and_who_set_them_go_along(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    limits = Limits(wall_seconds=100, memory_bytes=1 << 30, log_bytes=1 << 20)
    scene.assign(an_order(wall_seconds=100.0, limits=limits, limits_from=("memory_bytes=archive",)))
    scene.all_present()
    args = scene.last(Build).args
    assert (args["wall_seconds"], args["memory_bytes"], args["log_bytes"]) == (100, 1 << 30, 1 << 20)
    assert args["limits_from"] == ("memory_bytes=archive",)
    assert not {"silent_seconds", "processes", "file_bytes", "disk_bytes"} & set(args)
    assert set(args) <= {field.name for field in fields(BinaryPackage)}


def test_a_backend_without_chroots_is_pushed_none(scene: Scene) -> None:
    scene.begin()
    scene.open_session(backend="host")
    scene.assign(an_order())
    assert scene.count(EnsurePresent) == 2
    for message in [m for m in scene.sent() if isinstance(m, EnsurePresent)]:
        scene.slave_says(Present(message.id, have=True))
    assert scene.last(Build).chroot == ""


def test_what_the_slave_lacks_is_pushed_in_a_window_from_where_an_earlier_push_ended(scene: Scene) -> None:
    ready(scene)
    size = (WINDOW + 3) * CHUNK + 5
    order = an_order(
        chroot=NamedFile("chroot.tar.zst", sha256(b"big"), size), files=(NamedFile("a.dsc", sha256(b"a"), 9),)
    )
    scene.assign(order)
    chroot, dsc = (m for m in scene.sent() if isinstance(m, EnsurePresent))
    assert not any(
        isinstance(made, SendChunk) for made in scene.slave_says(Present(chroot.id, have=False, offset=CHUNK))
    )
    first = chunks(scene.slave_says(Present(dsc.id, have=False)))
    assert [chunk.offset for chunk in first] == [CHUNK * number for number in range(1, WINDOW + 1)]
    made = scene.slave_says(ChunkAck(order.chroot.sha256, 2 * CHUNK))
    assert [chunk.offset for chunk in chunks(made)] == [CHUNK * (WINDOW + 1)]
    assert ShowPush(order.attempt, "chroot.tar.zst", 2 * CHUNK, size) in made
    assert not scene.count(Build)
    scene.slave_says(ChunkAck(order.chroot.sha256, (WINDOW + 2) * CHUNK))
    made = scene.slave_says(ChunkAck(order.chroot.sha256, size))
    assert [chunk.sha256 for chunk in chunks(made)] == [sha256(b"a")]
    assert kinds(scene.slave_says(ChunkAck(sha256(b"a"), 9))) == ["Build"]


def chunks(orders: list[Order]) -> list[SendChunk]:
    return [order for order in orders if isinstance(order, SendChunk)]


def test_one_content_under_two_names_is_asked_for_once(scene: Scene) -> None:
    ready(scene)
    scene.assign(an_order(files=(NamedFile("a.dsc", sha256(b"x"), 1), NamedFile("b.dsc", sha256(b"x"), 1))))
    assert scene.count(EnsurePresent) == 2


def test_acceptance_is_told_and_the_log_followed_from_its_beginning(scene: Scene) -> None:
    order = scene.begin_building()
    assert scene.told(Started) == [Started("bob", 1, order.attempt)]
    assert scene.last(LogFrom) == LogFrom(str(order.attempt), 0)
    scene.slave_says(Log(str(order.attempt), 0, b"hello "))
    scene.slave_says(Log(str(order.attempt), 6, b"world"))
    assert scene.disk.logs[order.attempt] == b"hello world"


def test_a_build_that_went_well_is_gathered_verified_reported_recorded_cleaned_in_this_order(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    scene.slave_says(Log(str(order.attempt), 0, b"log"))
    made = scene.slave_says(waiting(order.attempt, files=announced(results), log_size=3))
    assert kinds(made) == ["GatheringStarted", "Fetch"]
    made = scene.hand_out(results)
    assert kinds(made) == ["Fetch", "Finished"]
    end = the_end(scene)
    assert (end.outcome, end.session, end.slave_usable) == (Outcome.OK, 1, True)
    assert {result.filename: result.content.sha256 for result in end.results} == {
        name: sha256(content) for name, content in results.items()
    }
    assert end.log is not None
    assert end.log.filename == "foo_1.0-1_i386.log.zst"
    assert not scene.count(Clean)
    made = scene.queue_says(Recorded("bob", 1, order.attempt))
    assert kinds(made) == ["Clean"]
    assert LetGo(order.attempt, log_recorded=True) in made
    scene.slave_says(Accepted(scene.last(Clean).id))
    assert kinds(scene.slave_says(IDLE)) == ["Ready"]


def test_the_next_order_comes_with_the_acknowledgement_and_begins_when_the_slave_is_clean(scene: Scene) -> None:
    order = reported(scene)
    following = an_order()
    assert kinds(scene.queue_says(Recorded("bob", 1, order.attempt, following))) == ["Clean"]
    assert kinds(scene.slave_says(IDLE)) == ["EnsurePresent"] * 3
    scene.all_present()
    assert scene.last(Build).attempt == str(following.attempt)


def test_a_next_order_that_was_refused_already_does_not_begin_with_the_acknowledgement(scene: Scene) -> None:
    order = reported(scene)
    following = an_order()
    scene.assign(following)  # the acknowledgement was late: the order was sent once more, and came first
    assert the_refusal(scene).attempt == following.attempt
    scene.queue_says(Recorded("bob", 1, order.attempt, following))
    assert kinds(scene.slave_says(IDLE)) == ["Ready"]


@pytest.mark.parametrize("outcome", [WireOutcome.OK, WireOutcome.PACKAGEFAIL])
def test_an_acknowledgement_that_comes_before_the_end_was_told_cleans_nothing(
    scene: Scene, outcome: WireOutcome
) -> None:
    order = scene.begin_building()
    files = announced(results_of_foo()) if outcome is WireOutcome.OK else ()
    scene.slave_says(waiting(order.attempt, outcome, files=files, log_size=3))  # results or log are still to come
    assert not scene.told(Finished)
    assert not scene.queue_says(Recorded("bob", 1, order.attempt))
    assert scene.core.work is not None


def test_an_acknowledgement_of_another_attempt_cleans_nothing(scene: Scene) -> None:
    reported(scene)
    assert not scene.queue_says(Recorded("bob", 1, uuid4()))
    assert scene.core.work is not None


def test_a_next_order_goes_back_when_the_slave_does_not_become_clean(scene: Scene) -> None:
    order = reported(scene)
    following = an_order()
    scene.queue_says(Recorded("bob", 1, order.attempt, following))
    for _ in range(12):
        scene.pass_time(10)
        if scene.core.session.open:
            scene.slave_says(Status(SlaveState.WAITING, str(order.attempt), outcome=WireOutcome.PACKAGEFAIL))
    assert the_refusal(scene).attempt == following.attempt
    (trouble,) = scene.told(BuilderTroubled)
    assert "did not become clean" in trouble.failnotes


def test_the_end_is_told_every_2_seconds_until_it_is_recorded(scene: Scene) -> None:
    order = reported(scene)
    scene.pass_time(6.1)
    assert len(scene.told(Finished)) == 4
    the_end(scene)
    scene.queue_says(Recorded("bob", 1, order.attempt))
    scene.slave_says(IDLE)
    scene.pass_time(10)
    assert len(scene.told(Finished)) == 4


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (WireOutcome.PACKAGEFAIL, Outcome.PACKAGEFAIL),
        (WireOutcome.CHROOTFAIL, Outcome.CHROOTFAIL),
        (WireOutcome.BUILDERFAIL, Outcome.BUILDERFAIL),
        (WireOutcome.GIVENBACK, Outcome.GIVENBACK),
        (WireOutcome.TIMEOUT, Outcome.TIMEOUT),
        (WireOutcome.ABORTED, Outcome.ABORTED),
    ],
)
def test_a_build_that_failed_is_reported_as_the_slave_says(scene: Scene, said: WireOutcome, outcome: Outcome) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, said, text="why"))
    end = the_end(scene)
    assert (end.outcome, end.text, end.results, end.slave_usable) == (outcome, "why", (), True)


def test_missing_dependencies_are_reported(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, WireOutcome.DEPFAIL, dependencies=("libfoo-dev (>= 2)",)))
    assert the_end(scene).dependencies == ("libfoo-dev (>= 2)",)


def test_the_end_waits_for_the_rest_of_the_log(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, log_size=5))
    assert not scene.told(Finished)
    scene.slave_says(Log(str(order.attempt), 0, b"12345"))
    assert the_end(scene).log is not None


def test_a_log_whose_rest_never_comes_is_waited_for_60_seconds(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, log_size=5))
    for _ in range(6):
        assert not scene.told(Finished)
        scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, log_size=5))
        scene.pass_time(10)
    assert the_end(scene).outcome is Outcome.PACKAGEFAIL


def test_who_is_idle_no_longer_says_so_at_once_and_shorter_states_are_left_out(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    assert scene.told(RuntimeChanged)[-1].state is RuntimeState.PREPARING
    told = len(scene.told(RuntimeChanged))
    scene.all_present()
    scene.accept(order.attempt)
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL))
    assert len(scene.told(RuntimeChanged)) == told
    scene.pass_time(0.2)
    assert scene.told(RuntimeChanged)[-1].state is RuntimeState.GATHERING


# --- results that do not hang together ------------------------------------------------------------


def gathered(scene: Scene, results: dict[str, bytes], files: tuple[ResultFile, ...] | None = None) -> Finished:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, files=announced(results) if files is None else files))
    scene.hand_out(results)
    return the_end(scene)


def test_results_without_a_changes_file_are_not_verified(scene: Scene) -> None:
    end = gathered(scene, {"foo.deb": b"deb"})
    assert (end.outcome, end.results) == (Outcome.UNVERIFIED, ())
    assert ".changes" in end.text


def test_a_result_whose_bytes_are_not_what_was_announced_is_not_verified(scene: Scene) -> None:
    results = results_of_foo()
    end = gathered(scene, results | {"foo_1.0-1_i386.deb": b"A DEB"}, announced(results))
    assert end.outcome is Outcome.UNVERIFIED
    assert "foo_1.0-1_i386.deb" in end.text


def test_results_of_another_version_are_not_verified(scene: Scene) -> None:
    deb = {"foo_1.0-1_i386.deb": b"deb"}
    end = gathered(scene, deb | {"foo.changes": changes_of(deb, version="1.0-2")})
    assert end.outcome is Outcome.UNVERIFIED
    assert "version 1.0-2" in end.text


def test_what_a_strangers_file_says_is_reported_in_one_printable_line(scene: Scene) -> None:
    deb = {"foo_1.0-1_i386.deb": b"deb"}
    end = gathered(scene, deb | {"foo.changes": changes_of(deb, version="1.0\0\x1b[31m")})
    assert end.outcome is Outcome.UNVERIFIED
    assert end.text.isprintable()
    assert "1.0" in end.text


def test_two_results_of_one_name_are_not_verified(scene: Scene) -> None:
    results = results_of_foo()
    end = gathered(scene, results, announced(results) * 2)
    assert end.outcome is Outcome.UNVERIFIED


def test_results_too_big_for_any_disk_are_not_fetched(scene: Scene) -> None:
    results = results_of_foo()
    end = gathered(scene, results, (*announced(results), ResultFile("huge.deb", 1 << 50, sha256(b""))))
    assert end.outcome is Outcome.UNVERIFIED
    assert not scene.count(Fetch)


def test_bytes_out_of_order_are_not_verified_and_never_written(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    scene.slave_says(waiting(order.attempt, files=announced(results)))
    scene.slave_says(FetchData(scene.last(Fetch).id, 3, b"eb", last=True))
    assert the_end(scene).outcome is Outcome.UNVERIFIED


def test_a_slave_that_does_not_hand_out_what_it_announced_has_failed(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, files=announced(results_of_foo())))
    scene.slave_says(Rejected(scene.last(Fetch).id, RejectionCode.NO_SUCH_FILE, "?"))
    assert the_end(scene).outcome is Outcome.BUILDERFAIL


def test_a_fetch_that_stands_still_is_resumed_once_and_then_lost(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    status = waiting(order.attempt, files=announced(results))
    scene.slave_says(status)
    name, content = next(iter(results.items()))
    scene.slave_says(FetchData(scene.last(Fetch).id, 0, content[:2], last=False))
    for _ in range(6):
        scene.pass_time(10)
        scene.slave_says(status)
    assert (scene.last(Fetch).name, scene.last(Fetch).offset) == (name, 2)
    for _ in range(6):
        assert not scene.told(Finished)
        scene.pass_time(10)
        scene.slave_says(status)
    assert the_end(scene).outcome is Outcome.LOST


# --- what is refused ------------------------------------------------------------------------------


def test_an_order_of_another_trust_is_never_built_and_refused_in_the_end(scene: Scene) -> None:
    ready(scene)
    order = an_order(trusted=False)
    assert not kinds(scene.assign(order))
    scene.pass_time(5)
    assert the_refusal(scene).attempt == order.attempt
    assert "trust" in the_refusal(scene).why
    assert not scene.count(EnsurePresent)


def test_an_order_that_overtook_the_change_of_trust_begins_when_the_change_is_heard_of(scene: Scene) -> None:
    ready(scene)
    order = an_order(trusted=False)
    scene.assign(order)
    assert kinds(scene.change_row(trusted=False)) == ["EnsurePresent"] * 3


def test_after_a_refusal_it_is_ready_again_by_itself(scene: Scene) -> None:
    ready(scene)
    scene.assign(an_order(trusted=False))
    scene.pass_time(9.9)
    assert len(scene.told(Ready)) == 1
    scene.pass_time(0.2)
    assert len(scene.told(Ready)) == 2


def test_an_order_for_an_architecture_the_slave_lacks_is_refused(scene: Scene) -> None:
    ready(scene)
    scene.assign(an_order(architecture="amd64"))
    assert "not for amd64" in the_refusal(scene).why
    assert not scene.told(BuilderTroubled)  # its families do not say that it had it


def test_a_builder_whose_families_were_changed_to_what_its_slave_lacks_is_not_ok_at_the_first_such_order(
    scene: Scene,
) -> None:
    ready(scene)
    scene.change_row(families=("amd64", "x86"), architectures=("amd64", "i386"))
    assert not [order for order in scene.orders if isinstance(order, Disconnect)]
    scene.assign(an_order(architecture="amd64"))
    assert "not for amd64" in the_refusal(scene).why
    (trouble,) = scene.told(BuilderTroubled)
    assert (trouble.kind, scene.core.stage) == (NotOkKind.MISFIT, Stage.AWAY)
    assert "it builds for i386, but the builder's families need amd64" in trouble.failnotes
    assert "`buildd-master builder set bob --family`" in trouble.failnotes


def test_a_build_in_hand_goes_on_though_its_builder_is_given_a_family_that_the_slave_lacks(scene: Scene) -> None:
    order = scene.begin_building()
    scene.change_row(families=("amd64", "x86"), architectures=("amd64", "i386"))
    assert scene.core.work is not None
    assert scene.core.work.order.attempt == order.attempt
    assert not [order for order in scene.orders if isinstance(order, Disconnect)]
    assert not scene.told(BuilderTroubled)


def test_an_order_for_an_earlier_life_is_refused(scene: Scene) -> None:
    ready(scene)
    scene.queue_says(Assign("bob", 0, an_order()))
    assert "earlier life" in the_refusal(scene).why


def test_an_order_for_a_busy_builder_is_refused_and_disturbs_nothing(scene: Scene) -> None:
    order = scene.begin_building()
    other = an_order()
    assert kinds(scene.assign(other)) == ["JobRefused"]
    assert str(order.attempt) in the_refusal(scene).why


def test_an_order_that_comes_twice_is_taken_once(scene: Scene) -> None:
    order = scene.begin_building()
    assert not scene.assign(order)
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL))
    scene.queue_says(Recorded("bob", 1, order.attempt))
    scene.slave_says(IDLE)
    assert not scene.assign(order)


def test_an_order_that_comes_before_the_session_is_held_and_then_built(scene: Scene) -> None:
    scene.begin()
    order = an_order()
    assert not scene.assign(order)
    assert kinds(scene.open_session())[-4:] == ["ProbePassed", *["EnsurePresent"] * 3]


def test_an_order_that_waits_for_a_session_in_vain_is_refused(scene: Scene) -> None:
    scene.begin()
    scene.assign(an_order())
    scene.pass_time(5)
    the_refusal(scene)


def test_content_that_the_librarian_lacks_is_nobodys_fault_and_not_asked_for_again_at_once(scene: Scene) -> None:
    ready(scene)
    scene.disk.full = True
    order = an_order()
    scene.assign(order)
    for message in [m for m in scene.sent() if isinstance(m, EnsurePresent)]:
        scene.slave_says(Present(message.id, have=False))
    assert the_refusal(scene).attempt == order.attempt
    assert not scene.told(Finished)
    assert len(scene.told(Ready)) == 1
    scene.pass_time(10)
    assert len(scene.told(Ready)) == 2


# --- the slave says no ----------------------------------------------------------------------------


def asked(scene: Scene) -> BuildOrder:
    """Come from nothing to a `Build` that was sent."""
    ready(scene)
    order = an_order()
    scene.assign(order)
    scene.all_present()
    return order


@pytest.mark.parametrize("code", [RejectionCode.NOT_IDLE, RejectionCode.NOT_CLEAN, RejectionCode.WRONG_ATTEMPT])
def test_a_slave_that_is_not_clean_as_promised_is_a_breach(scene: Scene, code: RejectionCode) -> None:
    asked(scene)
    scene.slave_says(Rejected(scene.last(Build).id, code, "busy"))
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.BREACH, False)


@pytest.mark.parametrize("code", [RejectionCode.MISSING_FILE, RejectionCode.BAD_ARGS, RejectionCode.UNKNOWN_BUILD_TYPE])
def test_any_other_rejection_is_a_failure_of_the_builder(scene: Scene, code: RejectionCode) -> None:
    asked(scene)
    scene.slave_says(Rejected(scene.last(Build).id, code, "foo.dsc"))
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.BUILDERFAIL, True)
    assert "foo.dsc" in end.text


def test_a_build_request_that_is_not_answered_in_30_seconds_is_lost_and_the_session_begun_anew(scene: Scene) -> None:
    order = asked(scene)
    for _ in range(3):
        scene.pass_time(10)
        scene.slave_says(IDLE) if scene.core.session.open else None
    assert the_end(scene).outcome is Outcome.LOST
    made = scene.queue_says(Recorded("bob", 1, order.attempt))
    assert any(isinstance(order, Disconnect) for order in made)
    assert not scene.count(Clean)


def test_a_push_that_stands_still_is_resumed_once_and_then_lost(scene: Scene) -> None:
    ready(scene)
    scene.assign(an_order())
    for _ in range(6):
        scene.pass_time(10)
        scene.slave_says(IDLE)
    assert scene.count(EnsurePresent) == 6
    for _ in range(6):
        scene.pass_time(10)
        scene.slave_says(IDLE)
    assert the_end(scene).outcome is Outcome.LOST


def test_a_push_that_the_slave_gives_up_is_tried_once_more(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    for _ in range(2):
        for message in [m for m in scene.sent() if isinstance(m, EnsurePresent)][-3:]:
            scene.slave_says(Present(message.id, have=False))
        scene.slave_says(PushFailed(order.chroot.sha256, RejectionCode.NO_SPACE, "cache is full"))
    end = the_end(scene)
    assert end.outcome is Outcome.BUILDERFAIL
    assert "cache is full" in end.text


# --- lies -----------------------------------------------------------------------------------------


def test_a_slave_that_names_another_attempt_is_a_breach(scene: Scene) -> None:
    scene.begin_building()
    scene.slave_says(building(uuid4()))
    assert the_end(scene).outcome is Outcome.BREACH


def test_a_log_of_another_attempt_is_a_breach(scene: Scene) -> None:
    scene.begin_building()
    scene.slave_says(Log(str(uuid4()), 0, b"?"))
    assert the_end(scene).outcome is Outcome.BREACH


def test_a_slave_that_builds_before_it_was_asked_is_a_breach(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    scene.slave_says(building(order.attempt))
    assert the_end(scene).outcome is Outcome.BREACH


def test_a_log_with_a_gap_is_a_failure_of_the_builder(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(Log(str(order.attempt), 5, b"?"))
    assert the_end(scene).outcome is Outcome.BUILDERFAIL
    assert "jumped from byte 0 to 5" in the_end(scene).text


def test_a_log_without_end_is_a_failure_of_the_builder(scene: Scene) -> None:
    order = scene.begin_building()
    assert scene.core.work is not None
    scene.core.work._log.limit = 10
    scene.slave_says(Log(str(order.attempt), 0, b"12345678"))
    scene.slave_says(Log(str(order.attempt), 8, b"9ab"))
    assert the_end(scene).outcome is Outcome.BUILDERFAIL
    assert bytes(scene.disk.logs[order.attempt]) == b"12345678"


def test_a_slave_that_drops_the_build_is_a_failure_of_the_builder(scene: Scene) -> None:
    scene.begin_building()
    scene.slave_says(IDLE)
    assert the_end(scene).outcome is Outcome.BUILDERFAIL


def test_a_slave_that_builds_again_after_the_end_is_a_failure_of_the_builder(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, files=announced(results_of_foo())))
    scene.slave_says(building(order.attempt))
    assert the_end(scene).outcome is Outcome.BUILDERFAIL


def test_an_acknowledgement_of_bytes_that_were_not_sent_is_a_failure_of_the_builder(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    for message in [m for m in scene.sent() if isinstance(m, EnsurePresent)]:
        scene.slave_says(Present(message.id, have=False))
    scene.slave_says(ChunkAck(order.chroot.sha256, 4))
    assert the_end(scene).outcome is Outcome.BUILDERFAIL


def test_a_slave_that_breaks_the_protocol_in_mid_build_has_failed_at_once(scene: Scene) -> None:
    scene.begin_building()
    scene.fail("frame of 4294967295 bytes announced", lied=True)
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.BUILDERFAIL, False)
    assert "4294967295" in end.text


def test_a_slave_that_lied_gets_a_new_session_before_anything_else(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(building(uuid4()))
    made = scene.queue_says(Recorded("bob", 1, order.attempt))
    assert any(isinstance(order, Disconnect) for order in made)
    assert scene.core.stage is Stage.AWAY


# --- connections that break -----------------------------------------------------------------------


def test_a_connection_resumed_within_5_seconds_goes_on_without_blame(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(Log(str(order.attempt), 0, b"abc"))
    scene.pass_time(12)
    scene.slave_says(building(order.attempt))
    break_for(scene, 4)
    scene.open_session(building(order.attempt, log_size=9))
    assert scene.last(LogFrom) == LogFrom(str(order.attempt), 3)
    scene.pass_time(10)
    assert not scene.told(Finished)
    assert not scene.told(BuilderTroubled)
    assert scene.count(Build) == 1


def test_a_connection_not_resumed_within_5_seconds_loses_the_attempt(scene: Scene) -> None:
    scene.begin_building()
    scene.pass_time(12)
    scene.fail("connection reset by peer")
    scene.pass_time(0)
    scene.grant()
    scene.fail()
    scene.pass_time(1)
    scene.fail()
    scene.pass_time(3.9)
    assert not scene.told(Finished)
    scene.pass_time(0.1)
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.LOST, False)


def test_a_queue_actor_that_grants_no_session_costs_nobody_an_attempt(scene: Scene) -> None:
    order = scene.begin_building()
    scene.pass_time(12)
    break_for(scene, 60)
    assert not scene.told(Finished)
    scene.open_session(building(order.attempt))
    scene.pass_time(10)
    assert not scene.told(Finished)


def test_a_break_before_the_acceptance_asks_again_if_the_slave_is_idle(scene: Scene) -> None:
    order = asked(scene)
    break_for(scene, 1)
    scene.open_session()
    scene.all_present()
    scene.accept(order.attempt)
    assert scene.count(Build) == 2
    assert len(scene.told(Started)) == 1


def test_a_break_before_the_acceptance_follows_if_the_slave_builds(scene: Scene) -> None:
    order = asked(scene)
    break_for(scene, 1)
    scene.open_session(building(order.attempt))
    assert scene.count(Build) == 1
    assert len(scene.told(Started)) == 1
    assert scene.count(LogFrom) == 1


def test_a_build_that_ended_while_nobody_listened_is_gathered(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    break_for(scene, 1)
    scene.open_session(waiting(order.attempt, files=announced(results)))
    assert scene.count(Fetch) == 1
    scene.hand_out(results)
    assert the_end(scene).outcome is Outcome.OK


def test_a_fetch_goes_on_at_its_offset_after_a_break(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    status = waiting(order.attempt, files=announced(results))
    scene.slave_says(status)
    name, content = next(iter(results.items()))
    scene.slave_says(FetchData(scene.last(Fetch).id, 0, content[:2], last=False))
    break_for(scene, 1)
    scene.open_session(status)
    assert (scene.last(Fetch).name, scene.last(Fetch).offset) == (name, 2)
    scene.hand_out(results)
    assert the_end(scene).outcome is Outcome.OK


def test_a_slave_that_comes_back_without_the_build_has_lost_it(scene: Scene) -> None:
    scene.begin_building()
    break_for(scene, 1)
    scene.open_session(IDLE)
    assert the_end(scene).outcome is Outcome.LOST


def test_a_slave_that_comes_back_with_another_attempt_is_a_breach(scene: Scene) -> None:
    scene.begin_building()
    break_for(scene, 1)
    scene.open_session(building(uuid4()))
    assert the_end(scene).outcome is Outcome.BREACH


def test_what_is_recorded_while_the_slave_is_away_is_cleaned_when_it_comes_back(scene: Scene) -> None:
    order = reported(scene)
    break_for(scene, 1)
    scene.queue_says(Recorded("bob", 1, order.attempt))
    made = scene.open_session(waiting(order.attempt, WireOutcome.PACKAGEFAIL))
    assert kinds(made)[-1] == "Clean"
    assert not scene.told(AdoptionWanted)


# --- adoption -------------------------------------------------------------------------------------


def adopting(scene: Scene, status: Status) -> None:
    scene.begin()
    scene.open_session(status)


def test_a_slave_that_holds_an_attempt_is_asked_about_until_there_is_an_answer(scene: Scene) -> None:
    order = an_order()
    adopting(scene, building(order.attempt))
    assert scene.told(AdoptionWanted) == [AdoptionWanted("bob", 1, 1, order.attempt)]
    scene.pass_time(4.1)
    assert len(scene.told(AdoptionWanted)) == 3
    assert not scene.told(Ready)


def test_an_adopted_build_is_followed_from_where_the_log_ends_here(scene: Scene) -> None:
    order = an_order()
    scene.disk.logs[order.attempt] = bytearray(b"12345")
    adopting(scene, building(order.attempt, log_size=9))
    made = scene.queue_says(Adopt("bob", 1, order))
    assert "ProbePassed" in kinds(made)
    assert scene.last(LogFrom) == LogFrom(str(order.attempt), 5)
    scene.slave_says(Log(str(order.attempt), 3, b"45678"))
    assert scene.disk.logs[order.attempt] == b"12345678"
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, log_size=8))
    assert the_end(scene).outcome is Outcome.PACKAGEFAIL
    assert not scene.count(Build)


def test_an_adopted_build_that_has_ended_is_gathered(scene: Scene) -> None:
    order = an_order()
    results = results_of_foo()
    adopting(scene, waiting(order.attempt, files=announced(results)))
    scene.queue_says(Adopt("bob", 1, order))
    assert scene.told(GatheringStarted)
    scene.hand_out(results)
    assert the_end(scene).outcome is Outcome.OK


def test_a_slave_that_is_gone_is_told_of_with_the_attempt_whose_end_will_be_reported(scene: Scene) -> None:
    scene.begin()
    for _ in range(3):
        scene.fail()
        scene.pass_time(12)
        if scene.core.session.state is SessionState.ASKING:
            scene.grant()
    (nothing_in_hand,) = scene.told(BuilderTroubled)
    assert nothing_in_hand.attempt is None
    held = an_order()
    scene.assign(held)
    scene.slave_says(scene.welcome(IDLE))
    scene.fail("it lied", lied=True)
    assert scene.told(BuilderTroubled)[-1].attempt == held.attempt


def test_an_attempt_in_hand_is_named_when_its_slave_is_not_to_be_believed(scene: Scene) -> None:
    order = scene.begin_building()
    scene.fail("it lied", lied=True)
    assert [told.attempt for told in scene.told(BuilderTroubled)] == [order.attempt]


def test_an_attempt_that_was_refused_is_not_adopted_but_refused_again(scene: Scene) -> None:
    order = an_order()
    adopting(scene, building(order.attempt))
    scene.queue_says(Assign("bob", 0, order))
    assert the_refusal(scene).attempt == order.attempt
    scene.queue_says(Adopt("bob", 1, order))
    assert scene.core.work is None
    assert [told.attempt for told in scene.told(JobRefused)] == [order.attempt] * 2
    assert kinds(scene.queue_says(Disown("bob", 1, order.attempt, "closed"))) == ["Abort"]


def test_an_assignment_repeated_to_a_new_life_adopts_what_the_slave_builds(scene: Scene) -> None:
    order = an_order()
    scene.begin()
    scene.assign(order)
    scene.open_session(building(order.attempt))
    assert scene.core.work is not None
    assert scene.core.work.stage is AttemptStage.BUILDING
    assert not scene.count(Build)


def test_a_disowned_build_is_aborted_cleaned_and_the_builder_ready(scene: Scene) -> None:
    attempt = uuid4()
    adopting(scene, building(attempt))
    assert kinds(scene.queue_says(Disown("bob", 1, attempt, "closed"))) == ["Abort"]
    scene.slave_says(Status(SlaveState.ABORTING, str(attempt)))
    assert kinds(scene.slave_says(waiting(attempt, WireOutcome.ABORTED))) == ["Clean"]
    assert kinds(scene.slave_says(IDLE)) == ["ProbePassed", "Ready"]
    assert not scene.told(Finished)


def test_disowned_remains_are_cleaned(scene: Scene) -> None:
    attempt = uuid4()
    adopting(scene, waiting(attempt, WireOutcome.OK))
    assert kinds(scene.queue_says(Disown("bob", 1, attempt, "closed"))) == ["Clean"]


def test_an_adopted_build_keeps_the_trust_it_was_claimed_with(scene: Scene) -> None:
    order = an_order(trusted=False)
    adopting(scene, building(order.attempt))
    scene.queue_says(Adopt("bob", 1, order))
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL))
    assert the_end(scene).outcome is Outcome.PACKAGEFAIL


# --- fences and cancellations ---------------------------------------------------------------------


@pytest.mark.parametrize("fence", [FencedOff, Disown])
def test_a_fenced_build_is_aborted_and_cleaned_and_nothing_is_reported(scene: Scene, fence: type) -> None:
    order = scene.begin_building()
    words = {"why": "trust was lowered"} if fence is Disown else {}
    assert kinds(scene.queue_says(fence("bob", 1, order.attempt, **words))) == ["Abort"]
    assert kinds(scene.slave_says(waiting(order.attempt, WireOutcome.ABORTED))) == ["Clean"]
    assert kinds(scene.slave_says(IDLE)) == ["Ready"]
    assert not scene.told(Finished)


def test_what_is_fenced_before_the_build_is_dropped(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    assert kinds(scene.queue_says(FencedOff("bob", 1, order.attempt))) == ["Ready"]
    assert not scene.count(Build)


def test_what_is_fenced_before_the_answer_to_the_build_is_aborted_in_either_case(scene: Scene) -> None:
    order = asked(scene)
    assert kinds(scene.queue_says(FencedOff("bob", 1, order.attempt))) == ["Abort"]
    assert not scene.slave_says(IDLE)
    assert not scene.slave_says(Rejected(scene.last(Build).id, RejectionCode.MISSING_FILE, ""))
    assert "Ready" in kinds(scene.slave_says(Rejected(scene.last(Abort).id, RejectionCode.NOT_BUILDING, "")))


def test_results_that_lost_the_race_are_cleaned_unrecorded(scene: Scene) -> None:
    order = reported(scene)
    made = scene.queue_says(FencedOff("bob", 1, order.attempt))
    assert kinds(made) == ["Clean"]
    assert LetGo(order.attempt, log_recorded=False) in made


def test_a_fenced_build_on_a_slave_that_is_away_is_aborted_when_it_comes_back(scene: Scene) -> None:
    order = scene.begin_building()
    break_for(scene, 1)
    scene.queue_says(FencedOff("bob", 1, order.attempt))
    scene.pass_time(30)
    assert not scene.told(Finished)
    assert kinds(scene.open_session(building(order.attempt)))[-1] == "Abort"


def test_a_cancelled_build_is_aborted_and_reported(scene: Scene) -> None:
    order = scene.begin_building()
    assert kinds(scene.queue_says(Cancel("bob", 1, order.attempt))) == ["Abort"]
    assert not scene.told(Finished)
    scene.slave_says(waiting(order.attempt, WireOutcome.ABORTED))
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.ABORTED, True)


def test_a_cancellation_is_carried_out_when_a_slave_that_was_away_is_back(scene: Scene) -> None:
    order = scene.begin_building()
    break_for(scene, 1)
    scene.queue_says(Cancel("bob", 1, order.attempt))
    assert not scene.count(Abort)
    assert kinds(scene.open_session(building(order.attempt)))[-1] == "LogFrom"
    assert scene.count(Abort) == 1
    scene.slave_says(waiting(order.attempt, WireOutcome.ABORTED))
    assert the_end(scene).outcome is Outcome.ABORTED


def test_a_build_cancelled_while_its_files_are_pushed_is_reported_at_once(scene: Scene) -> None:
    ready(scene)
    order = an_order()
    scene.assign(order)
    scene.queue_says(Cancel("bob", 1, order.attempt))
    assert the_end(scene).outcome is Outcome.ABORTED
    assert kinds(scene.queue_says(Recorded("bob", 1, order.attempt))) == ["Ready"]


def test_a_slave_that_does_not_abort_is_pressed_after_10_seconds_and_given_up_after_60_more(scene: Scene) -> None:
    order = scene.begin_building()
    scene.queue_says(Cancel("bob", 1, order.attempt))
    still = building(order.attempt)
    for _ in range(7):
        assert not scene.told(Finished)
        scene.pass_time(10)
        scene.slave_says(still) if scene.core.session.open else None
    assert scene.count(Abort) == 2
    end = the_end(scene)
    assert (end.outcome, end.slave_usable) == (Outcome.ABORTED, False)


def test_a_build_that_exceeds_its_wall_time_is_stopped_and_timed_out(scene: Scene) -> None:
    order = scene.begin_building(an_order(wall_seconds=100.0))
    for _ in range(22):
        scene.pass_time(10)
        scene.slave_says(building(order.attempt))
    assert scene.count(Abort) == 1
    scene.slave_says(waiting(order.attempt, WireOutcome.ABORTED))
    assert the_end(scene).outcome is Outcome.TIMEOUT


# --- this machine's disk, restarts, the end --------------------------------------------------------


def test_a_refusal_that_the_queue_actor_lost_is_told_again_when_it_assigns_again(scene: Scene) -> None:
    scene.begin()
    order = an_order()
    scene.assign(order)  # there is no session, and for a while it is held
    scene.pass_time(5.0)
    (refused,) = scene.told(JobRefused)
    assert kinds(scene.assign(order)) == ["JobRefused"]
    assert scene.told(JobRefused) == [refused, refused]


def test_the_end_of_a_log_that_could_not_be_written_is_not_left_out(scene: Scene) -> None:
    order = scene.begin_building()
    obey = scene.disk.obey

    def without_room(ordered: Order, at: float) -> Event | None:
        if isinstance(ordered, AppendLog):
            return LibrarianRefused(at, order.attempt, Store.LOG, "no space left on device")
        return obey(ordered, at)

    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL, log_size=5))
    scene.disk.obey = without_room  # type: ignore[assignment,method-assign]
    scene.slave_says(Log(str(order.attempt), 0, b"whole"))  # the last of it: it would be stored, as it is, at once
    assert scene.told(Finished) == []
    scene.disk.obey = obey  # type: ignore[method-assign]
    scene.pass_time(10.0)
    scene.slave_says(Log(str(order.attempt), 0, b"whole"))
    (end,) = scene.told(Finished)
    assert end.log is not None
    assert end.log.content == stored(b"whole")


def test_a_full_disk_pauses_log_and_results_and_blames_nobody(scene: Scene) -> None:
    order = scene.begin_building()
    results = results_of_foo()
    scene.disk.full = True
    scene.slave_says(Log(str(order.attempt), 0, b"12345"))
    status = waiting(order.attempt, files=announced(results), log_size=5)
    scene.slave_says(status)
    scene.hand_out(results)
    for _ in range(10):
        scene.pass_time(10)
        scene.slave_says(status)
        if isinstance(scene.sent()[-1], Fetch):
            scene.slave_says(FetchData(scene.last(Fetch).id, 0, b"a", last=False))
    assert not scene.told(Finished)
    told = scene.told(DiskRefused)
    assert (told[0].attempt, told[0].why) == (order.attempt, "no space left on device")
    assert len(told) > 10, "each time"
    scene.disk.full = False
    scene.pass_time(10)
    scene.hand_out(results)
    scene.slave_says(Log(str(order.attempt), 0, b"12345"))
    assert the_end(scene).outcome is Outcome.OK
    assert scene.disk.logs[order.attempt] == b"12345"


def test_a_restarted_queue_actor_is_asked_about_the_running_build_and_keeps_it_running(scene: Scene) -> None:
    order = scene.begin_building()
    assert kinds(scene.happen(QueueReplaced(scene.at))) == ["ProbePassed", "AdoptionWanted"]
    assert not kinds(scene.queue_says(Adopt("bob", 1, order)))
    assert scene.core.work is not None


def test_a_restarted_queue_actor_is_told_the_end_again(scene: Scene) -> None:
    reported(scene)
    assert kinds(scene.happen(QueueReplaced(scene.at))) == ["ProbePassed", "Finished"]


def test_an_untrusted_build_goes_on_when_the_builder_becomes_trusted() -> None:
    scene = Scene()
    scene.begin()
    scene.open_session()
    scene.change_row(trusted=False)
    order = an_order(trusted=False)
    scene.assign(order)
    scene.all_present()
    scene.accept(order.attempt)
    assert not kinds(scene.change_row(trusted=True))
    scene.slave_says(waiting(order.attempt, WireOutcome.PACKAGEFAIL))
    assert the_end(scene).outcome is Outcome.PACKAGEFAIL
    assert kinds(scene.queue_says(Recorded("bob", 1, order.attempt))) == ["Clean"]


def test_a_retired_builder_aborts_ends_the_session_and_leaves(scene: Scene) -> None:
    scene.begin_building()
    made = scene.happen(Retired(scene.at))
    assert kinds(made) == ["Abort"]
    assert isinstance(made[-1], Leave)
    assert not scene.slave_says(IDLE)


def test_an_impossible_step_carries_the_story() -> None:
    with pytest.raises(ImpossibleStep, match="while idle: no such step as 'a closed attempt must be cleaned'") as error:
        next_stage(Stage.IDLE, Step.CLEAN, ("1.000 Begun",))
    assert error.value.story == ("1.000 Begun",)


def test_it_says_in_words_what_it_is_thinking(scene: Scene) -> None:
    order = scene.begin_building()
    words = dict(scene.core.described())
    assert words["stage"] == "working/building"
    assert words["attempt"] == str(order.attempt)
    assert words["slave"] == f"BUILDING {order.attempt}"


def test_probes_are_told_of_once_a_session(scene: Scene) -> None:
    order = reported(scene)
    scene.queue_says(Recorded("bob", 1, order.attempt))
    scene.slave_says(IDLE)
    assert len(scene.told(ProbePassed)) == 1
    assert scene.core.session.state is SessionState.OPEN
    assert sum(isinstance(order, Connect) for order in scene.orders) == 1
    assert not [trouble for trouble in scene.told(BuilderTroubled) if trouble.kind is NotOkKind.BREACH]


# --- the packages among the results ---------------------------------------------------------------


def packages_of(*controls: bytes, arch: str = "i386") -> dict[str, bytes]:
    """Return results: `.deb`s of which the disk of these tests says that they are their own control files."""
    debs = {f"p{number}_{arch}.deb": control for number, control in enumerate(controls)}
    return debs | {"foo.changes": changes_of(debs, arch=arch)}


def test_the_packages_among_the_results_are_told(scene: Scene) -> None:
    end = gathered(scene, packages_of(CONTROL, CONTROL.replace(b": foo", b": bar")))
    provides = ("editor", "foo-abi (= 3)")
    assert end.outcome is Outcome.OK
    assert end.packages == tuple(records.BinaryPackage(name, "1.0-1", "i386", provides) for name in ("foo", "bar"))


def test_results_without_a_package_are_right(scene: Scene) -> None:
    debs = {"foo.buildinfo": b"text"}
    end = gathered(scene, debs | {"foo.changes": changes_of(debs)})
    assert (end.outcome, end.packages) == (Outcome.OK, ())


@pytest.mark.parametrize(
    ("control", "words"),
    [
        (b"a deb", "p0_i386.deb is of a package named ''"),
        (CONTROL.replace(b"i386", b"amd64"), "p0_i386.deb is of architecture 'amd64', ordered was i386"),
        (CONTROL + b"\xff", "p0_i386.deb has a control file that can't be read"),
    ],
)
def test_a_package_that_is_none_is_not_verified(scene: Scene, control: bytes, words: str) -> None:
    end = gathered(scene, packages_of(control, CONTROL))
    assert (end.outcome, end.packages) == (Outcome.UNVERIFIED, ())
    assert words in end.text
    assert end.text.isprintable()


def test_packages_are_read_again_after_a_reconnect_and_each_counts_once(scene: Scene) -> None:
    order = scene.begin_building()
    results = packages_of(CONTROL, CONTROL.replace(b": foo", b": bar"))
    scene.disk.slow = True
    scene.slave_says(waiting(order.attempt, files=announced(results)))
    scene.hand_out(results)
    break_for(scene, 1)
    scene.open_session(waiting(order.attempt, files=announced(results)))
    first, again = scene.disk.owed
    for event in (first, again):
        scene.happen(event)
    assert len(scene.disk.owed) == 3  # and the next package was asked for once
    scene.happen(scene.disk.owed[-1])
    assert [package.name for package in the_end(scene).packages] == ["foo", "bar"]


def test_packages_that_are_read_for_long_are_progress(scene: Scene) -> None:
    order = scene.begin_building()
    results = packages_of(*(CONTROL for _ in range(5)))
    scene.disk.slow = True
    scene.slave_says(waiting(order.attempt, files=announced(results)))
    scene.hand_out(results)
    for _ in range(5):
        for _ in range(11):
            scene.pass_time(5.0)
            scene.slave_says(Status(SlaveState.WAITING, str(order.attempt), outcome=WireOutcome.OK))
        scene.happen(replace(scene.disk.owed[-1], at=scene.at))
    assert the_end(scene).outcome is Outcome.OK


def test_dependencies_are_told_in_whole_printable_lines(scene: Scene) -> None:
    order = scene.begin_building()
    scene.slave_says(waiting(order.attempt, WireOutcome.DEPFAIL, dependencies=("b (>= 1), c", "a\0b", "c")))
    assert the_end(scene).dependencies == ("b (>= 1)", "c", "a\N{REPLACEMENT CHARACTER}b")

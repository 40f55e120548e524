"""What every slave keeps to, the simulated and the real one: slave-protocol.md, sentence by sentence.

What does not depend on frames, sessions and pushes a launchpad-buildd slave keeps to as well, behind the farm's link to it.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest

from protocol import codec
from protocol.messages import (
    CHUNK,
    HEARTBEAT_SECONDS,
    WINDOW,
    Abort,
    Accepted,
    Build,
    ChunkAck,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    Heartbeat,
    LogFrom,
    Present,
    PushFailed,
    PutChunk,
    RefusalCode,
    Refused,
    Rejected,
    RejectionCode,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from protocol.transfer import Push
from tests.fix_slaves import ARCHITECTURE, MasterClient, SlaveUnderContract, epochs, new_attempt

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

OTHER_FARM = "6f0d7c1e-6a0c-4d6e-9a52-5c9f5b7c0099"


def code_of(answer: object) -> RejectionCode:
    assert isinstance(answer, Rejected), answer
    assert answer.text
    return answer.code


def end_of(slave: SlaveUnderContract, master: MasterClient, source: str) -> Status:
    attempt = slave.start(master, source)
    status = master.wait_state(SlaveState.WAITING)
    assert status.attempt == attempt
    return status


# -- hello -----------------------------------------------------------------------------------------------------------
def test_a_welcome_says_what_the_slave_is(any_slave: SlaveUnderContract) -> None:
    with any_slave.connect() as master:
        welcome = master.hello(any_slave.token)
    assert isinstance(welcome, Welcome)
    assert (welcome.version, welcome.slave) == (1, "contract")
    assert ARCHITECTURE in welcome.architectures
    assert "binarypackage" in welcome.build_types
    assert welcome.backend in {"host", "simulated"}
    assert welcome.free_disk > 0
    assert welcome.status.state is SlaveState.IDLE


@pytest.mark.parametrize(
    ("greeting", "code", "words"),
    [
        ({"versions": (2, 3)}, RefusalCode.WRONG_VERSION, "2, 3"),
        ({"versions": ()}, RefusalCode.WRONG_VERSION, "version"),
        ({"token": "guessed"}, RefusalCode.WRONG_TOKEN, "token"),
        ({"token": None}, RefusalCode.WRONG_TOKEN, "token"),
        ({"farm": OTHER_FARM}, RefusalCode.WRONG_FARM, OTHER_FARM),
        ({"epoch": 0}, RefusalCode.STALE_EPOCH, "epoch 0"),
    ],
)
def test_a_wrong_greeting_is_refused_and_disturbs_no_session(
    any_slave: SlaveUnderContract, greeting: dict[str, Any], code: RefusalCode, words: str
) -> None:
    with any_slave.master() as master, any_slave.connect() as stranger:
        refused = stranger.hello(**({"token": any_slave.token} | greeting))
        assert isinstance(refused, Refused)
        assert refused.code is code
        assert words in refused.text
        stranger.wait_gone()
        assert master.ask(Echo, b"still here?") == EchoReply(1, b"still here?")


def test_the_same_epoch_does_not_open_a_second_session(any_slave: SlaveUnderContract) -> None:
    epoch = next(epochs)
    with any_slave.connect() as first, any_slave.connect() as second:
        assert isinstance(first.hello(any_slave.token, epoch=epoch), Welcome)
        refused = second.hello(any_slave.token, epoch=epoch)
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.STALE_EPOCH
        assert isinstance(first.ask(Echo, b""), EchoReply)


def test_a_new_session_ends_the_old_one(any_slave: SlaveUnderContract) -> None:
    with any_slave.master() as old, any_slave.master() as new:
        old.wait_gone()
        assert isinstance(new.ask(Echo, b""), EchoReply)


def test_a_probe_comes_back_unchanged(any_slave: SlaveUnderContract) -> None:
    probe = bytes(range(256)) * 256
    with any_slave.master() as master:
        assert master.ask(Echo, probe) == EchoReply(1, probe)
        assert master.ask(Echo, b"") == EchoReply(2, b"")


@pytest.mark.slow
def test_a_quiet_slave_says_that_it_is_still_there(any_slave: SlaveUnderContract) -> None:
    with any_slave.master() as master:
        began = time.monotonic()
        while not isinstance(event := master.connection.next_event(), Heartbeat):
            assert not isinstance(event, Status)
            master.connection.receive_data(master.socket.recv(4096))
        assert HEARTBEAT_SECONDS - 1 < time.monotonic() - began < 1.7 * HEARTBEAT_SECONDS


# -- files -----------------------------------------------------------------------------------------------------------
def test_a_file_is_pushed_once(any_slave: SlaveUnderContract) -> None:
    content = new_attempt().encode() + bytes((WINDOW + 4) * CHUNK)
    with any_slave.master() as master:
        assert (before := master.ensure_present(content)) == Present(before.id, have=False, offset=0)
        assert master.push(content) == ChunkAck(hashlib.sha256(content).hexdigest(), len(content))
        assert (after := master.ensure_present(content)) == Present(after.id, have=True)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_files_of_every_size_arrive(any_slave: SlaveUnderContract, size: int) -> None:
    content = bytes(size)
    with any_slave.master() as master:
        assert master.push(content) == ChunkAck(hashlib.sha256(content).hexdigest(), size)
        assert master.ensure_present(content).have


def test_a_push_goes_on_where_the_broken_connection_left_it(any_slave: SlaveUnderContract) -> None:
    content = new_attempt().encode() + bytes(7 * CHUNK)
    with any_slave.master() as master:
        acknowledged = master.push(content, chunks=5)
        assert isinstance(acknowledged, ChunkAck)
        assert acknowledged.offset == 5 * CHUNK
    with any_slave.master() as master:
        assert master.ensure_present(content).offset == 5 * CHUNK
        assert master.push(content) == ChunkAck(hashlib.sha256(content).hexdigest(), len(content))
        assert master.ensure_present(content).have


def test_content_of_another_hash_is_refused_and_forgotten(any_slave: SlaveUnderContract) -> None:
    announced, content = bytes(300_000), b"x" * 300_000
    sha256 = hashlib.sha256(announced + new_attempt().encode()).hexdigest()
    with any_slave.master() as master:
        failed = master.push(content, sha256=sha256)
        assert isinstance(failed, PushFailed)
        assert (failed.sha256, failed.code) == (sha256, RejectionCode.HASH_MISMATCH)
        present = master.ask(EnsurePresent, sha256, len(content))
        assert isinstance(present, Present)
        assert (present.have, present.offset) == (False, 0)


def test_a_chunk_out_of_order_is_refused(any_slave: SlaveUnderContract) -> None:
    content = new_attempt().encode() * 10_000
    sha256 = hashlib.sha256(content).hexdigest()
    with any_slave.master() as master:
        master.ensure_present(content)
        master.say(PutChunk(sha256, 5, content[5:100]))
        failed = master.wait_for(PushFailed)
        assert (failed.sha256, failed.code) == (sha256, RejectionCode.BAD_OFFSET)
        assert isinstance(master.push(content), ChunkAck)


def test_chunks_that_were_on_their_way_when_a_push_failed_do_no_harm(any_slave: SlaveUnderContract) -> None:
    content = new_attempt().encode() + bytes(WINDOW * CHUNK)
    sha256 = hashlib.sha256(content).hexdigest()
    with any_slave.master() as master:
        master.ensure_present(content)
        spans = list(iter(Push(sha256, len(content)).take, None))
        assert len(spans) == WINDOW
        for span in spans[1:]:
            master.say(PutChunk(sha256, span.offset, content[span.offset : span.offset + span.length]))
        master.wait_for(PushFailed)
        assert isinstance(master.ask(Echo, b""), EchoReply)
        assert not master.ensure_present(content).have


# -- builds ----------------------------------------------------------------------------------------------------------
def test_a_build_runs_its_results_are_fetched_and_the_slave_is_cleaned(
    slave_of_any_dialect: SlaveUnderContract,
) -> None:
    with slave_of_any_dialect.master() as master:
        attempt = slave_of_any_dialect.start(master, "quick")
        status = master.wait_state(SlaveState.WAITING)
        assert (status.outcome, status.attempt) == (WireOutcome.OK, attempt)
        assert any(name.name.endswith(".deb") for name in status.files)
        assert any(name.name.endswith(".changes") for name in status.files)
        for file in status.files:
            content = master.fetch(attempt, file.name, file.size)
            assert slave_of_any_dialect.announced(content) == file.sha256
        assert isinstance(master.ask(Clean, attempt), Accepted)
        assert master.wait_state(SlaveState.IDLE) == Status(SlaveState.IDLE)
    phases = [status.phase for status in master.statuses if status.phase is not None]
    assert phases
    assert {status.attempt for status in master.statuses if status.state is not SlaveState.IDLE} == {attempt}


def test_a_build_that_fails_says_so(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        status = end_of(slave_of_any_dialect, master, "broken")
        assert status.outcome is WireOutcome.PACKAGEFAIL
        assert status.files == ()
        master.say(LogFrom(status.attempt or "", 0))
        master.status()
        while len(master.log) < status.log_size:
            master.hear()
    assert b"this package fails" in master.log


def test_a_build_goes_on_without_a_session(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        attempt = slave_of_any_dialect.start(master, "quick")
    with slave_of_any_dialect.master() as master:
        assert master.statuses[0].attempt == attempt
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.OK


def test_an_aborted_build_ends_and_the_slave_can_be_cleaned(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        attempt = slave_of_any_dialect.start(master, "slow")
        assert isinstance(master.ask(Abort, attempt), Accepted)
        status = master.wait_state(SlaveState.WAITING)
        assert (status.attempt, status.outcome, status.files) == (attempt, WireOutcome.ABORTED, ())
        assert SlaveState.ABORTING in [known.state for known in master.statuses]
        assert isinstance(master.ask(Clean, attempt), Accepted)
        assert master.wait_state(SlaveState.IDLE) == Status(SlaveState.IDLE)


def test_a_slave_that_was_killed_says_that_its_build_is_lost(any_slave: SlaveUnderContract) -> None:
    with any_slave.master() as master:
        attempt = any_slave.start(master, "slow")
        any_slave.restart()
    with any_slave.master() as master:
        status = master.status()
        assert (status.state, status.attempt) == (SlaveState.WAITING, attempt)
        assert (status.outcome, status.text) == (WireOutcome.BUILDERFAIL, "slave restarted during the build")
        assert isinstance(master.ask(Clean, attempt), Accepted)


# -- what does not fit changes nothing -------------------------------------------------------------------------------
BAD_ARGS: dict[str, dict[str, Any]] = {
    "no dsc": {"dsc": None},
    "a dsc that is not among the files": {"dsc": "other_1.dsc"},
    "an unknown argument": {"colour": "red"},
    "a number for a string": {"suite": 7},
    "an architecture of another machine": {"architecture": "s390x"},
    "no time at all": {"wall_seconds": 0},
}


@pytest.mark.parametrize("args", BAD_ARGS.values(), ids=BAD_ARGS.keys())
def test_a_build_with_bad_arguments_is_rejected(any_slave: SlaveUnderContract, args: dict[str, Any]) -> None:
    with any_slave.master() as master:
        any_slave.push_all(master, "quick")
        answer = master.ask(Build, *any_slave.order("quick", **args))
        assert code_of(answer) is RejectionCode.BAD_ARGS
        assert next(iter(args)) in str(answer)
        assert master.status() == Status(SlaveState.IDLE)


def test_a_build_of_an_unknown_type_is_rejected(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        attempt, _, *rest = slave_of_any_dialect.order("quick")
        answer = master.ask(Build, attempt, "livefs", *rest)
        assert code_of(answer) is RejectionCode.UNKNOWN_BUILD_TYPE
        assert "livefs" in str(answer)
        assert master.status() == Status(SlaveState.IDLE)


def test_a_build_with_a_missing_file_is_rejected_and_names_it(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        slave_of_any_dialect.push_all(master, "quick")
        attempt, build_type, chroot, files, args = slave_of_any_dialect.order("quick")
        lacking = hashlib.sha256(new_attempt().encode()).hexdigest()
        answer = master.ask(Build, attempt, build_type, chroot, files | {"lacking_1.tar.gz": lacking}, args)
        assert code_of(answer) is RejectionCode.MISSING_FILE
        assert "lacking_1.tar.gz" in str(answer)
        assert master.status() == Status(SlaveState.IDLE)


def test_a_busy_slave_takes_no_second_build(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        attempt = slave_of_any_dialect.start(master, "slow")
        assert code_of(master.ask(Build, *slave_of_any_dialect.order("slow"))) is RejectionCode.NOT_IDLE
        assert code_of(master.ask(Clean, attempt)) is RejectionCode.NOT_WAITING
        assert code_of(master.ask(Fetch, attempt, "slow_1.0_all.deb", 0)) is RejectionCode.NOT_WAITING
        assert code_of(master.ask(Abort, new_attempt())) is RejectionCode.WRONG_ATTEMPT
        assert (master.status().state, master.status().attempt) == (SlaveState.BUILDING, attempt)


def test_an_idle_slave_has_nothing_to_abort_clean_or_fetch(slave_of_any_dialect: SlaveUnderContract) -> None:
    with slave_of_any_dialect.master() as master:
        assert code_of(master.ask(Abort, new_attempt())) is RejectionCode.NOT_BUILDING
        assert code_of(master.ask(Clean, new_attempt())) is RejectionCode.NOT_WAITING
        assert code_of(master.ask(Fetch, new_attempt(), "a", 0)) is RejectionCode.NOT_WAITING
        assert master.status() == Status(SlaveState.IDLE)


def read_log(master: MasterClient, status: Status, offset: int) -> bytes:
    """Return the log from `offset` on; the client itself checks that it has no gap."""
    master.log = bytes(offset)
    master.say(LogFrom(status.attempt or "", offset))
    while len(master.log) < status.log_size:
        master.hear()
    return master.log[offset:]


def test_a_log_is_pushed_while_it_grows_and_goes_on_in_the_next_session(
    slave_of_any_dialect: SlaveUnderContract,
) -> None:
    with slave_of_any_dialect.master() as master:
        attempt = slave_of_any_dialect.start(master, "slow")
        master.say(LogFrom(attempt, 0))
        while not master.log:
            master.hear()
        known = master.log
    with slave_of_any_dialect.master() as master:
        master.log = known
        master.say(LogFrom(attempt, len(known)))
        master.ask(Abort, attempt)
        status = master.wait_state(SlaveState.WAITING)
        while len(master.log) < status.log_size:
            master.hear()
        assert master.log == read_log(master, status, 0)


# -- garbage does no harm --------------------------------------------------------------------------------------------
GARBAGE = {
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "an oversized frame": b"\xff\xff\xff\xff",
    "an empty frame": bytes(4),
    "no map": b"\x00\x00\x00\x02\x91\x01",
    "nested lists": b"\x00\x00\x10\x00" + b"\x91" * 4096,
    "an unknown message": b"\x00\x00\x00\x10\x81\xa7message\xa6Reboot",
    "an unfinished frame": b"\x00\x00\x10\x00\x81",
    "a slave's message": codec.encode(Accepted(1)),
}


@pytest.mark.parametrize("junk", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("greeted", [False, True], ids=["before", "after"])
def test_garbage_ends_its_own_session_and_nothing_else(
    any_slave: SlaveUnderContract, junk: bytes, greeted: bool
) -> None:
    with any_slave.master() as master:
        attempt = any_slave.start(master, "slow")
        with any_slave.master() if greeted else any_slave.connect() as fuzzer:
            fuzzer.say_bytes(junk)
            if junk is not GARBAGE["an unfinished frame"]:
                fuzzer.wait_gone()
        if not greeted:
            assert isinstance(master.ask(Echo, b""), EchoReply)
    with any_slave.master() as master:
        assert (master.status().state, master.status().attempt) == (SlaveState.BUILDING, attempt)


def test_a_silent_connection_keeps_nobody_out(any_slave: SlaveUnderContract) -> None:
    with any_slave.connect(), any_slave.connect(), any_slave.master() as master:
        assert isinstance(master.ask(Echo, b""), EchoReply)


def test_a_request_number_that_comes_twice_ends_the_session(any_slave: SlaveUnderContract) -> None:
    with any_slave.master() as master:
        assert isinstance(master.ask(Echo, b""), EchoReply)
        master.connection._last_request = 0
        master.say(Echo(1, b""))
        master.wait_gone()


# -- what a finished build leaves behind, from any offset ----------------------------------------------------------------
def test_a_slave_that_was_killed_keeps_farm_epoch_files_and_results(slave_with_results: SlaveUnderContract) -> None:
    any_slave = slave_with_results
    with any_slave.connect() as master:
        epoch = next(epochs)
        welcome = master.hello(any_slave.token, epoch=epoch)
        assert isinstance(welcome, Welcome)
        status = welcome.status
        any_slave.restart()
    with any_slave.connect() as stranger:
        refused = stranger.hello(any_slave.token, farm=OTHER_FARM)
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.WRONG_FARM
    with any_slave.connect() as old:
        refused = old.hello(any_slave.token, epoch=epoch)
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.STALE_EPOCH
    with any_slave.master() as master:
        assert master.statuses[0].files == status.files
        for file in status.files:
            content = master.fetch(status.attempt or "", file.name, file.size)
            assert hashlib.sha256(content).hexdigest() == file.sha256
        source = any_slave.sources["quick"]
        assert all(master.ensure_present(path.read_bytes()).have for path in source.files.values())


def test_a_slave_with_results_takes_no_second_build(any_dialect_with_results: SlaveUnderContract) -> None:
    any_slave = any_dialect_with_results
    with any_slave.master() as master:
        status = master.status()
        attempt, file = status.attempt or "", status.files[0]
        assert code_of(master.ask(Build, *any_slave.order("quick"))) is RejectionCode.NOT_CLEAN
        assert code_of(master.ask(Abort, attempt)) is RejectionCode.NOT_BUILDING
        assert code_of(master.ask(Clean, new_attempt())) is RejectionCode.WRONG_ATTEMPT
        assert code_of(master.ask(Fetch, new_attempt(), file.name, 0)) is RejectionCode.WRONG_ATTEMPT
        assert code_of(master.ask(Fetch, attempt, "passwd", 0)) is RejectionCode.NO_SUCH_FILE
        assert code_of(master.ask(Fetch, attempt, file.name, file.size + 1)) is RejectionCode.BAD_OFFSET
        assert master.status() == status


def test_a_log_can_be_had_from_any_offset(any_dialect_with_results: SlaveUnderContract) -> None:
    with any_dialect_with_results.master() as master:
        status = master.status()
        assert master.log == b""  # nobody asked
        whole = read_log(master, status, 0)
        assert len(whole) == status.log_size > 10
    for offset in (1, len(whole) // 2, len(whole) - 1):
        with any_dialect_with_results.master() as master:
            assert read_log(master, status, offset) == whole[offset:]


def test_a_log_beyond_its_end_or_of_another_attempt_is_not_pushed(any_dialect_with_results: SlaveUnderContract) -> None:
    with any_dialect_with_results.master() as master:
        status = master.status()
        master.say(LogFrom(status.attempt or "", status.log_size + 1), LogFrom(new_attempt(), 0))
        assert isinstance(master.ask(Echo, b""), EchoReply)
        assert master.log == b""


def test_a_result_can_be_fetched_from_any_offset(any_dialect_with_results: SlaveUnderContract) -> None:
    with any_dialect_with_results.master() as master:
        status = master.status()
        file = max(status.files, key=lambda file: file.size)
        whole = master.fetch(status.attempt or "", file.name, file.size)
    for offset in (1, file.size // 2, file.size - 1, file.size):
        with any_dialect_with_results.master() as master:
            assert master.fetch(status.attempt or "", file.name, file.size, offset=offset) == whole[offset:]

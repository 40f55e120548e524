from __future__ import annotations

import gc
import hashlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import RemoteProtocolError
from protocol.messages import (
    Abort,
    Accepted,
    Build,
    ChunkAck,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    FetchData,
    Hello,
    LogFrom,
    Phase,
    Present,
    PushFailed,
    RejectionCode,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from simulation.slaves import lies
from simulation.slaves.buildd.host import TOKEN, SlaveHost
from simulation.slaves.buildd.slave import SimulatedSlave
from simulation.slaves.results import identity, tiny_deb
from simulation.slaves.script import PHASES, Act, Conduct, Script, Twist
from tests.fix_slaves import FARM, Gone, MasterClient, new_attempt
from tests.waiting import wait_until

CHROOT = hashlib.sha256(b"chroot").hexdigest()
DSC = b"Format: 3.0 (native)\nSource: foo\nVersion: 1:1.0-2\n"


def order(dsc: str = "foo_1.0-2.dsc", content: bytes = DSC) -> tuple[str, str, str, dict[str, str], dict[str, Any]]:
    """Return the fields of a `Build` after its id, for `MasterClient.ask`."""
    args = {
        "dsc": dsc,
        "architecture": "i386",
        "arch_indep": False,
        "suite": "hoary",
        "trusted": True,
        "wall_seconds": 60,
    }
    return new_attempt(), "binarypackage", CHROOT, {dsc: hashlib.sha256(content).hexdigest()}, args


def master_of(slave: SimulatedSlave) -> MasterClient:
    """Return a master with an open session."""
    master = MasterClient(slave.port)
    assert isinstance(master.hello(TOKEN), Welcome)
    return master


def built(master: MasterClient, **known: Any) -> Status:
    """Push, build, and return the status at the end."""
    master.push(b"chroot")
    master.push(DSC)
    assert master.ask(Build, *order(**known)) == Accepted(master.connection._last_request)
    return master.wait_state(SlaveState.WAITING)


@pytest.mark.parametrize("outcome", WireOutcome)
def test_a_build_ends_as_its_conduct_says(slave_host: SlaveHost, outcome: WireOutcome) -> None:
    dependencies = ("libfoo-dev (>= 2)",) if outcome is WireOutcome.DEPFAIL else ()
    conduct = Conduct(outcome=outcome, text=f"ends as {outcome}", dependencies=dependencies)
    with master_of(slave_host.add("bob", Script(conducts=(conduct,)))) as master:
        status = built(master)
    assert (status.outcome, status.text, status.dependencies) == (outcome, f"ends as {outcome}", dependencies)
    assert bool(status.files) == (outcome is WireOutcome.OK)
    phases = [status.phase for status in master.statuses if status.phase]
    assert phases == [*PHASES]
    assert Phase.BUILD in phases


def test_results_are_a_real_package_that_the_changes_file_lists(slave_host: SlaveHost, tmp_path: Path) -> None:
    with master_of(slave_host.add("bob")) as master:
        status = built(master)
        results = {f.name: master.fetch(status.attempt or "", f.name, f.size) for f in status.files}
    assert sorted(results) == ["foo_1.0-2_i386.changes", "foo_1.0-2_i386.deb"]
    deb = tmp_path / "foo.deb"
    deb.write_bytes(results["foo_1.0-2_i386.deb"])
    shown = subprocess.run(["dpkg-deb", "-f", deb, "Package", "Version"], capture_output=True, text=True, check=True)
    assert shown.stdout == "Package: foo\nVersion: 1:1.0-2\n"
    subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, check=True)
    assert hashlib.sha256(deb.read_bytes()).hexdigest() in results["foo_1.0-2_i386.changes"].decode()


def test_source_and_version_come_from_the_dsc_or_else_from_its_name() -> None:
    assert identity("foo_1.0.dsc", b"Source: bar\nVersion: 3:2\n") == ("bar", "3:2")
    assert identity("foo_1.0.dsc", None) == ("foo", "1.0")
    assert len(tiny_deb("p", "1", "all")) % 2 == 0


def test_conducts_come_in_order_and_by_dsc(slave_host: SlaveHost) -> None:
    fails, good = Conduct(outcome=WireOutcome.PACKAGEFAIL), Conduct()
    slave = slave_host.add("bob", Script(conducts=(fails, good), by_dsc={"odd.dsc": fails}, has_everything=True))
    outcomes = []
    with master_of(slave) as master:
        for dsc in ("a.dsc", "a.dsc", "odd.dsc", "a.dsc"):
            assert isinstance(master.ask(Build, *order(dsc)), Accepted)
            status = master.wait_state(SlaveState.WAITING)
            outcomes.append(status.outcome)
            assert isinstance(master.ask(Clean, status.attempt), Accepted)
            master.wait_state(SlaveState.IDLE)
    assert outcomes == [WireOutcome.PACKAGEFAIL, WireOutcome.OK, WireOutcome.PACKAGEFAIL, WireOutcome.OK]


def test_a_build_that_hangs_is_aborted_or_finished(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(conducts=(Conduct(hangs=True),), has_everything=True))
    with master_of(slave) as master:
        attempt, *rest = order()
        master.ask(Build, attempt, *rest)
        assert isinstance(master.ask(Abort, attempt), Accepted)
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.ABORTED
        master.ask(Clean, attempt)
        master.ask(Build, *order())
        wait_until(lambda: any(isinstance(p.message, Status) and p.message.phase is Phase.COLLECT for p in slave.said))
        assert master.status().state is SlaveState.BUILDING
        slave_host.call(slave.finish)
        assert master.wait_state(SlaveState.WAITING).outcome is WireOutcome.OK


def test_a_deaf_build_accepts_the_abort_and_never_ends(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(conducts=(Conduct(hangs=True, deaf=True),), has_everything=True))
    with master_of(slave) as master:
        attempt, *rest = order()
        master.ask(Build, attempt, *rest)
        assert isinstance(master.ask(Abort, attempt), Accepted)
        assert isinstance(master.ask(Echo, b"?"), EchoReply)
        assert master.status().state is SlaveState.ABORTING


def test_what_was_heard_is_recorded_with_the_clock_of_the_machine(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob")
    before = time.monotonic()
    with master_of(slave) as master:
        built(master)
    after = time.monotonic()
    assert [type(passed.message) for passed in slave.heard][:2] == [Hello, EnsurePresent]
    (build,) = [passed for passed in slave.heard if isinstance(passed.message, Build)]
    assert before < build.at < after
    assert all(getattr(passed.message, "data", b"") == b"" for passed in (*slave.heard, *slave.said))


def test_it_goes_away_in_mid_build_and_comes_back_with_the_build_going_on(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(conducts=(Conduct(hangs=True),), has_everything=True))
    with master_of(slave) as master:
        attempt, *rest = order()
        master.ask(Build, attempt, *rest)
        slave_host.run(slave.go_away())
        master.wait_gone()
    with pytest.raises(ConnectionRefusedError):
        MasterClient(slave.port)
    slave_host.run(slave.start())
    with master_of(slave) as master:
        assert (master.status().state, master.status().attempt) == (SlaveState.BUILDING, attempt)


def test_a_restart_ends_the_build_that_ran(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(conducts=(Conduct(hangs=True),), has_everything=True))
    with master_of(slave) as master:
        attempt, *rest = order()
        master.ask(Build, attempt, *rest)
        slave_host.run(slave.restart())
        master.wait_gone()
    with master_of(slave) as master:
        status = master.status()
        assert (status.state, status.attempt) == (SlaveState.WAITING, attempt)
        assert (status.outcome, status.text) == (WireOutcome.BUILDERFAIL, "slave restarted during the build")
        master.say(LogFrom(attempt, 0))
        assert isinstance(master.ask(Clean, attempt), Accepted)
    assert master.log == b"simulated build\n"


def test_who_follows_one_log_is_not_sent_another_by_its_name(slave_host: SlaveHost) -> None:
    conducts = (Conduct(log=b"short\n"), Conduct(log=b"longer than the one before\n"))
    slave = slave_host.add("bob", Script(conducts=conducts, has_everything=True))
    with master_of(slave) as master:
        first, *rest = order()
        master.ask(Build, first, *rest)
        master.say(LogFrom(first, 0))
        master.wait_state(SlaveState.WAITING)
        assert isinstance(master.ask(Clean, first), Accepted)
        second, *rest = order()
        master.ask(Build, second, *rest)
        master.wait_state(SlaveState.WAITING)
        assert master.log == b"short\n"


# -- misbehaviour ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "on", [Hello, EnsurePresent, Build, Fetch, Clean, Welcome, Present, Accepted, FetchData, Status]
)
def test_it_drops_the_connection_at_any_given_point(slave_host: SlaveHost, on: type) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(on, Act.DROP),)))
    for _ in range(2):  # the twist is used up, the second session goes well
        try:
            with MasterClient(slave.port) as master:
                master.hello(TOKEN)
                held = master.status()
                status = held if held.state is SlaveState.WAITING else built(master)
                for file in status.files:
                    master.fetch(status.attempt or "", file.name, file.size)
                assert isinstance(master.ask(Clean, status.attempt), Accepted)
                break
        except (Gone, BrokenPipeError, ConnectionResetError):
            continue
    else:
        pytest.fail("never went well")
    assert slave.script.twists[0].times == 0
    assert slave._last_session == 2


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (Act.GARBAGE, "begins with 0xc1"),
        (Act.OVERSIZED, "frame of 1048577 bytes announced"),
        (Act.FLOOD, "answers request 1099511627776, which waits for no answer"),
    ],
)
def test_it_talks_nonsense_instead_of_an_answer(slave_host: SlaveHost, act: Act, words: str) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(Echo, act),)))
    with master_of(slave) as master, pytest.raises(RemoteProtocolError, match=words):
        master.ask(Echo, b"?")


def test_an_endless_frame_never_becomes_whole_and_keeps_bytes_coming(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(Echo, Act.ENDLESS),)))
    with master_of(slave) as master:
        master.say(Echo(master.next_id, b"?"))
        for _ in range(3):
            piece = master.socket.recv(100)
            assert piece
            master.connection.receive_data(piece)
            assert type(master.connection.next_event()).__name__ == "NeedData"


LIES = {
    "another attempt": (Status, lies.wrong_attempt),
    "other hashes": (Status, lies.wrong_hash),
    "other sizes": (Status, lies.wrong_size),
    "no results": (Status, lies.no_results),
    "other bytes": (FetchData, lies.other_bytes),
    "another architecture": (Welcome, lies.wrong_architecture),
    "another echo": (EchoReply, lies.wrong_echo),
}


@pytest.mark.parametrize(("on", "lie"), LIES.values(), ids=LIES.keys())
def test_a_lie_arrives_as_it_was_told(slave_host: SlaveHost, on: type, lie: Any) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(on, Act.LIE, times=99, lie=lie),), has_everything=True))
    with MasterClient(slave.port) as master:
        welcome = master.hello(TOKEN)
        assert isinstance(welcome, Welcome)
        reply = master.ask(Echo, b"probe")
        attempt, *rest = order()
        master.ask(Build, attempt, *rest)
        status = master.wait_state(SlaveState.WAITING)
        told = {
            Welcome: welcome.architectures == ("s390x",),
            EchoReply: isinstance(reply, EchoReply) and reply.data != b"probe",
            Status: status.attempt != attempt or status.files != slave.machine.record.files,
        }
        if on is FetchData:
            (deb,) = [file for file in status.files if file.name.endswith(".deb")]
            content = master.fetch(attempt, deb.name, deb.size)
            told[FetchData] = hashlib.sha256(content).hexdigest() != deb.sha256
        assert [kind for kind, true in told.items() if true] == [on]


@pytest.mark.parametrize(
    ("on", "lie", "words"),
    [
        (Welcome, lies.wrong_version, "version 99 chosen"),
        (EchoReply, lies.wrong_number, "which waits for no answer"),
        (Status, lies.a_path_for_a_name, "is no name of a file"),
    ],
)
def test_a_lie_that_breaks_the_protocol_is_told_all_the_same(
    slave_host: SlaveHost, on: type, lie: Any, words: str
) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(on, Act.LIE, lie=lie),)))

    def talk() -> None:
        master.hello(TOKEN)
        master.ask(Echo, b"?")
        master.status()

    with MasterClient(slave.port) as master, pytest.raises(RemoteProtocolError, match=words):
        talk()


def test_a_wrong_acknowledgement_is_told(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(ChunkAck, Act.LIE, lie=lies.wrong_offset),)))
    with master_of(slave) as master, pytest.raises(RemoteProtocolError, match="where no chunk on its way ends"):
        master.push(b"chroot")


def test_a_mute_slave_says_nothing_and_goes_on(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(Echo, Act.MUTE),)))
    with master_of(slave) as master:
        master.say(Echo(master.next_id, b"lost"))
        assert master.ask(Echo, b"kept") == EchoReply(2, b"kept")


@pytest.mark.parametrize("on", [Echo, EchoReply])
def test_a_delay_keeps_the_order(slave_host: SlaveHost, on: type) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(on, Act.DELAY, seconds=0.2),)))
    with master_of(slave) as master:
        before = time.monotonic()
        master.say(Echo(1, b"a"), Echo(2, b"b"))
        assert [master.hear(), master.hear()] == [EchoReply(1, b"a"), EchoReply(2, b"b")]
        assert time.monotonic() - before >= 0.2


def test_it_dies_and_nobody_listens(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(twists=(Twist(Build, Act.DIE),), has_everything=True))
    with master_of(slave) as master:
        master.say(Build(1, *order()))
        master.wait_gone()
    with pytest.raises(ConnectionRefusedError):
        MasterClient(slave.port)


def test_a_full_cache_takes_no_more(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob", Script(cache_limit=10))
    with master_of(slave) as master:
        failed = master.push(b"x" * 11)
        assert isinstance(failed, PushFailed)
        assert (failed.code, failed.text) == (RejectionCode.NO_SPACE, "11 bytes, but only 10 are free")
        assert isinstance(master.push(b"x" * 10), ChunkAck)


# -- as a process ----------------------------------------------------------------------------------------------------
def test_a_slave_that_stops_leaves_no_socket_open_that_its_master_does_not_read() -> None:
    _stop_with_a_flood_unsaid()
    gc.collect()  # a socket left open is an error, by `filterwarnings`


def test_a_slave_that_goes_away_leaves_no_socket_open_that_it_was_just_accepting(slave_host: SlaveHost) -> None:
    slave = slave_host.add("bob")
    for _ in range(100):
        with MasterClient(slave.port):
            slave_host.run(slave.go_away())
        slave_host.run(slave.start())
    gc.collect()


def _stop_with_a_flood_unsaid() -> None:
    with ExitStack() as still_connected, SlaveHost() as host:
        slave = host.add("bob", Script(twists=(Twist(on=Welcome, act=Act.FLOOD),)))
        master = MasterClient(slave.port)
        still_connected.callback(master.socket.close)
        master.say(Hello((1,), FARM, 1, TOKEN))
        wait_until(lambda: bool(slave.heard))
        master.say_bytes(b"\xff" * 8)  # its session ends, with all of the flood still to be said
        wait_until(lambda: not slave._sessions)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[dict[str, str], Path, subprocess.Popen[str]]]:
    """Twenty slaves in one process: their URLs, the record, the process."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    record = tmp_path / "record"
    command = [sys.executable, "-m", "simulation.slaves.buildd", "--count", "20", "--has-everything"]
    command += ["--token-file", str(tmp_path / "token"), "--record", str(record)]
    here = Path(__file__).parents[4]
    with subprocess.Popen(
        command, cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert select.select([child.stdout], [], [], 20)[0]
        ready, _, urls = child.stdout.readline().partition(" ")
        assert ready == "READY"
        yield json.loads(urls), record, child
        child.stdin.close()  # type: ignore[union-attr]
        assert child.wait(10) == 0
        assert child.stderr
        assert child.stderr.read() == ""


def test_one_process_hosts_many_slaves_and_records_their_builds(
    process: tuple[dict[str, str], Path, subprocess.Popen[str]],
) -> None:
    urls, record, _ = process
    assert len(set(urls.values())) == 20
    before = time.monotonic()
    for url in urls.values():
        with MasterClient(int(url.rpartition(":")[2])) as master:
            master.hello(TOKEN)
            master.ask(Build, *order())
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["slave"] for line in lines] == list(urls)
    assert all(before < line["at"] < time.monotonic() for line in lines)
    assert {line["dsc"] for line in lines} == {"foo_1.0-2.dsc"}

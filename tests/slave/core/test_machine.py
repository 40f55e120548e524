"""The slave's machine: what it refuses changes nothing, and what it accepts follows the table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.codec import encode
from protocol.messages import (
    Abort,
    Accepted,
    Arg,
    Build,
    Clean,
    Echo,
    EchoReply,
    EnsurePresent,
    Fetch,
    Hello,
    LogFrom,
    Phase,
    PutChunk,
    Query,
    RefusalCode,
    Refused,
    Rejected,
    RejectionCode,
    ResultFile,
    SlaveState,
    Status,
    Welcome,
    WireOutcome,
)
from slave.core.events import (
    BuildEnded,
    CloseSession,
    HelloArrived,
    KillBuild,
    LogGrew,
    LookUp,
    MessageArrived,
    Order,
    PhaseEntered,
    PushLog,
    RemoveBuild,
    SaveState,
    Send,
    SendResult,
    SessionLost,
    StartBuild,
    StoreChunk,
)
from slave.core.machine import RESTARTED, TRANSITIONS, Machine, Move, Traits
from slave.core.record import Record
from slave.errors import CorruptRecord, ImpossibleMove

FARM, OTHER_FARM = "f" * 8 + "-0000-4000-8000-000000000001", "f" * 8 + "-0000-4000-8000-000000000002"
ATTEMPTS = tuple(f"a0000000-0000-4000-8000-00000000000{digit}" for digit in range(3))
DSC, CHROOT = "d" * 64, "c" * 64
TRAITS = Traits("tester", ("amd64", "i386"), "chroot")
ARGS: dict[str, Arg] = {
    "dsc": "tiny_1.0.dsc",
    "architecture": "amd64",
    "arch_indep": True,
    "suite": "bookworm",
    "trusted": True,
    "wall_seconds": 60,
}
RESULT = ResultFile("tiny_1.0_all.deb", 100, "e" * 64)


def hello(
    session: int, epoch: int, *, farm: str = FARM, right: bool = True, versions: tuple[int, ...] = (1,)
) -> HelloArrived:
    return HelloArrived(session, Hello(versions, farm, epoch, "t"), token_right=right, free_disk=7, at=0.0)


def build(number: int = 1, attempt: str = ATTEMPTS[0], **changes: Arg) -> Build:
    return Build(number, attempt, "binarypackage", CHROOT, {"tiny_1.0.dsc": DSC}, {**ARGS, **changes})


def opened(traits: Traits = TRAITS) -> Machine:
    machine = Machine(traits)
    machine.handle(hello(1, 1))
    return machine


def said(orders: tuple[Order, ...]) -> list[object]:
    return [order.message for order in orders if isinstance(order, Send)]


def ask(
    machine: Machine, message: object, *, at: float = 10.0, missing: frozenset[str] = frozenset()
) -> tuple[Order, ...]:
    return machine.handle(MessageArrived(1, message, at, missing))  # type: ignore[arg-type]


def building(traits: Traits = TRAITS) -> Machine:
    machine = opened(traits)
    assert Accepted(1) in said(ask(machine, build()))
    return machine


def waiting(outcome: WireOutcome = WireOutcome.OK) -> Machine:
    machine = building()
    machine.handle(LogGrew(ATTEMPTS[0], 50))
    machine.handle(BuildEnded(ATTEMPTS[0], outcome, "so it ended", 30.0, (RESULT,), ("nonesuch (>= 2)",)))
    return machine


def code_of(orders: tuple[Order, ...]) -> RejectionCode | RefusalCode:
    answers = [message for message in said(orders) if isinstance(message, (Rejected, Refused))]
    assert len(answers) == 1
    return answers[0].code


# -- sessions ----------------------------------------------------------------------------------------------------------
def test_a_new_slave_learns_its_farm_from_the_first_authenticated_hello() -> None:
    machine = Machine(TRAITS)
    orders = machine.handle(hello(1, 5))
    assert orders[0] == SaveState(Record(farm=FARM, epoch=5))
    (welcome,) = said(orders)
    assert isinstance(welcome, Welcome)
    assert (welcome.slave, welcome.backend, welcome.free_disk) == ("tester", "chroot", 7)
    assert welcome.status.state is SlaveState.IDLE


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (hello(2, 9, right=False), RefusalCode.WRONG_TOKEN),
        (hello(2, 9, farm=OTHER_FARM), RefusalCode.WRONG_FARM),
        (hello(2, 9, versions=(2, 3)), RefusalCode.WRONG_VERSION),
        (hello(2, 1), RefusalCode.STALE_EPOCH),
        (hello(2, 0), RefusalCode.STALE_EPOCH),
    ],
)
def test_a_refused_hello_closes_its_own_connection_and_changes_nothing(event: HelloArrived, code: RefusalCode) -> None:
    machine = opened()
    before = machine.record, machine.session
    orders = machine.handle(event)
    assert code_of(orders) is code
    assert [order.session for order in orders if isinstance(order, (Send, CloseSession))] == [2, 2]
    assert (machine.record, machine.session) == before


def test_a_stranger_without_the_token_does_not_learn_the_farm() -> None:
    (refused,) = said(opened().handle(hello(2, 9, right=False, farm=OTHER_FARM)))
    assert isinstance(refused, Refused)
    assert FARM not in refused.text


def test_a_higher_epoch_ends_the_session_before_it() -> None:
    machine = opened()
    orders = machine.handle(hello(2, 2))
    assert isinstance(orders[0], CloseSession)
    assert orders[0].session == 1
    assert machine.session == 2
    assert ask(machine, Query(1)) == (), "the dead session is not listened to"


def test_a_build_goes_on_when_its_session_is_lost_and_a_new_one_learns_of_it() -> None:
    machine = building()
    machine.handle(SessionLost(1))
    machine.handle(PhaseEntered(ATTEMPTS[0], Phase.BUILD, 12.0))
    (welcome,) = said(machine.handle(replace(hello(2, 2), at=15.0)))
    assert isinstance(welcome, Welcome)
    assert welcome.status == Status(SlaveState.BUILDING, ATTEMPTS[0], Phase.BUILD, duration=5.0)


def test_the_loss_of_an_old_session_does_not_end_the_new_one() -> None:
    machine = opened()
    machine.handle(hello(2, 2))
    machine.handle(SessionLost(1))
    assert machine.session == 2


# -- builds ------------------------------------------------------------------------------------------------------------
def test_a_build_is_on_the_disk_before_it_is_accepted_and_accepted_before_it_starts() -> None:
    machine = opened()
    orders = ask(machine, build())
    assert [type(order) for order in orders] == [SaveState, Send, Send, StartBuild]
    assert orders[0] == SaveState(machine.record)
    assert said(orders)[0] == Accepted(1)
    start = orders[-1]
    assert isinstance(start, StartBuild)
    assert (start.attempt, start.chroot, start.files) == (ATTEMPTS[0], CHROOT, (("tiny_1.0.dsc", DSC),))
    assert start.args.wall_seconds == 60


@pytest.mark.parametrize(
    ("message", "missing", "code", "words"),
    [
        (replace(build(), build_type="image"), (), RejectionCode.UNKNOWN_BUILD_TYPE, "image"),
        (build(), (DSC,), RejectionCode.MISSING_FILE, "tiny_1.0.dsc"),
        (build(), (CHROOT,), RejectionCode.MISSING_FILE, "the chroot"),
        (build(dsc="other.dsc"), (), RejectionCode.BAD_ARGS, "other.dsc"),
        (build(architecture="s390x"), (), RejectionCode.BAD_ARGS, "s390x"),
        (build(wall_seconds=0), (), RejectionCode.BAD_ARGS, "wall_seconds"),
        (build(wall_seconds=True), (), RejectionCode.BAD_ARGS, "wall_seconds"),
        (build(memory_bytes=4), (), RejectionCode.BAD_ARGS, "memory_bytes is 4, not 16777216 to"),
        (build(processes="many"), (), RejectionCode.BAD_ARGS, "processes"),
        (build(limits_from=("memory",)), (), RejectionCode.BAD_ARGS, "'memory', which is not LIMIT=PLACE"),
        (build(limits_from=("walls=build",)), (), RejectionCode.BAD_ARGS, "'walls=build'"),
        (build(limit_of_tomorrow=1), (), RejectionCode.BAD_ARGS, "unknown argument 'limit_of_tomorrow'"),
        (build(trusted="yes"), (), RejectionCode.BAD_ARGS, "trusted"),
        (build(suite="../etc"), (), RejectionCode.BAD_ARGS, "suite"),
        (build(colour="red"), (), RejectionCode.BAD_ARGS, "colour"),
        (replace(build(), chroot=""), (), RejectionCode.BAD_ARGS, "chroot"),
        (replace(build(), attempt="../../x"), (), RejectionCode.BAD_ARGS, "attempt"),
        (replace(build(), files={"tiny_1.0.dsc": DSC, "-x": DSC}), (), RejectionCode.BAD_ARGS, "-x"),
    ],
)
def test_a_build_that_does_not_fit_is_rejected_with_its_code(
    message: Build, missing: tuple[str, ...], code: RejectionCode, words: str
) -> None:
    machine = opened()
    before = machine.record
    orders = ask(machine, message, missing=frozenset(missing))
    assert code_of(orders) is code
    assert words in said(orders)[0].text  # type: ignore[attr-defined]
    assert len(orders) == 1
    assert machine.record == before


def test_a_build_without_an_argument_is_rejected() -> None:
    message = build()
    orders = ask(opened(), replace(message, args={key: value for key, value in ARGS.items() if key != "suite"}))
    assert code_of(orders) is RejectionCode.BAD_ARGS


def test_the_host_backend_never_takes_an_untrusted_build() -> None:
    machine = opened(Traits("tester", ("amd64",), "host"))
    orders = ask(machine, replace(build(trusted=False), chroot=""))
    assert code_of(orders) is RejectionCode.BAD_ARGS
    assert StartBuild in map(type, ask(machine, replace(build(2), chroot="")))


@pytest.mark.parametrize(
    ("machine", "code"),
    [(building(), RejectionCode.NOT_IDLE), (waiting(), RejectionCode.NOT_CLEAN)],
)
def test_a_second_build_is_rejected(machine: Machine, code: RejectionCode) -> None:
    orders = ask(machine, build(2, ATTEMPTS[1]))
    assert code_of(orders) is code


def test_results_are_announced_with_ok_only_and_dependencies_with_depfail_only() -> None:
    assert waiting(WireOutcome.OK).status(0).files == (RESULT,)
    assert waiting(WireOutcome.OK).status(0).dependencies == ()
    assert waiting(WireOutcome.DEPFAIL).status(0).files == ()
    assert waiting(WireOutcome.DEPFAIL).status(0).dependencies == ("nonesuch (>= 2)",)
    assert waiting(WireOutcome.PACKAGEFAIL).status(0).dependencies == ()


@given(
    text=st.sampled_from([1, 1000]).flatmap(
        lambda times: st.text(min_size=5, max_size=20).map(lambda word: word * times)
    ),
    dependencies=st.lists(st.text(max_size=400).map(lambda relation: relation * 12), max_size=130).map(tuple),
)
def test_whatever_words_a_build_ends_with_fit_the_wire(text: str, dependencies: tuple[str, ...]) -> None:
    machine = building()
    machine.handle(BuildEnded(ATTEMPTS[0], WireOutcome.DEPFAIL, text, 30.0, (), dependencies))
    encode(machine.status(31.0))


def test_of_a_relation_too_long_for_the_wire_the_first_alternatives_are_told() -> None:
    machine = building()
    many = " | ".join(f"alternative-{number}" for number in range(500))
    machine.handle(BuildEnded(ATTEMPTS[0], WireOutcome.DEPFAIL, "", 30.0, (), ("a (>= 1)", many, "x" * 3000)))
    first, second = machine.status(31.0).dependencies
    assert first == "a (>= 1)"
    assert many.startswith(second)
    assert second[-1].isdigit()


def test_an_end_is_on_the_disk_before_the_master_hears_of_it() -> None:
    machine = building()
    orders = machine.handle(BuildEnded(ATTEMPTS[0], WireOutcome.PACKAGEFAIL, "no", 25.0))
    assert [type(order) for order in orders] == [SaveState, Send]
    (status,) = said(orders)
    assert isinstance(status, Status)
    assert (status.outcome, status.duration) == (WireOutcome.PACKAGEFAIL, 15.0)


def test_an_aborted_build_is_aborted_however_it_ended() -> None:
    machine = building()
    orders = ask(machine, Abort(2, ATTEMPTS[0]))
    assert [type(order) for order in orders] == [SaveState, Send, Send, KillBuild]
    machine.handle(BuildEnded(ATTEMPTS[0], WireOutcome.OK, "3 files", 25.0, (RESULT,)))
    status = machine.status(99)
    assert (status.state, status.outcome, status.files) == (SlaveState.WAITING, WireOutcome.ABORTED, ())


def test_clean_removes_before_it_answers() -> None:
    machine = waiting()
    orders = ask(machine, Clean(2, ATTEMPTS[0]))
    assert [type(order) for order in orders] == [RemoveBuild, SaveState, Send, Send]
    assert machine.record == Record(farm=FARM, epoch=1)
    assert machine.status(99) == Status(SlaveState.IDLE)


@pytest.mark.parametrize(
    ("machine", "message", "code"),
    [
        (opened(), Abort(2, ATTEMPTS[0]), RejectionCode.NOT_BUILDING),
        (waiting(), Abort(2, ATTEMPTS[0]), RejectionCode.NOT_BUILDING),
        (building(), Abort(2, ATTEMPTS[1]), RejectionCode.WRONG_ATTEMPT),
        (opened(), Clean(2, ATTEMPTS[0]), RejectionCode.NOT_WAITING),
        (building(), Clean(2, ATTEMPTS[0]), RejectionCode.NOT_WAITING),
        (waiting(), Clean(2, ATTEMPTS[1]), RejectionCode.WRONG_ATTEMPT),
        (building(), Fetch(2, ATTEMPTS[0], RESULT.name, 0), RejectionCode.NOT_WAITING),
        (waiting(), Fetch(2, ATTEMPTS[1], RESULT.name, 0), RejectionCode.WRONG_ATTEMPT),
        (waiting(), Fetch(2, ATTEMPTS[0], "log", 0), RejectionCode.NO_SUCH_FILE),
        (waiting(), Fetch(2, ATTEMPTS[0], RESULT.name, 101), RejectionCode.BAD_OFFSET),
    ],
)
def test_what_does_not_fit_the_state_is_rejected_and_changes_nothing(
    machine: Machine, message: object, code: RejectionCode
) -> None:
    before = machine.record
    orders = ask(machine, message)
    assert code_of(orders) is code
    assert len(orders) == 1
    assert machine.record == before


def test_a_result_may_be_fetched_from_anywhere_up_to_its_end() -> None:
    machine = waiting()
    for offset in (0, 1, 100):
        fetch = Fetch(2 + offset, ATTEMPTS[0], RESULT.name, offset)
        assert ask(machine, fetch) == (SendResult(1, fetch),)


def test_the_log_is_pushed_from_where_the_master_asks_and_a_wrong_question_is_answered_by_the_state() -> None:
    machine = waiting()
    assert ask(machine, LogFrom(ATTEMPTS[0], 50)) == (PushLog(1, ATTEMPTS[0], 50),)
    for wrong in (LogFrom(ATTEMPTS[0], 51), LogFrom(ATTEMPTS[1], 0)):
        (status,) = said(ask(machine, wrong))
        assert isinstance(status, Status)
        assert status.log_size == 50


def test_files_and_echo_are_passed_on_in_every_state() -> None:
    for machine in (opened(), building(), waiting()):
        present, chunk = EnsurePresent(2, DSC, 5), PutChunk(DSC, 0, b"hello")
        assert ask(machine, present) == (LookUp(1, present),)
        assert ask(machine, chunk) == (StoreChunk(1, chunk),)
        assert said(ask(machine, Echo(3, b"x"))) == [EchoReply(3, b"x")]


# -- restart -----------------------------------------------------------------------------------------------------------
def test_a_slave_killed_in_mid_build_waits_with_builderfail_for_that_attempt() -> None:
    machine = Machine(TRAITS, building().record, log_size=42)
    assert machine.restarted
    assert machine.status(99) == Status(
        SlaveState.WAITING, ATTEMPTS[0], outcome=WireOutcome.BUILDERFAIL, text=RESTARTED, log_size=42
    )


def test_a_slave_killed_while_it_aborted_has_aborted() -> None:
    machine = building()
    ask(machine, Abort(2, ATTEMPTS[0]))
    assert Machine(TRAITS, machine.record).status(99).outcome is WireOutcome.ABORTED


@pytest.mark.parametrize("machine", [opened(), waiting()])
def test_a_slave_restarted_at_rest_has_not_changed(machine: Machine) -> None:
    again = Machine(TRAITS, machine.record, log_size=machine.log_size)
    assert not again.restarted
    assert again.status(99) == machine.status(99)


def test_progress_of_a_build_that_does_not_run_is_a_bug_and_tells_the_story() -> None:
    machine = waiting()
    with pytest.raises(ImpossibleMove, match="build accepted"):
        machine.handle(BuildEnded(ATTEMPTS[0], WireOutcome.OK, "", 1.0))


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"state": "ASLEEP"},
        {"state": "IDLE"},
        {"epoch": -1},
        {"epoch": True},
        {"attempt": None},
        {"outcome": None},
        {"outcome": "MEH"},
        {"files": [{"name": "x"}]},
        {"files": "x"},
        {"farm": 7},
        {"duration": "long"},
    ],
)
def test_a_damaged_record_is_refused(damage: dict[str, object]) -> None:
    plain = waiting().record.to_plain()
    with pytest.raises(CorruptRecord):
        Record.from_plain({**plain, **damage})


class AnySlave(RuleBasedStateMachine):
    """Masters, builds and power cuts in any order; the disk holds what `SaveState` said last."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(TRAITS)
        self.disk = Record()
        self.running: str | None = None
        self.accepted: list[str] = []
        self.epochs: list[int] = []
        self.last_session = 0
        self.number = 0

    def obey(self, orders: tuple[Order, ...], *, asked: bool = False) -> None:
        answers = 0
        for order in orders:
            match order:
                case SaveState(record):
                    self.disk = Record.from_plain(json.loads(json.dumps(record.to_plain())))
                    assert self.disk == record
                case StartBuild(attempt=attempt):
                    assert self.running is None, "two builds at once"
                    assert self.disk.attempt == attempt, "begun before it was saved"
                    self.running = attempt
                    self.accepted.append(attempt)
                case KillBuild(attempt):
                    assert self.running == attempt
                case RemoveBuild(attempt):
                    assert self.running is None, "removed under a running build"
                    assert self.machine.record.state is SlaveState.IDLE
                case Send(session, message):
                    assert session == self.machine.session or isinstance(message, Refused)
                    if isinstance(message, (Accepted, Rejected)):
                        answers += 1
                        if isinstance(message, Accepted):
                            assert self.disk == self.machine.record, "accepted before it was saved"
        if asked:
            assert answers == 1, "a request gets one answer"

    def ask(self, message: object, missing: frozenset[str] = frozenset()) -> None:
        session = self.machine.session
        before = self.machine.record
        orders = self.machine.handle(MessageArrived(session or 0, message, 1.0, missing))  # type: ignore[arg-type]
        if session is None:
            assert orders == ()
        else:
            self.obey(orders, asked=True)
            if any(isinstance(one, Rejected) for one in said(orders)):
                assert self.machine.record == before
                assert len(orders) == 1

    @property
    def next_number(self) -> int:
        self.number += 1
        return self.number

    @rule(
        epoch=st.integers(0, 12),
        farm=st.sampled_from([FARM, OTHER_FARM]),
        right=st.booleans(),
        version=st.sampled_from([1, 2]),
    )
    def greet(self, epoch: int, farm: str, right: bool, version: int) -> None:
        self.last_session += 1
        before = self.machine.record, self.machine.session
        orders = self.machine.handle(hello(self.last_session, epoch, farm=farm, right=right, versions=(version,)))
        self.obey(orders)
        if any(isinstance(message, Welcome) for message in said(orders)):
            assert right
            assert version == 1
            assert before[0].farm in {None, farm}
            assert all(epoch > earlier for earlier in self.epochs)
            self.epochs.append(epoch)
        else:
            assert (self.machine.record, self.machine.session) == before

    @rule()
    def lose_the_session(self) -> None:
        self.obey(self.machine.handle(SessionLost(self.machine.session or 0)))

    @rule(attempt=st.sampled_from(ATTEMPTS), lacking=st.booleans(), seconds=st.integers(-1, 2))
    def ask_to_build(self, attempt: str, lacking: bool, seconds: int) -> None:
        missing = frozenset({CHROOT}) if lacking else frozenset[str]()
        self.ask(build(self.next_number, attempt, wall_seconds=seconds), missing)

    @rule(attempt=st.sampled_from(ATTEMPTS))
    def ask_to_abort(self, attempt: str) -> None:
        self.ask(Abort(self.next_number, attempt))

    @rule(attempt=st.sampled_from(ATTEMPTS))
    def ask_to_clean(self, attempt: str) -> None:
        self.ask(Clean(self.next_number, attempt))

    @precondition(lambda self: self.running is not None)
    @rule(phase=st.sampled_from(Phase))
    def come_to_a_phase(self, phase: Phase) -> None:
        assert self.running is not None
        self.obey(self.machine.handle(PhaseEntered(self.running, phase, 1.0)))

    @precondition(lambda self: self.running is not None)
    @rule(outcome=st.sampled_from(WireOutcome))
    def come_to_an_end(self, outcome: WireOutcome) -> None:
        assert self.running is not None
        ended, self.running = self.running, None
        self.obey(self.machine.handle(BuildEnded(ended, outcome, "", 1.0, (RESULT,), ("x",))))

    @rule()
    def cut_the_power(self) -> None:
        was_running, self.running = self.running is not None, None
        self.machine = Machine(TRAITS, self.disk)
        assert self.machine.restarted is was_running
        self.disk = self.machine.record

    @invariant()
    def the_state_says_whether_something_runs(self) -> None:
        running = self.machine.record.state in {SlaveState.BUILDING, SlaveState.ABORTING}
        assert running is (self.running is not None)
        if self.running is not None:
            assert self.machine.record.attempt == self.running

    @invariant()
    def the_disk_knows_all_that_matters(self) -> None:
        assert self.disk == self.machine.record

    @invariant()
    def nothing_but_the_last_accepted_attempt_is_spoken_of(self) -> None:
        status = self.machine.status(1.0)
        assert status.attempt is None or status.attempt == self.accepted[-1]
        assert (status.outcome is not None) is (status.state is SlaveState.WAITING)
        assert (status.attempt is None) is (status.state is SlaveState.IDLE)


test_any_slave = AnySlave.TestCase


def test_every_state_has_its_row_and_every_way_leads_on() -> None:
    assert set(TRANSITIONS) == set(SlaveState)
    assert {move for moves in TRANSITIONS.values() for move in moves} == set(Move)

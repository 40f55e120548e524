from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.connection import (
    ANSWERS,
    MAX_OUTSTANDING,
    TRANSITIONS,
    Connection,
    ConnectionState,
    Event,
    NeedData,
    PeerClosed,
    Role,
)
from protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocol.messages import (
    Accepted,
    Clean,
    Echo,
    EchoReply,
    Fetch,
    FetchData,
    Heartbeat,
    Hello,
    Message,
    Present,
    Query,
    RefusalCode,
    Refused,
    SlaveState,
    Status,
    Welcome,
)
from tests.fix_protocol import ATTEMPT, FARM, HELLO, WELCOME, any_message, from_master, from_slave, open_pair, pieces_of

MEGABYTE = 1024 * 1024
IDLE = Status(SlaveState.IDLE)


def events_of(connection: Connection, pieces: list[bytes]) -> list[Event | str]:
    """Return what the connection makes of the pieces; an error is its text."""
    found: list[Event | str] = []
    for piece in pieces:
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError as error:
                event = str(error)  # type: ignore[assignment]
            if isinstance(event, (NeedData, PeerClosed)):
                break
            found.append(event)
    return found


def test_a_session_opens_with_hello_and_welcome() -> None:
    master, slave = open_pair()
    assert (master.state, slave.state) == (ConnectionState.OPEN, ConnectionState.OPEN)


def test_a_refusal_closes_both_sides() -> None:
    master, slave = Connection(Role.MASTER), Connection(Role.SLAVE)
    slave.receive_data(master.send(HELLO))
    slave.next_event()
    refused = Refused(RefusalCode.WRONG_FARM, "not yours")
    master.receive_data(slave.send(refused))
    assert master.next_event() == refused
    assert (master.state, slave.state) == (ConnectionState.CLOSED, ConnectionState.CLOSED)
    assert master.next_event() == PeerClosed()


messages_of_a_stream = st.lists(st.one_of(from_slave.filter(lambda m: not hasattr(m, "id"))), max_size=6)
cuts = st.lists(st.integers(0, 10_000), max_size=30)


@given(messages_of_a_stream, cuts)
def test_any_split_of_the_bytes_gives_the_same_events(said: list[Message], where: list[int]) -> None:
    master, slave = open_pair()
    stream = b"".join(slave.send(message) for message in said)
    assert events_of(master, pieces_of(stream, where)) == said


@given(st.lists(any_message, max_size=5), st.binary(max_size=60), cuts, st.sampled_from(Role))
def test_any_split_of_a_wrong_stream_gives_the_same_events(
    said: list[Message], garbage: bytes, where: list[int], role: Role
) -> None:
    stream = b"".join(map(codec.encode, said)) + garbage
    whole = events_of(open_pair()[role is Role.SLAVE], [stream] if stream else [])
    assert events_of(open_pair()[role is Role.SLAVE], pieces_of(stream, where)) == whole


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=8), st.booleans(), st.sampled_from(Role))
def test_arbitrary_bytes_raise_nothing_but_a_remote_protocol_error(
    pieces: list[bytes], opened: bool, role: Role
) -> None:
    connection = open_pair()[role is Role.SLAVE] if opened else Connection(role)
    errors = [event for event in events_of(connection, pieces) if isinstance(event, str)]
    assert len(errors) <= 1
    assert (connection.state is ConnectionState.CLOSED) == bool(errors)


@given(st.lists(from_slave, min_size=1, max_size=4), st.data())
def test_a_stream_with_bytes_changed_raises_nothing_but_a_remote_protocol_error(said: list[Message], data: Any) -> None:
    stream = bytearray(b"".join(map(codec.encode, said)))
    for _ in range(data.draw(st.integers(1, 5))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    master, _ = open_pair()
    assert sum(isinstance(event, str) for event in events_of(master, [bytes(stream)])) <= 1


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


GREEDY = {
    "endless garbage": b"\x00\x0f\xff\xff" + b"\x93" * (6 * MEGABYTE),
    "a frame that never ends": b"\x00\x10\x00\x00" + b"\x81\xa1a\xc6" + b"x" * (MEGABYTE - 5),
    "frames without end": codec.encode(Heartbeat(1.0)) * 10_000,
    "a frame of wide strings": frame(
        b"\x82\xa7message\xa6Status\xa1d\xdc\x03\x00" + (b"\xd9\xff" + "\N{PILE OF POO}".encode() + b"x" * 251) * 768
    ),
    "a frame of maps": frame(b"\x82\xa7message\xa6Status\xa1d\xdc\x03\xff" + b"\x81\xa1a\x81\xa1b\x80" * 1023),
}


@pytest.mark.parametrize("size", [1021, 65536, 100_000_000])
@pytest.mark.parametrize("stream", GREEDY.values(), ids=GREEDY.keys())
def test_no_stream_takes_more_than_four_mebibytes(stream: bytes, size: int) -> None:
    stream = stream[: MEGABYTE + 9] if size == 97 else stream
    master, _ = open_pair()
    tracemalloc.start()
    try:
        for at in range(0, len(stream), size):
            piece = stream[at : at + size]
            tracemalloc.reset_peak()
            ours = len(piece) if size > 65536 else 0  # the rest is the connection's
            master.receive_data(piece)
            with contextlib.suppress(RemoteProtocolError):
                while not isinstance(master.next_event(), (NeedData, PeerClosed)):
                    pass
            assert tracemalloc.get_traced_memory()[1] - ours < 4 * MEGABYTE
            if master.state is ConnectionState.CLOSED:
                break
    finally:
        tracemalloc.stop()


def test_an_oversized_frame_is_refused_before_its_bytes_arrive() -> None:
    connection = Connection(Role.SLAVE)
    connection.receive_data(b"GET ")
    with pytest.raises(RemoteProtocolError, match=r"frame of 1195725856 bytes announced.*b'GET '"):
        connection.next_event()


def test_an_empty_frame_is_refused() -> None:
    connection = Connection(Role.SLAVE)
    connection.receive_data(bytes(4))
    with pytest.raises(RemoteProtocolError, match="frame of 0 bytes"):
        connection.next_event()


def test_what_came_before_the_garbage_is_still_told() -> None:
    master, slave = open_pair()
    master.receive_data(slave.send(IDLE) + b"\xff" * 10)
    assert master.next_event() == IDLE
    with pytest.raises(RemoteProtocolError):
        master.next_event()
    assert master.next_event() == PeerClosed()


def test_a_peer_that_closes_between_frames_leaves_nothing_unfinished() -> None:
    master, slave = open_pair()
    master.receive_data(slave.send(IDLE))
    master.receive_data(b"")
    assert [master.next_event(), master.next_event(), master.next_event()] == [IDLE, PeerClosed(0), PeerClosed(0)]
    assert master.state is ConnectionState.CLOSED


def test_a_peer_that_dies_within_a_frame_has_closed_and_broken_no_rule() -> None:
    master, slave = open_pair()
    master.receive_data(slave.send(IDLE)[:-1])
    assert master.next_event() == NeedData()
    master.receive_data(b"")
    assert master.next_event() == PeerClosed(unfinished=len(codec.encode(IDLE)) - 1)


@given(any_message)
def test_no_side_may_say_what_the_table_does_not_have(message: Message) -> None:
    for role in Role:
        for state in ConnectionState:
            connection = Connection(role)
            connection.state = state
            connection._versions = (1,)
            if type(message) in TRANSITIONS[state]:
                continue
            with pytest.raises(LocalProtocolError, match="does not"):
                connection.send(message)
            assert connection.state is state


@given(from_master.filter(lambda m: not isinstance(m, Heartbeat)))
def test_a_slave_that_plays_the_master_is_refused(message: Message) -> None:
    master, _ = open_pair()
    master.receive_data(codec.encode(message))
    with pytest.raises(RemoteProtocolError, match="a slave does not send"):
        master.next_event()


@pytest.mark.parametrize(
    ("greetings", "words"),
    [
        ([Query(1)], "Query does not belong into a connection that is OPENING"),
        ([HELLO, HELLO], "Hello does not belong into a connection that is GREETED"),
        ([HELLO, Echo(1, b"")], "Echo does not belong into a connection that is GREETED"),
        ([WELCOME], "a master does not send Welcome"),
    ],
)
def test_a_master_that_does_not_greet_is_refused(greetings: list[Message], words: str) -> None:
    slave = Connection(Role.SLAVE)
    before = greetings[:-1]
    slave.receive_data(b"".join(map(codec.encode, greetings)))
    assert [slave.next_event() for _ in before] == before
    with pytest.raises(RemoteProtocolError, match=words):
        slave.next_event()
    assert slave.state is ConnectionState.CLOSED


def test_a_slave_chooses_one_of_the_versions_offered() -> None:
    master = Connection(Role.MASTER)
    master.send(Hello((1, 2), FARM, 1))
    master.receive_data(codec.encode(Welcome(3, "bob", (), (), "host", 0, IDLE)))
    with pytest.raises(RemoteProtocolError, match="version 3 chosen, but only 1, 2 offered"):
        master.next_event()


def test_an_error_of_ours_changes_nothing() -> None:
    master, _ = open_pair()
    with pytest.raises(LocalProtocolError):
        master.send(Echo(5, b"x" * 100_000))
    assert master.send(Echo(5, b"x"))


def test_request_numbers_rise() -> None:
    master, slave = open_pair()
    master.send(Query(5))
    with pytest.raises(LocalProtocolError, match="Echo 5 is not above the request before, 5"):
        master.send(Echo(5, b""))
    slave.receive_data(codec.encode(Query(5)) + codec.encode(Query(4)))
    slave.next_event()
    with pytest.raises(RemoteProtocolError, match="Query 4 is not above the request before, 5"):
        slave.next_event()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (EchoReply(2, b""), "EchoReply answers request 2, which waits for no answer"),
        (Present(1, have=True), "Present is no answer to request 1, a Echo"),
        (Accepted(1), "Accepted is no answer to request 1, a Echo"),
    ],
)
def test_an_answer_answers_what_was_asked(answer: Message, words: str) -> None:
    master, slave = open_pair()
    slave.receive_data(master.send(Echo(1, b"")))
    slave.next_event()
    with pytest.raises(LocalProtocolError, match=words):
        slave.send(answer)
    master.receive_data(codec.encode(answer))
    with pytest.raises(RemoteProtocolError, match=words):
        master.next_event()


def test_a_request_is_answered_once_but_a_fetch_until_its_last_bytes() -> None:
    master, slave = open_pair()
    slave.receive_data(master.send(Fetch(1, ATTEMPT, "a", 0)) + master.send(Clean(2, ATTEMPT)))
    assert [type(slave.next_event()) for _ in range(2)] == [Fetch, Clean]
    for message in (
        FetchData(1, 0, b"a", last=False),
        Accepted(2),
        FetchData(1, 1, b"b", last=False),
        FetchData(1, 2, b"", last=True),
    ):
        master.receive_data(slave.send(message))
        assert master.next_event() == message
    for again in (Accepted(2), FetchData(1, 2, b"", last=True)):
        with pytest.raises(LocalProtocolError, match="waits for no answer"):
            slave.send(again)


def test_a_flood_of_requests_is_refused() -> None:
    _, slave = open_pair()
    slave.receive_data(b"".join(codec.encode(Echo(number, b"")) for number in range(MAX_OUTSTANDING + 1)))
    for _ in range(MAX_OUTSTANDING):
        slave.next_event()
    with pytest.raises(RemoteProtocolError, match=f"{MAX_OUTSTANDING} requests wait for an answer already"):
        slave.next_event()


def test_every_request_has_an_answer_and_every_message_its_place() -> None:
    said = {kind for moves in TRANSITIONS.values() for kind in moves}
    assert said == set(map(type, [HELLO, WELCOME])) | {Refused} | set(TRANSITIONS[ConnectionState.OPEN])
    assert {answer for answers in ANSWERS.values() for answer in answers} <= said
    assert issubclass(RemoteProtocolError, ProtocolError)

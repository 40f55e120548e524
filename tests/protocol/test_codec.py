from __future__ import annotations

import contextlib
import dataclasses
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import codec, messages
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import CHUNK, Build, Echo, Heartbeat, Hello, Log, PutChunk, ResultFile, SlaveState, Status
from protocol.shapes import TEXT_BYTES, fit_text
from tests.fix_protocol import ATTEMPT, FARM, any_message, kinds, records

SHA = "ab" * 32


def payload(message: str, **fields: object) -> bytes:
    packed: bytes = msgpack.packb({"message": message, **fields})
    return packed


@pytest.mark.slow
@given(any_message)
def test_any_message_round_trips(message: messages.Message) -> None:
    frame = codec.encode(message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert codec.decode(frame[4:]) == message


@pytest.mark.parametrize("kind", kinds)
def test_each_kind_of_message_round_trips(kind: type[Any]) -> None:
    @given(records(kind))
    def round_trip(message: messages.Message) -> None:
        decoded = codec.decode(codec.encode(message)[4:])
        assert type(decoded) is kind
        assert decoded == message

    round_trip()


@given(st.binary(max_size=2000))
@example(b"\x81" * 2000)
@example(b"\x91" * 2000)
def test_arbitrary_bytes_raise_nothing_but_a_remote_protocol_error(garbage: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode(garbage)


wire_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


@given(any_message, st.data())
def test_a_message_with_any_value_in_any_field_is_read_or_refused(message: messages.Message, data: Any) -> None:
    wire = msgpack.unpackb(codec.encode(message)[4:])
    wire[data.draw(st.sampled_from(sorted(wire)))] = data.draw(wire_values)
    try:
        again = codec.decode(msgpack.packb(wire))
    except RemoteProtocolError:
        return
    codec.encode(again)  # what can be read could have been sent


@given(any_message, st.data())
def test_a_message_with_any_bytes_changed_is_read_or_refused(message: messages.Message, data: Any) -> None:
    frame = bytearray(codec.encode(message)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RemoteProtocolError):
        codec.decode(bytes(frame))


def nest(depth: int) -> Any:
    return [nest(depth - 1)] if depth else []


MEGABYTE = 1024 * 1024
HUNGRY = {
    "a million empty lists": b"\x81\xa1a\xdd\x00\x0f\xff\x00" + b"\x90" * 0xFFF00,
    "a thousand lists of a thousand lists": b"\x81\xa1a\xdc\x04\x00" + (b"\xdc\x03\xfc" + b"\x90" * 1020) * 1024,
    "lists in lists": b"\x81\xa1a" + b"\x91" * (MEGABYTE - 8) + b"\x90",
    "maps in maps": b"\x81\xa1a" * 300_000,
    "many wide strings": payload("Status", dependencies=["\N{PILE OF POO}" + "x" * 4000] * 260),
    "the widest strings that pass": payload("Status", dependencies=["\N{PILE OF POO}" + "x" * 4000] * 97),
    "many small wide strings": payload("Status", dependencies=["\N{PILE OF POO}" + "x" * 380] * 1000),
    "many binaries": payload("Echo", data=[b"x" * 1000] * 1000),
    "the most maps that pass": payload("Status", files=[{"a": {"b": {}}} for _ in range(1000)]),
    "a string longer than the frame": b"\x81\xdb\xff\xff\xff\xff",
    "a map longer than the frame": b"\xdf\xff\xff\xff\xff",
    "a binary longer than the frame": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "an extension type": b"\x81\xa1a\xc9\x00\x0f\xff\x00\x01" + b"x" * 0xFFF00,
    "a timestamp": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
}


@pytest.mark.parametrize("frame", HUNGRY.values(), ids=HUNGRY.keys())
def test_hungry_frames_take_less_than_three_mebibytes_beside_themselves(frame: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            codec.decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 3 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_bytes_that_are_no_text_are_refused_as_such() -> None:
    with pytest.raises(RemoteProtocolError, match=r"no msgpack.*utf-8"):
        codec.decode(b"\x81\xa7message\xa1\xff")


BAD = {
    "an empty frame": (b"", "the frame is empty"),
    "no map": (msgpack.packb([1]), "no map: it begins with 0x91"),
    "half a map": (payload("Query", id=1)[:-1], "inside its map"),
    "half a string": (payload("Query", id=1)[:5], "ends inside the string that begins at byte 1"),
    "two maps": (payload("Query", id=1) * 2, r"19 bytes follow the map"),
    "no name": (msgpack.packb({"id": 1}), "unknown message None"),
    "an unknown name": (payload("Reboot", id=1), "unknown message 'Reboot'"),
    "a name that is a list": (msgpack.packb({"message": [1]}), "unknown message list of 1"),
    "a field too many": (payload("Query", id=1, urgent=True), "Query: unknown field 'urgent'"),
    "a field too few": (payload("Query"), r"Query\.id: is missing"),
    "a boolean for an integer": (payload("Query", id=True), r"Query\.id: True is no integer"),
    "a float for an integer": (payload("Query", id=1.0), r"Query\.id: 1\.0 is no integer"),
    "an integer for a boolean": (payload("Present", id=1, have=1), r"Present\.have: 1 is no boolean"),
    "a negative integer": (payload("Query", id=-1), r"Query\.id: -1 is not in 0…"),
    "an integer too large": (payload("Query", id=2**63), r"Query\.id: .* is not in 0…"),
    "text for bytes": (payload("Echo", id=1, data="x"), r"Echo\.data: 'x' is not binary"),
    "bytes for text": (payload("Refused", code=b"wrong_farm", text=""), r"Refused\.code: b'wrong_farm' is no"),
    "an unknown code": (payload("Refused", code="tired", text=""), r"Refused\.code: 'tired' is none of wrong_version,"),
    "an echo too long": (payload("Echo", id=1, data=b"x" * 65537), r"Echo\.data: 65537 bytes; at most 65536"),
    "a chunk too long": (payload("PutChunk", sha256=SHA, offset=0, data=b"x" * (CHUNK + 1)), "binary of 262145"),
    "a text too long": (payload("Refused", code="wrong_farm", text="x" * 4097), "string of 4097 .* at most 4096"),
    "a hash in capitals": (payload("EnsurePresent", id=1, sha256=SHA.upper(), size=1), r"\.sha256: .* no SHA-256"),
    "no UUID": (payload("LogFrom", attempt="17", offset=0), r"LogFrom\.attempt: '17' is no UUID"),
    "a path for a name": (
        payload("Fetch", id=1, attempt=ATTEMPT, name="../x", offset=0),
        r"Fetch\.name: '\.\./x' is no",
    ),
    "an absolute path": (payload("Fetch", id=1, attempt=ATTEMPT, name="/x", offset=0), r"Fetch\.name: '/x' is no name"),
    "dots for a name": (payload("Fetch", id=1, attempt=ATTEMPT, name="..", offset=0), r"Fetch\.name: '\.\.' is no"),
    "an option for a name": (payload("Fetch", id=1, attempt=ATTEMPT, name="-x", offset=0), r"Fetch\.name: '-x' is no"),
    "a name with a newline": (
        payload("Fetch", id=1, attempt=ATTEMPT, name="a\nb", offset=0),
        r"Fetch\.name: 'a\\nb' is",
    ),
    "no name at all": (payload("Fetch", id=1, attempt=ATTEMPT, name="", offset=0), r"Fetch\.name: '' is no name"),
    "not a number": (payload("Heartbeat", t=float("nan")), r"Heartbeat\.t: nan is not finite"),
    "a version for a list": (payload("Hello", versions=1, farm=FARM, epoch=1), r"Hello\.versions: 1 is no list"),
    "a wrong version in a list": (
        payload("Hello", versions=[1, "2"], farm=FARM, epoch=1),
        r"Hello\.versions\[1\]: '2' is no integer",
    ),
    "a wrong result file": (
        payload("Status", state="WAITING", files=[{"name": "a", "size": 1, "sha256": SHA}, {"name": "a/b"}]),
        r"Status\.files\[1\]\.name: 'a/b' is no name",
    ),
    "a map for a list": (payload("Status", state="IDLE", files={}), r"Status\.files: dict of 0 is no list"),
    "an idle slave with an attempt": (payload("Status", state="IDLE", attempt=ATTEMPT), "Status: IDLE with an attempt"),
    "a busy slave without attempt": (payload("Status", state="BUILDING"), "Status: BUILDING without an attempt"),
    "an end without outcome": (payload("Status", state="WAITING", attempt=ATTEMPT), "WAITING without an outcome"),
    "an outcome without end": (
        payload("Status", state="ABORTING", attempt=ATTEMPT, outcome="OK"),
        "ABORTING with an outcome",
    ),
    "a file that is a number": (
        payload("Build", id=1, attempt=ATTEMPT, build_type="b", chroot="", files={"a": 1}, args={}),
        r"Build\.files\['a'\]: 1 is no string",
    ),
    "an argument that is a map": (
        payload("Build", id=1, attempt=ATTEMPT, build_type="b", chroot="", files={}, args={"a": {}}),
        r"Build\.args\['a'\]: dict of 0 is no string",
    ),
    "the same key twice": (b"\x83\xa7message\xa5Query\xa2id\x01\xa2id\x02", "the same key twice"),
    "a key that is a number": (b"\x82\xa7message\xa5Query\x01\x01", "no msgpack"),
    "a key that is a list": (b"\x82\xa7message\xa5Query\x90\x01", "no msgpack"),
    "too many values": (payload("Status", files=[[0] * 10] * 1000), "more than 8192 values"),
    "too many entries": (payload("Status", dependencies=["x"] * 1025), "list of 1025 at byte .*; at most 1024"),
    "too deep": (payload("Status", files=[[[[[]]]]]), "nested deeper than 4"),
}


@pytest.mark.parametrize(("frame", "words"), BAD.values(), ids=BAD.keys())
def test_the_error_names_what_was_wrong(frame: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        codec.decode(frame)


def test_a_frame_over_the_limit_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(RemoteProtocolError, match="frame of 1048577 bytes"):
        codec.decode(b"\x81" * (codec.MAX_FRAME + 1))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Echo(-1, b""), r"Echo\.id: -1"),
        (Echo(1, b"x" * 65537), r"Echo\.data: 65537 bytes"),
        (PutChunk(SHA, 0, b"x" * (CHUNK + 1)), r"PutChunk\.data: 262145 bytes"),
        (Log(ATTEMPT.upper(), 0, b""), r"Log\.attempt: .* is no UUID"),
        (Status(SlaveState.BUILDING), "Status: BUILDING without an attempt"),
        (Status(SlaveState.IDLE, text="\udcff"), "is no Unicode text"),
        (Status(SlaveState.IDLE, files=tuple(ResultFile("n" * 255, 1, SHA) for _ in range(1025))), "1025 entries"),
        (Status(SlaveState.IDLE, dependencies=("x" * 4000,) * 100), "393216"),
        (Build(1, ATTEMPT, "b", "", {}, {"a": [1]}), r"Build\.args\['a'\]: list of 1 is no string"),  # type: ignore[dict-item]
        (Heartbeat(float("inf")), "not finite"),
        ("Query", "str is no message"),
    ],
)
def test_what_the_peer_would_refuse_is_our_own_fault(message: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        codec.encode(message)


def test_the_largest_status_that_a_slave_may_send_fits_a_frame() -> None:
    files = tuple(ResultFile("n" * 255, 2**63 - 1, SHA) for _ in range(1024))
    status = Status(SlaveState.WAITING, ATTEMPT, outcome=messages.WireOutcome.OK, text="x" * TEXT_BYTES, files=files)
    assert codec.decode(codec.encode(status)[4:]) == status


def test_no_error_and_no_representation_shows_the_token() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(payload("Hello", versions=[1], farm=FARM, epoch=1, token="s3cr3t\N{SNOWMAN}"))
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in repr(Hello((1,), FARM, 1, "s3cr3t"))


def test_whole_numbers_pass_for_seconds() -> None:
    assert codec.decode(codec.encode(Heartbeat(5))[4:]) == Heartbeat(5.0)


def test_every_field_of_every_message_has_a_shape() -> None:
    @dataclasses.dataclass
    class Novelty:
        colour: str

    with pytest.raises(TypeError, match=r"Novelty\.colour has no shape"):
        codec._Record(Novelty)


@pytest.mark.parametrize("text", ["two\nlines", "a\0b", "\x1b[31mred", "\N{RIGHT-TO-LEFT OVERRIDE}txt"])
def test_a_text_that_is_no_printable_line_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"Refused\.text: .* is no printable line"):
        codec.decode(payload("Refused", code="wrong_farm", text=text))


@given(st.text())
def test_a_fitted_text_can_be_sent_on_one_line(text: str) -> None:
    fitted = fit_text(text * 100)
    assert len(fitted.encode()) <= TEXT_BYTES
    assert fitted.isprintable()

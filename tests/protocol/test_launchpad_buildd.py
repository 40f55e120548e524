"""The dialect of launchpad-buildd: what is said is what it understands, and nothing that it says does harm."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.launchpad_buildd.answers import (
    Answered,
    Begun,
    Echoed,
    Fault,
    Fetched,
    Info,
    Obeyed,
    Reply,
    Said,
    SlaveStatus,
)
from protocol.launchpad_buildd.calls import (
    AskInfo,
    AskStatus,
    Call,
    HaveAborted,
    HaveBuilt,
    HaveCleaned,
    HaveFetched,
    SayEcho,
)
from protocol.launchpad_buildd.codec import BODY_BYTES, decode, encode
from protocol.messages import WireOutcome

SHA1 = "a" * 40
FETCH = HaveFetched(SHA1, "http://master:1/x", "me", "secret")
BUILD = HaveBuilt("id-1", "binarypackage", SHA1, {"foo.dsc": SHA1}, {"series": "sid", "archives": ["deb x y"]})
ENDED = {
    "builder_status": "BuilderStatus.WAITING",
    "build_status": "BuildStatus.OK",
    "build_id": "id-1",
    "filemap": {"foo.deb": SHA1},
    "dependencies": "",
    "builder_version": "240",
}
#: every call, and an answer that it may get
ANSWERS: list[tuple[Call, Any]] = [
    (SayEcho("hi"), ["hi"]),
    (AskInfo(), ["1.0", "amd64", ["binarypackage", "debian"]]),
    (AskStatus(), {"builder_status": "BuilderStatus.IDLE"}),
    (AskStatus(), {"builder_status": "BuilderStatus.BUILDING", "build_id": "id-1", "logtail": b"log"}),
    (AskStatus(), {"builder_status": "BuilderStatus.ABORTING", "build_id": "id-1"}),
    (AskStatus(), ENDED),
    (AskStatus(), {**ENDED, "build_status": "BuildStatus.DEPFAIL", "dependencies": "libfoo-dev (>= 2), bar"}),
    (FETCH, [True, "Download"]),
    (BUILD, ["BuilderStatus.BUILDING", "id-1"]),
    (HaveAborted(), "BuilderStatus.ABORTING"),
    (HaveCleaned(), "BuilderStatus.IDLE"),
]


def said(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode("utf-8", "surrogatepass")


# --- what we say -------------------------------------------------------------------------------------------


def test_every_call_is_what_the_page_says() -> None:
    calls = [xmlrpc.client.loads(encode(call), use_builtin_types=True) for call, _ in ANSWERS]
    assert [method for _, method in calls] == [
        *("echo", "info", "status", "status", "status", "status", "status"),
        *("ensurepresent", "build", "abort", "clean"),
    ]
    by_name = {method: arguments for arguments, method in calls}
    assert by_name["ensurepresent"] == (SHA1, "http://master:1/x", "me", "secret")
    assert by_name["build"] == ("id-1", "binarypackage", SHA1, BUILD.files, BUILD.args)


def test_a_build_that_would_wedge_the_slave_is_not_said() -> None:
    with pytest.raises(LocalProtocolError, match=r"without a \.dsc"):
        encode(HaveBuilt("id-1", "binarypackage", SHA1, {"foo.tar": SHA1}, {}))


def test_a_password_is_in_no_text() -> None:
    assert "secret" not in repr(FETCH)


# --- what it says ------------------------------------------------------------------------------------------


def test_every_answer_is_read() -> None:
    assert [decode(call, said(value)) for call, value in ANSWERS] == [
        Echoed("hi"),
        Info("1.0", "amd64", ("binarypackage", "debian")),
        Said(SlaveStatus.IDLE),
        Said(SlaveStatus.BUILDING, "id-1"),
        Said(SlaveStatus.ABORTING, "id-1"),
        Said(SlaveStatus.WAITING, "id-1", WireOutcome.OK, (("foo.deb", SHA1),), ""),
        Said(SlaveStatus.WAITING, "id-1", WireOutcome.DEPFAIL, (("foo.deb", SHA1),), "libfoo-dev (>= 2), bar"),
        Fetched(there=True, text="Download"),
        Answered(Begun.BUILDING, "id-1"),
        Obeyed(),
        Obeyed(),
    ]


@pytest.mark.parametrize("outcome", ["CHROOTFAIL", "BUILDERFAIL", "ABORTED"])
def test_ends_without_files_have_none(outcome: str) -> None:
    value = {"builder_status": "BuilderStatus.WAITING", "build_status": f"BuildStatus.{outcome}", "build_id": "id-1"}
    assert decode(AskStatus(), said(value)) == Said(SlaveStatus.WAITING, "id-1", WireOutcome(outcome))


def test_a_refusal_is_a_fault_whatever_was_called() -> None:
    refusal = xmlrpc.client.dumps(xmlrpc.client.Fault(8002, "error")).encode()
    assert {decode(call, refusal) for call, _ in ANSWERS} == {Fault(8002, "error")}


BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">%s]>
<methodResponse><params><param><value><string>&j;</string></value></param></params></methodResponse>""" % b"".join(
    b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(9)
)
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<methodResponse><params><param><value><string>&a;</string></value></param></params></methodResponse>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BOMB,
        OUTSIDE,
        said("x" * 10_000_000),
        said(["x" * (BODY_BYTES - 1000)]),
        said(["hi"]).replace(b"hi", b"\xff\xfe"),
        said(["hi"]).replace(b"hi", b"\x00"),
        b"<value>" * 100_000,
        b"<methodResponse><params><param><value>" + b"<array><data><value>" * 20_000,
        b"<methodResponse><params><param><value><int>" + b"9" * 100_000 + b"</int></value></param></params>",
        b"<methodCall><methodName>status</methodName><params></params></methodCall>",
        b"<methodResponse><params></params></methodResponse>",
        b"<methodResponse><fault><value><int>1</int></value></fault></methodResponse>",
        xmlrpc.client.dumps(xmlrpc.client.Fault("x", 1)).encode(),  # type: ignore[arg-type]
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=lambda body: str(body[:20]),
)
def test_a_body_that_is_none_is_refused_by_every_call(body: bytes) -> None:
    for call, _ in ANSWERS:
        if isinstance(call, SayEcho) and body.startswith(said([""])[:60]) and len(body) < BODY_BYTES:
            continue  # a probe may be answered with any text
        with pytest.raises(RemoteProtocolError):
            decode(call, body)


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=50),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=50),
    st.sampled_from(
        [
            "../../etc/passwd",
            "/etc/passwd",
            "a/b",
            "..",
            ".",
            "-rf",
            "",
            "x" * 300,
            "x" * 200_000,
            "a\nb",
            "\u202e",
            SHA1,
        ]
    ),
    st.sampled_from(["A" * 40, SHA1 + "a", SHA1[1:], "BuilderStatus.IDLE", "BuildStatus.OK", "BuilderStatus.NONE"]),
    st.lists(st.text("ab/.", max_size=4), max_size=4),
    st.dictionaries(st.text("ab/.-", max_size=4), st.sampled_from([SHA1, "", "x", 1, None]), max_size=4),
)


@st.composite
def answers_with_one_wrong_field(draw: st.DrawFn) -> tuple[Call, Any]:
    """Draw a call, and an answer to it in which any one field is anything."""
    call, value = draw(st.sampled_from(ANSWERS))
    wrong = draw(HOSTILE)
    if isinstance(value, list):
        place = draw(st.integers(0, len(value)))
        return call, wrong if place == len(value) else [*value[:place], wrong, *value[place + 1 :]]
    if isinstance(value, dict):
        name = draw(st.sampled_from([*value, "logtail", "filemap", "dependencies", "build_status", "", "other"]))
        if name == "filemap":
            return call, {
                **value,
                name: draw(st.one_of(HOSTILE, st.dictionaries(st.text("a/.-\u202e", max_size=5), HOSTILE))),
            }
        return call, wrong if not name else {**value, name: wrong}
    return call, wrong


def outcome_of(call: Call, body: bytes) -> Reply | str:
    """Return what is made of an answer, or the words of its refusal; nothing else may be raised."""
    try:
        return decode(call, body)
    except RemoteProtocolError as error:
        return str(error)


def harmless(reply: Reply | str) -> None:
    """Fail if anything in a reply could do harm where it goes: paths, terminals, logs, the database."""
    match reply:
        case str():
            assert reply.isprintable()
            assert len(reply) < 1000
        case Said():
            assert reply.build_id.isprintable()
            assert len(reply.build_id.encode()) <= 255
            assert (reply.status is SlaveStatus.IDLE) == (reply.build_id == "")
            assert (reply.status is SlaveStatus.WAITING) == (reply.outcome is not None)
            for name, sha1 in reply.files:
                assert "/" not in name
                assert name not in {"", ".", ".."}
                assert name.isprintable()
                assert len(sha1) == 40
                assert set(sha1) <= set("0123456789abcdef")
            assert len(reply.dependencies.encode()) <= 64 * 1024
        case Info(version, architecture, managers):
            assert all(word.isprintable() and len(word.encode()) <= 255 for word in (version, architecture, *managers))
        case Fetched(_, text) | Answered(_, text) | Fault(_, text):
            assert text.isprintable()
            assert len(text.encode()) <= 64 * 1024
        case Echoed(text):
            text.encode()
        case Obeyed():
            pass


@given(answers_with_one_wrong_field())
def test_no_field_of_any_answer_does_harm(case: tuple[Call, Any]) -> None:
    call, value = case
    harmless(outcome_of(call, said(value)))


@given(st.sampled_from(ANSWERS), st.data())
def test_no_bytes_in_an_answer_do_harm(case: tuple[Call, Any], data: st.DataObject) -> None:
    call, value = case
    body = bytearray(said(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    harmless(outcome_of(call, bytes(body)))


@given(st.binary(max_size=300))
def test_no_bytes_at_all_do_harm(body: bytes) -> None:
    for call, _ in ANSWERS:
        with pytest.raises(RemoteProtocolError):
            decode(call, body)

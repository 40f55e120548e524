from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import CHUNK, WINDOW
from protocol.transfer import Incoming, Push, Span, spans

SHA = hashlib.sha256(b"").hexdigest()
sizes = st.one_of(
    st.integers(0, 5),
    st.integers(0, 40 * CHUNK),
    st.integers(0, 40).map(lambda n: n * CHUNK),
    st.integers(1, 40).map(lambda n: n * CHUNK - 1),
)


@given(sizes, st.data())
def test_a_push_arrives_whole_whenever_it_is_interrupted(size: int, data: st.DataObject) -> None:
    """The slave keeps what it has stored; all on the wire is lost each time the connection breaks."""
    stored = Incoming(size)
    arrived: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(0, 6))):
        push, wire, acks = Push(SHA, size, stored.offset), list[Span](), list[int]()
        for step in data.draw(st.lists(st.sampled_from(["send", "arrive", "acknowledge"]), max_size=60)):
            if step == "send" and (span := push.take()):
                wire.append(span)
                assert len(wire) + len(acks) <= WINDOW
            elif step == "arrive" and wire:
                span = wire.pop(0)
                stored.accept(span.offset, bytes(span.length))
                arrived.append((span.offset, span.length))
                acks.append(stored.offset)
            elif step == "acknowledge" and acks:
                push.acked(acks.pop(0))
            assert push.acknowledged <= stored.offset
            assert not push.done or stored.complete
    push = Push(SHA, size, stored.offset)
    while not push.done:
        while span := push.take():
            assert 0 < span.length <= CHUNK or span.offset == size
            stored.accept(span.offset, bytes(span.length))
            arrived.append((span.offset, span.length))
        push.acked(stored.offset)
    assert stored.complete
    assert push.take() is None
    assert sum(length for _, length in arrived) == size
    assert arrived == sorted(arrived)


@given(sizes)
def test_no_more_than_the_window_is_on_its_way(size: int) -> None:
    push = Push(SHA, size)
    sent = list(iter(push.take, None))
    assert len(sent) == min(WINDOW, len(list(spans(size))))


@given(sizes, st.data())
def test_spans_cover_the_rest_of_a_file_exactly(size: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, size))
    covered = list(spans(size, offset))
    assert covered[0].offset == offset
    assert all(a.offset + a.length == b.offset for a, b in itertools.pairwise(covered))
    assert covered[-1].offset + covered[-1].length == size
    assert [span.last for span in covered] == [False] * (len(covered) - 1) + [True]
    assert all(0 < span.length <= CHUNK for span in covered) or covered == [Span(offset, 0, last=True)]


@given(sizes, st.integers(0, 41 * CHUNK))
def test_an_acknowledgement_names_the_end_of_a_chunk_on_its_way(size: int, offset: int) -> None:
    push = Push(SHA, size)
    ends = [span.offset + span.length for span in iter(push.take, None)]
    assume(offset not in ends)
    with pytest.raises(RemoteProtocolError, match=f"acknowledged byte {offset} of {SHA}"):
        push.acked(offset)
    assert push.acknowledged == 0


def test_an_acknowledgement_counts_once() -> None:
    push = Push(SHA, 10)
    push.take()
    push.acked(10)
    with pytest.raises(RemoteProtocolError, match="where no chunk on its way ends"):
        push.acked(10)


def test_a_full_file_is_pushed_as_one_empty_chunk_so_that_the_slave_can_say_that_it_verified_it() -> None:
    push = Push(SHA, 10, 10)
    assert not push.done
    assert push.take() == Span(10, 0, last=True)
    push.acked(10)
    assert push.done


def test_a_slave_that_holds_more_than_there_is_lies() -> None:
    with pytest.raises(RemoteProtocolError, match="claims 11 bytes"):
        Push(SHA, 10, 11)


@pytest.mark.parametrize(
    ("offset", "data", "last", "words"),
    [
        (5, b"x", None, "bytes from 5 on, where 4 was due"),
        (3, b"x", None, "bytes from 3 on, where 4 was due"),
        (4, b"x" * 7, None, "bytes up to 11 of a file that has 10"),
        (4, b"", False, "no bytes at 4"),
        (4, b"x" * 3, True, "it ends at byte 7 of a file that has 10"),
        (4, b"x" * 6, False, "it goes on at byte 10 of a file that has 10"),
    ],
)
def test_bytes_that_do_not_belong_there_are_refused(offset: int, data: bytes, last: bool | None, words: str) -> None:
    incoming = Incoming(10, 4)
    with pytest.raises(RemoteProtocolError, match=words):
        incoming.accept(offset, data, last=last)
    assert incoming.offset == 4


def test_an_offset_outside_of_the_file_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        Incoming(10, 11)
    with pytest.raises(LocalProtocolError):
        next(spans(10, 11))

"""What a tap writes is read again as it was, whatever it is; and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
import types
from collections import Counter, defaultdict, deque
from datetime import UTC, datetime, timedelta
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import messages
from actors.console.lossless import NotLossless, read, written
from actors.console.message_text import message_types, read_message, spell
from actors.core.builder.core import BuilderCore
from actors.core.builder.events import Begun, QueueSaid
from actors.core.dispatch.events import BuilderReady, BuildersRead, JobsRead
from actors.core.dispatch.matcher import Dispatch
from actors.core.timers import Timers
from protocol.transfer import Push
from storage.records import Outcome
from tests.fix_queue import a_builder, a_job

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
LEAVES = (
    PLAIN
    | st.binary()
    | st.uuids()
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from(Outcome)
    | st.just(timedelta(seconds=1.5))
    | st.just(Outcome)
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.builds(deque, st.lists(inner, max_size=3), st.just(5))
        | st.builds(Counter, st.lists(HASHABLE, max_size=3))
        | st.builds(lambda pairs: defaultdict(list, pairs), st.dictionaries(HASHABLE, inner, max_size=3))
        | st.builds(messages.ResultStored, st.text(), inner)
    ),
    max_leaves=8,
)


def through_json(value: object) -> Any:
    return read(json.loads(json.dumps(written(value))))


@given(VALUES)
def test_whatever_is_written_is_read_as_it_was(value: object) -> None:
    again = through_json(value)
    assert again == value
    assert type(again) is type(value)


def test_what_is_known_in_two_places_is_one_thing_afterwards() -> None:
    core = BuilderCore(a_builder("bob"), 1, Timers())
    core.handle(Begun(1.0))
    again: BuilderCore = through_json(core)
    assert again.described() == core.described()
    assert again._slave.remains.session is again.session
    event = QueueSaid(2.0, messages.SessionOpened("bob", 1, 7, "farm"))
    assert again.handle(event) == core.handle(event) != ()
    assert again.deadline() == core.deadline()


def test_a_matcher_goes_on_from_what_was_written_down() -> None:
    dispatch = Dispatch()
    dispatch.handle(BuildersRead((a_builder("bob"), a_builder("eve"))))
    dispatch.handle(JobsRead((a_job(1), a_job(2))))
    again: Dispatch = through_json(dispatch)
    assert again == dispatch
    assert again.handle(BuilderReady("eve")) == dispatch.handle(BuilderReady("eve")) != ()


def test_what_can_not_be_written_down_says_so() -> None:
    with pytest.raises(NotLossless, match="generator"):
        written(Push("0" * 64, 10))
    with pytest.raises(NotLossless, match="defaultdict"):
        written(defaultdict(lambda: 1))
    with pytest.raises(NotLossless, match="socket"):
        written(__import__("socket").socket)


@pytest.mark.parametrize(
    "evil",
    [
        {"id": 1, "is": "os._Environ", "fields": {}},
        {"enum": "subprocess.Popen", "value": ["true"]},
        {"enum": "storage.records.Builder", "value": 1},
        {"enum": "actors.messages.Retire", "value": "bob"},
        {"is": "storage.records.Builder", "named": [1]},
        {"is": "actors.messages.Retire", "named": ["bob"]},
        {"type": "actors.core.builder.core.misfit"},
        {"type": "actors.core.supervision.hangs.nothing"},
        {"type": "actors.core...x"},
        {"same": 4},
        {"uuid": "no"},
        {"bytes": "é"},
        {"id": 1, "is": "actors.messages.Retire", "fields": {"nonsense": 1}},
        {"set": 1},
        {"id": 1, "set": [{"id": 2, "list": []}]},
        {"surprise": 1},
        {"seconds": 1e300},
        {"id": 1, "deque": [], "most": 2**70},
        [],
    ],
)
def test_a_file_can_have_nothing_made_but_what_cores_know(evil: object) -> None:
    with pytest.raises(NotLossless):
        read(evil)


def test_what_goes_too_deep_is_not_read() -> None:
    nested: object = 1
    for _ in range(5000):
        nested = {"tuple": [nested]}
    with pytest.raises(NotLossless, match="too deep"):
        read(nested)


SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    datetime: st.datetimes(timezones=st.just(UTC)),
}


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Return whatever a field of a message may be, if a person types it."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if get_origin(kind) is tuple:
        return st.lists(of_type(get_args(kind)[0]), max_size=2).map(tuple)
    if get_origin(kind) in {Union, types.UnionType}:
        return st.one_of([of_type(one) for one in get_args(kind)])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return st.builds(kind, **{name: of_type(hint) for name, hint in get_type_hints(kind).items()})
    return st.from_type(kind)


@given(st.sampled_from(sorted(message_types())).flatmap(lambda name: of_type(message_types()[name])))
def test_a_message_that_a_tap_shows_can_be_typed_as_it_stands_there(message: object) -> None:
    if isinstance(message, messages.Description):
        return  # its pairs of names and values have no end in their type
    assert read_message(spell(message)) == message

"""Strategies for wire messages, written from what `protocol/messages.py` says, not from what the codec checks."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from protocol import messages
from protocol.connection import Connection, Role
from protocol.messages import Hello, MasterMessage, Message, SlaveMessage, SlaveState, Status, Welcome

FARM = "6f0d7c1e-6a0c-4d6e-9a52-5c9f5b7c0001"
ATTEMPT = "6f0d7c1e-6a0c-4d6e-9a52-5c9f5b7c0002"

counts = st.integers(0, 2**63 - 1)
sha256s = st.binary(min_size=32, max_size=32).map(bytes.hex)
uuids = st.uuids().map(str)
tags = st.from_regex(r"[a-z0-9][a-z0-9_.+-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
lines = texts.filter(str.isprintable)  #: what is shown to people, on both sides
names = st.one_of(
    st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.+~:%]{0,30}", fullmatch=True),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40),
)
contents = st.binary(max_size=300)
args = st.one_of(texts, st.integers(-(2**63) + 1, 2**63 - 1), st.booleans(), st.lists(texts, max_size=3).map(tuple))

_BY_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "architectures": st.lists(tags, max_size=4).map(tuple),
    "args": st.dictionaries(tags, args, max_size=5),
    "attempt": uuids,
    "backend": tags,
    "build_type": tags,
    "build_types": st.lists(tags, max_size=3).map(tuple),
    "chroot": st.one_of(sha256s, st.just("")),
    "data": contents,
    "dependencies": st.lists(lines, max_size=4).map(tuple),
    "epoch": counts,
    "farm": uuids,
    "free_disk": counts,
    "id": counts,
    "log_size": counts,
    "name": names,
    "offset": counts,
    "sha256": sha256s,
    "size": counts,
    "slave": lines,
    "text": lines,
    "token": st.one_of(st.none(), st.from_regex(r"[!-~]{1,64}", fullmatch=True)),
    "version": st.integers(0, 65535),
    "versions": st.lists(st.integers(0, 65535), max_size=4).map(tuple),
}


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return any `kind`, a dataclass of `protocol.messages`, that makes sense."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: _values(kind, f.name, hints[f.name]) for f in dataclasses.fields(kind)}).map(
        _sensible
    )


def _values(kind: type[Any], name: str, hint: Any) -> st.SearchStrategy[Any]:
    if name == "files":
        if kind is Status:
            return st.lists(records(messages.ResultFile), max_size=4).map(tuple)
        return st.dictionaries(names, sha256s, max_size=4)
    if dataclasses.is_dataclass(hint):
        return records(hint)  # type: ignore[arg-type]
    if name in _BY_FIELD:
        return _BY_FIELD[name]
    parts = [part for part in get_args(hint) if part is not type(None)]
    values = st.from_type(parts[0] if parts else hint).filter(_is_finite)
    return st.one_of(st.none(), values) if parts else values


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or abs(value) <= 2**63 - 1


def _sensible(message: Any) -> Any:
    """Return the message; a `Status` with attempt and outcome as its state has them."""
    if not isinstance(message, Status):
        return message
    waiting = message.state is SlaveState.WAITING
    return dataclasses.replace(
        message,
        attempt=None if message.state is SlaveState.IDLE else message.attempt or ATTEMPT,
        outcome=(message.outcome or messages.WireOutcome.OK) if waiting else None,
    )


kinds: tuple[type[Any], ...] = get_args(Message)
any_message: st.SearchStrategy[Message] = st.sampled_from(kinds).flatmap(records)
_NOT_IN_SESSION = {Hello, Welcome, messages.Refused}
from_master = st.sampled_from([k for k in get_args(MasterMessage) if k not in _NOT_IN_SESSION]).flatmap(records)
from_slave = st.sampled_from([k for k in get_args(SlaveMessage) if k not in _NOT_IN_SESSION]).flatmap(records)

HELLO = Hello((1,), FARM, 7, "secret")
WELCOME = Welcome(1, "bob", ("i386",), ("binarypackage",), "simulated", 10**9, Status(SlaveState.IDLE))


def open_pair() -> tuple[Connection, Connection]:
    """Return master's and slave's side of a connection that is OPEN."""
    master, slave = Connection(Role.MASTER), Connection(Role.SLAVE)
    slave.receive_data(master.send(HELLO))
    assert slave.next_event() == HELLO
    master.receive_data(slave.send(WELCOME))
    assert master.next_event() == WELCOME
    return master, slave


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return `stream` cut at each of `cuts`, taken modulo its length; no piece is empty."""
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)}) if stream else [0]
    return [stream[a:b] for a, b in itertools.pairwise(places)]

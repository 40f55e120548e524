"""A name is looked up without waiting, and every answer is addresses or words."""

from __future__ import annotations

import select
import socket
import threading
from typing import Any

import pytest

from actors.builder.name_lookup import Lookup

PATIENCE = 10.0


def answer(lookup: Lookup) -> Any:
    assert select.select([lookup], [], [], PATIENCE)[0], "nothing became readable"
    found = lookup.found()
    lookup.close()
    return found


@pytest.mark.parametrize(("host", "family"), [("192.0.2.7", socket.AF_INET), ("2001:db8::7", socket.AF_INET6)])
def test_an_address_is_its_own_answer_at_once(host: str, family: int) -> None:
    lookup = Lookup(host, 8221)
    assert lookup.found() == ((family, (host, 8221)),)
    lookup.close()


def test_a_name_gives_its_addresses_when_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def slow(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert asked.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    lookup = Lookup("slave.example", 8221)
    assert lookup.found() is None
    asked.set()
    assert answer(lookup) == ((socket.AF_INET, ("192.0.2.7", 8221)),)


@pytest.mark.parametrize("host", ["no such name", "x" * 300, "a..b"])
def test_what_can_not_be_looked_up_is_said_in_words(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, *_: object, **__: object) -> object:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = answer(Lookup(host, 8221))
    assert isinstance(said, str)
    assert said.startswith(f"the name {host} can't be looked up: ")


def test_who_is_no_longer_interested_need_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, done = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        assert go_on.wait(PATIENCE)
        done.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    Lookup("slave.example", 8221).close()
    go_on.set()
    assert done.wait(PATIENCE)

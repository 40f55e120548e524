"""The base of every actor, without processes: what it hands on, and how it dies."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage, WatchMessage

from actors.addressed import Here, QueueMoved, Start
from actors.console.orders import Injected
from actors.farm_actor import FarmActor, crash_reason
from actors.messages import Crash, Crashed, Describe, Description, Retire
from actors.settings import Settings

PARENT, CONSOLE, QUEUE, MYSELF = (ActorAddress(name) for name in ("parent", "console", "queue", "myself"))


class Actor(FarmActor):
    """Remembers what its hooks were called with."""

    myAddress = MYSELF  # noqa: N815 - Thespian's name

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[object] = []
        self.sent: list[tuple[ActorAddress, object]] = []

    def send(self, address: ActorAddress, message: object) -> None:
        self.sent.append((address, message))

    def begin(self, start: Start) -> None:
        self.calls.append(start)

    def receive(self, message: object, sender: ActorAddress) -> None:
        self.calls.append((message, sender))
        if message == Retire("break"):
            raise ValueError("first line\nsecond line")

    def readable(self, descriptors: tuple[int, ...]) -> None:
        self.calls.append(descriptors)

    def woken(self, payload: object) -> None:
        self.calls.append(payload)

    def occupation(self) -> str:
        return "attempt 7"

    def ended(self) -> None:
        self.calls.append("ended")


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> Actor:
    """An actor that has begun."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    made = Actor()
    made.receiveMessage(Start("bob", "builder", 3, Settings(), supervisor=PARENT, queue=QUEUE), PARENT)
    return made


def said_to(actor: Actor, address: ActorAddress) -> list[Any]:
    return [message for to, message in actor.sent if to is address]


def test_it_begins_once_and_then_says_that_it_is_here(actor: Actor) -> None:
    (start,) = actor.calls
    actor.receiveMessage(start, PARENT)
    assert actor.calls == [start]
    (here,) = said_to(actor, PARENT)
    assert isinstance(here, Here)
    assert (here.name, here.kind, here.generation) == ("bob", "builder", 3)
    assert (actor.queue, actor.parent) == (QUEUE, PARENT)


def test_every_kind_of_message_reaches_its_hook_and_the_watch_list_is_returned_each_time(actor: Actor) -> None:
    actor.calls.clear()
    actor.watched = {5, 6}
    for message in (WatchMessage([5]), WakeupMessage(None, "payload"), Retire("x")):
        watch = actor.receiveMessage(message, CONSOLE)
        assert watch is not None
        assert sorted(watch.filenos) == [5, 6]
    assert actor.calls == [(5,), "payload", (Retire("x"), CONSOLE)]


def test_after_its_first_error_it_tells_its_parent_why_and_handles_nothing_more(actor: Actor) -> None:
    actor.calls.clear()
    assert actor.receiveMessage(Retire("break"), CONSOLE) is None
    assert actor.receiveMessage(Retire("break"), CONSOLE) is None
    assert actor.receiveMessage(Retire("later"), CONSOLE) is None
    assert actor.receiveMessage(ActorExitRequest(), MYSELF) is None
    assert actor.calls == [(Retire("break"), CONSOLE)]
    _, crashed = said_to(actor, PARENT)
    assert isinstance(crashed, Crashed)
    assert crashed.reason.startswith("ValueError: first line (test_farm_actor.py:")
    assert crashed.reason.endswith("in receive), during attempt 7")
    assert "Traceback" in crashed.story
    assert [type(message) for message in said_to(actor, MYSELF)] == [ActorExitRequest]


def test_it_lets_go_when_it_is_told_to_exit(actor: Actor) -> None:
    actor.receiveMessage(ActorExitRequest(), PARENT)
    assert actor.calls[-1] == "ended"


def test_it_describes_itself(actor: Actor) -> None:
    actor.receiveMessage(Retire("x"), CONSOLE)
    actor.receiveMessage(Describe(), CONSOLE)
    (described,) = said_to(actor, CONSOLE)
    assert isinstance(described, Description)
    assert (described.name, described.messages_in, described.messages_out) == ("bob", 2, 1)
    assert described.last_message == "Retire"


def test_an_injected_message_comes_as_if_from_whom_the_console_says(actor: Actor) -> None:
    actor.receiveMessage(Injected(Retire("x"), QUEUE, "somebody"), CONSOLE)
    actor.receiveMessage(Injected(Retire("y"), None, "somebody"), CONSOLE)
    assert actor.calls[-2:] == [(Retire("x"), QUEUE), (Retire("y"), CONSOLE)]


def test_an_injected_crash_is_a_crash(actor: Actor) -> None:
    actor.receiveMessage(Injected(Crash("told so"), None, "somebody"), CONSOLE)
    assert "InjectedCrash: told so" in said_to(actor, PARENT)[-1].reason


def test_it_keeps_the_address_of_the_queue_actor_up_to_date(actor: Actor) -> None:
    moved = QueueMoved(CONSOLE)
    actor.receiveMessage(moved, PARENT)
    assert actor.queue is CONSOLE
    assert actor.calls[-1] == (moved, PARENT)


def test_a_crash_without_words_or_traceback_still_has_a_reason() -> None:
    assert crash_reason(KeyboardInterrupt()) == "KeyboardInterrupt"

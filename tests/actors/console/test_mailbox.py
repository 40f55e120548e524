"""What a frozen actor keeps, and in which order it is handled."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from actors.system import transport  # isort: skip - first: it loads Thespian without a warning  # noqa: F401
from actors.console.examined import Due, Examined
from actors.console.mailbox import Mailbox
from actors.console.orders import Freeze, Held, StepOn, Thaw
from actors.messages import Crash, Describe, Ready, Retire

from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage, WatchMessage  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Callable

BOB = ActorAddress(None)


class Double:
    """An actor that notes what it handles."""

    def __init__(self) -> None:
        self.name, self.generation, self.freezable, self.watched = "bob", 1, True, {7}
        self.done: list[object] = []
        self.told: list[object] = []
        self.timers: list[tuple[float, object]] = []
        self.out = io.StringIO()
        self.log: Any = self

    def warning(self, text: str, *_: object) -> None:
        self.out.write(text)

    def tell(self, address: ActorAddress, message: object) -> None:
        assert address is BOB
        self.told.append(message)

    def wake_after(self, seconds: float, payload: object = None) -> None:
        self.timers.append((seconds, payload))

    def readable(self, descriptors: tuple[int, ...]) -> None:
        self.done.append(descriptors)

    def story(self) -> tuple[str, ...]:
        return ()

    def wrap_cores(self, wrap: Callable[[str, Any], Any]) -> None:
        pass

    def handle(self, message: object, sender: ActorAddress) -> None:
        assert sender is BOB
        self.done.append(message)


def timer(payload: object) -> WakeupMessage:
    return WakeupMessage(1.0, payload)


def test_what_came_first_is_handled_first_but_timers_last_and_what_was_readable_before_all() -> None:
    bob = Double()
    examined = Examined(bob)
    examined.obey(Freeze(30.0, "anna"), BOB)
    tick = timer("tick")
    for message in (tick, Ready("bob", 1, 1), WatchMessage([7]), Retire("bob")):
        assert examined.holds(message, message, BOB)
    assert examined.frozen
    assert bob.done == []
    examined.obey(Thaw("anna"), BOB)
    assert bob.done == [(7,), Ready("bob", 1, 1), Retire("bob"), tick]
    assert examined.over
    frozen, thawed = bob.told
    assert isinstance(frozen, Held)
    assert isinstance(thawed, Held)
    assert (frozen.waiting, thawed.seconds, thawed.handled) == ((), None, "3 messages")


def test_who_steps_on_a_timer_has_the_sockets_read_before() -> None:
    bob = Double()
    examined = Examined(bob)
    examined.obey(Freeze(30.0, "anna"), BOB)
    tick = timer("tick")
    for message in (Ready("bob", 1, 1), tick):
        examined.holds(message, message, BOB)
    for _ in range(3):
        examined.obey(StepOn("anna"), BOB)
    assert bob.done == [Ready("bob", 1, 1), (7,), tick, (7,)]
    handled = [held.handled for held in bob.told if isinstance(held, Held)]
    assert handled == ["", "Ready", "a timer", "what its sockets had"]


def test_ends_crashes_questions_and_the_console_are_never_held() -> None:
    mailbox = Mailbox(30.0)
    for message in (ActorExitRequest(), Crash(), Describe(), Thaw("anna"), StepOn("anna")):
        assert not mailbox.hold(message, message, BOB)
    assert mailbox.hold(Ready("bob", 1, 1), Ready("bob", 1, 1), BOB)
    assert mailbox.waiting() == ("Ready",)


def test_it_thaws_by_itself_when_the_last_freeze_has_passed() -> None:
    bob = Double()
    examined = Examined(bob)
    examined.obey(Freeze(30.0, "anna"), BOB)
    examined.obey(Freeze(60.0, "anna"), BOB)
    (_, first), (_, second) = bob.timers
    assert isinstance(first, Due)
    assert isinstance(second, Due)
    examined.holds(Ready("bob", 1, 1), Ready("bob", 1, 1), BOB)
    assert not examined.holds(timer(first), timer(first), BOB)
    examined.woken(first)
    assert examined.words().endswith("1 message held")
    examined.woken(second)
    assert examined.words() == ""
    assert bob.done == [(7,), Ready("bob", 1, 1)]


def test_what_can_not_be_frozen_or_is_not_says_so() -> None:
    bob = Double()
    examined = Examined(bob)
    for seconds in (0.0, -1.0, 601.0, float("nan")):
        examined.obey(Freeze(seconds, "anna"), BOB)
    examined.obey(Thaw("anna"), BOB)
    examined.obey(StepOn("anna"), BOB)
    bob.freezable = False
    examined.obey(Freeze(30.0, "anna"), BOB)
    assert [bool(held.refused) for held in bob.told if isinstance(held, Held)] == [True] * 7
    assert examined.over

"""Taps: copies of what an actor handles and sends, that nobody waits for."""

from __future__ import annotations

import contextlib
import io
import json
import queue as queue_module
import socket
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import pytest

from actors.addressed import Here
from actors.console import tap
from actors.console.attach import NotAttached
from actors.console.lossless import read
from actors.console.orders import Census, Tap
from actors.console.tap import TappedCore, Taps
from actors.core.builder.core import BuilderCore
from actors.core.builder.events import Begun, QueueSaid, TimeCame
from actors.core.timers import Timers
from actors.messages import Disown, Ready, SessionOpened
from console.listening import Copy, Listener
from console.next_lives import NextLives
from console.obeying import Console
from protocol.transfer import Push
from tests.fix_queue import a_builder
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fix_small_farm import SmallFarm

ATTEMPT = UUID(int=0)


class Heard:
    """A listener, and what it has heard."""

    def __init__(self) -> None:
        self.copies: list[Copy] = []
        self.listener = Listener(self.copies.append)

    def order(self, **more: Any) -> Tap:
        return Tap(self.listener.port, self.listener.secret, **more)

    def wait_ended(self) -> list[Copy]:
        assert self.listener.wait(lambda: bool(self.listener.ended), 10)
        return self.copies


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Listen to taps."""
    one = Heard()
    yield one
    one.listener.close()


@pytest.fixture
def taps() -> Taps:
    """The taps of an actor."""
    return Taps("bob", 3, 4711, "1.0")


def test_messages_are_copied_as_they_are_and_by_type(taps: Taps, heard: Heard) -> None:
    taps.open(heard.order(types=frozenset({"Ready"})))
    taps.message("sent", Ready("bob", 3, 7), "queue's address")
    taps.message("handled", Disown("bob", 3, ATTEMPT, "x"), "queue's address")
    taps.close(heard.listener.port, "seen")
    begun, sent, ended = heard.wait_ended()
    assert (begun["kind"], begun["pid"], begun["version"]) == ("begun", 4711, "1.0")
    assert (sent["kind"], sent["actor"], sent["generation"], sent["type"]) == ("sent", "bob", 3, "Ready")
    assert read(sent["message"]) == Ready("bob", 3, 7)
    assert (ended["kind"], ended["why"]) == ("ended", "seen")
    assert not taps


def test_a_tapped_core_is_itself_again_when_nobody_listens(taps: Taps, heard: Heard) -> None:
    core = BuilderCore(a_builder("bob"), 3, Timers())
    assert taps.wrap("builder", core) is core
    taps.open(heard.order(cores=True))
    tapped = taps.wrap("builder", core)
    assert isinstance(tapped, TappedCore)
    assert taps.wrap("builder", tapped) is tapped
    orders = tapped.handle(Begun(1.0))
    assert tapped.described() == core.described()
    taps.close(None, "enough")
    assert taps.wrap("builder", tapped) is core
    _, opening, event, _ = heard.wait_ended()
    fresh = read(opening["state"])
    assert fresh.handle(*(read(one) for one in event["events"])) == orders
    assert tuple(read(one) for one in event["orders"]) == orders != ()


def test_what_is_set_from_outside_or_raised_is_in_the_story(taps: Taps, heard: Heard) -> None:
    core = BuilderCore(a_builder("bob"), 3, Timers())
    taps.open(heard.order(cores=True))
    tapped = taps.wrap("builder", core)
    tapped.handle(Begun(1.0))
    tapped.generation = 4
    assert core.generation == 4
    tapped.handle(QueueSaid(2.0, SessionOpened("bob", 4, 7, "farm")))
    with pytest.raises(AttributeError):
        tapped.handle("nonsense")
    taps.close(None, "enough")
    kinds = [copy["kind"] for copy in heard.wait_ended()]
    assert kinds == ["begun", "opening", "event", "opening", "event", "event", "ended"]


def test_a_core_that_can_not_be_written_down_now_is_tried_again(taps: Taps, heard: Heard) -> None:
    core = BuilderCore(a_builder("bob"), 3, Timers())
    core.handle(Begun(1.0))
    core.pushing = Push("0" * 64, 10)  # type: ignore[attr-defined]  # as in the middle of a push: it has a generator
    taps.open(heard.order(cores=True))
    tapped = taps.wrap("builder", core)
    tapped.handle(TimeCame(1.1))
    del core.pushing  # type: ignore[attr-defined]
    tapped.handle(TimeCame(1.2))
    tapped.handle(TimeCame(1.3))
    taps.close(None, "enough")
    kinds = [copy["kind"] for copy in heard.wait_ended()]
    assert kinds == ["begun", "unopened", "event", "opening", "event", "event", "ended"]


def drained(taps: Taps, peer: socket.socket) -> bytes:
    octets = b""
    while taps.behind:
        octets += peer.recv(1 << 20)
        taps.flush()
    return octets


def test_a_console_that_does_not_listen_holds_up_nobody_and_is_told_how_many_lines_it_lost(
    taps: Taps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "BACKLOG", 100_000)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        taps.open(Tap(deaf.getsockname()[1], "secret"))
        peer, _ = deaf.accept()
        with peer:
            sent = 0
            while sent < 20_000:  # more than the sockets' buffers take
                taps.message("sent", Disown("bob", 3, ATTEMPT, "x" * 1000), "peer")
                sent += 1
            assert taps.behind
            octets = drained(taps, peer)
            taps.message("sent", Ready("bob", 3, 7), "peer")
            while b'"Ready"' not in octets:
                octets += peer.recv(1 << 20)
            taps.close(None, "seen")
    lines = [json.loads(line) for line in octets.splitlines()]
    (lost,) = [line for line in lines if line.get("kind") == "lost"]
    assert lost["lines"] > 0
    assert sum(line.get("type") == "Disown" for line in lines) + lost["lines"] == sent


def test_after_lost_lines_a_core_is_written_down_again(taps: Taps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "BACKLOG", 100_000)
    core = BuilderCore(a_builder("bob"), 3, Timers())
    with socket.create_server(("127.0.0.1", 0)) as slow:
        taps.open(Tap(slow.getsockname()[1], "secret", cores=True))
        tapped = taps.wrap("builder", core)
        tapped.handle(Begun(1.0))
        peer, _ = slow.accept()
        with peer:
            for number in range(15_000):
                taps.message("sent", Disown("bob", 3, ATTEMPT, "x" * 1000), "peer")
                if number % 100 == 0:
                    tapped.handle(TimeCame(1.0 + number / 1e6))
            octets = drained(taps, peer)
            tapped.handle(TimeCame(2.0))
            taps.close(None, "seen")
            while (more := peer.recv(1 << 20)) != b"":
                octets += more
    kinds = [line.get("kind") for line in map(json.loads, octets.splitlines()) if line.get("kind") != "sent"]
    assert kinds[:4] == [None, "begun", "opening", "event"]
    assert kinds[-4:] == ["lost", "opening", "event", "ended"]


def test_a_console_that_is_gone_is_forgotten(taps: Taps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        taps.open(Tap(door.getsockname()[1], "secret"))
        door.accept()[0].close()
    for _ in range(10_000):
        taps.message("sent", Ready("bob", 3, 7), "peer")
        if not taps:
            break
    assert not taps.behind
    taps.open(Tap(1, "secret"))  # nobody ever listened there
    for _ in range(1_000):
        taps.message("sent", Ready("bob", 3, 7), "peer")
        if not taps:
            break
    assert not taps


@pytest.mark.parametrize(
    "greeting", [b'{"secret": "another", "shape": 1}\n', b"GET / HTTP/1.0\n", b"x" * 5000, b"[]\n{}\n"]
)
def test_who_does_not_know_the_secret_is_not_listened_to(heard: Heard, greeting: bytes) -> None:
    with socket.create_connection(("127.0.0.1", heard.listener.port), timeout=10) as stranger:
        stranger.sendall(greeting)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert heard.copies == []


def test_a_tap_into_a_file_goes_on_while_other_lines_are_typed_and_ends_with_untap(
    small_farm: SmallFarm, tmp_path: Path
) -> None:
    out, file = io.StringIO(), tmp_path / "story"
    console = Console(small_farm.attached, out, small_farm.given, why="a test")
    console.obey(f"tap toad supervisor --to {file}")
    console.obey("send supervisor GoneNoted('nobody', 1)")
    console.obey("untap")
    console.obey("untap")
    assert out.getvalue().splitlines()[-2:] == [
        f"{file}: {len(file.read_text().splitlines())} lines",
        "nobody is tapped into a file",
    ]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["actor"] for line in lines if line["kind"] == "begun"] == ["toad", "supervisor"]
    (handled,) = [line for line in lines if line["kind"] == "handled"]
    assert (handled["type"], handled["peer"]) == ("GoneNoted", "queue")
    (event,) = [line for line in lines if line["kind"] == "event"]
    assert event["core"] == "supervision"
    replayed = io.StringIO()
    assert Console(None, replayed, small_farm.given).obey(f"replay {file}") == 0
    assert replayed.getvalue() == "supervisor, generation 1, supervision: 1 events\nno difference\n"


def test_a_tap_ends_with_its_actor(small_farm: SmallFarm, heard: Heard) -> None:
    toad = small_farm.here("toad")
    assert toad is not None
    assert small_farm.attached.tell(toad, heard.order())
    small_farm.obey("crash toad of a tap")
    begun, handled, ended = heard.wait_ended()
    assert (begun["actor"], handled["type"]) == ("toad", "Crash")
    assert "it crashed: of a tap" in ended["why"]
    small_farm.wait_generation("toad", toad.generation + 1)


def test_who_is_killed_while_tapped_is_heard_to_be_gone(small_farm: SmallFarm, heard: Heard) -> None:
    toad = small_farm.here("toad")
    assert toad is not None
    assert small_farm.attached.tell(toad, heard.order())
    assert heard.listener.wait(lambda: bool(heard.listener.begun), 10)
    small_farm.obey("kill toad")
    *_, ended = heard.wait_ended()
    assert (ended["kind"], ended["actor"], ended["generation"]) == ("ended", "toad", toad.generation)
    assert ended["why"] == "its process is gone"
    small_farm.wait_generation("toad", toad.generation + 1)


@pytest.mark.parametrize("how", ["crash toad of a tap", "kill toad"])
def test_a_tap_goes_on_in_its_actors_next_life(small_farm: SmallFarm, tmp_path: Path, how: str) -> None:
    file, toad = tmp_path / "story", small_farm.here("toad")
    assert toad is not None
    console = Console(small_farm.attached, io.StringIO(), small_farm.given, why="a test")
    console.obey(f"tap toad supervisor --to {file}")
    small_farm.obey(how)
    small_farm.wait_generation("toad", toad.generation + 1)

    def lives() -> list[int]:
        lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
        return [line["generation"] for line in lines if (line["kind"], line["actor"]) == ("begun", "toad")]

    wait_until(lambda: lives() == [toad.generation, toad.generation + 1])
    console.close()


class Farm:
    """What the next lives ask of a farm, as an `Attached`."""

    def __init__(self, *here: Here, absent: tuple[tuple[str, str], ...] = ()) -> None:
        self._census = Census(here, (), absent)
        self.told: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def census(self) -> Census:
        return self._census

    def tell(self, here: Here, _order: object) -> bool:
        self.told.append((here.name, here.generation))
        return True


def test_an_actor_that_nobody_misses_has_no_next_life() -> None:
    queue = Here("queue", "queue", 7, 1, None)
    farms = iter(
        [
            NotAttached("the master is started again"),
            Farm(absent=(("bob", "it starts"),)),  # the queue actor is gone, and bob will come
            Farm(queue, Here("bob", "builder", 1, 1, None)),
            Farm(queue, Here("bob", "builder", 2, 1, None)),
        ]
    )
    last: list[Any] = []

    def enter() -> Any:
        last.append(next(farms, last[-1] if last else None))
        if isinstance(last[-1], NotAttached):
            raise last[-1]
        return last[-1]

    gone: queue_module.Queue[tuple[str, int]] = queue_module.Queue()
    lives = NextLives(enter, Tap(1, "secret"), lambda _: None, lambda name, generation: gone.put((name, generation)))
    lives.died("bob", 1)
    lives.died("queue", 7)
    assert gone.get(timeout=30) == ("queue", 7)
    wait_until(lambda: isinstance(last[-1], Farm) and ("bob", 2) in last[-1].told)
    lives.lives("bob", 2)
    lives.close()
    assert [farm.told for farm in last[1:-1] if isinstance(farm, Farm)].count([]) >= 2
    assert gone.empty()


def test_ask_waits_for_what_is_answered(small_farm: SmallFarm) -> None:
    asked = io.StringIO()
    console = Console(small_farm.attached, asked, small_farm.given, why="a test")
    assert console.obey("ask queue BuilderGone('toad', 0, 'nothing happened')") == 0
    assert asked.getvalue() == 'GoneNoted(builder="toad", generation=0)\n'

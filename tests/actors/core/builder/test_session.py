"""The connection of a builder's core: ladder, greeting, fit, silence (dispatch-rules §6 "Unreachable", §8)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from actors.core.builder.events import QueueReplaced, TimersChanged
from actors.core.builder.orders import Connect, Disconnect, Greet
from actors.core.builder.session import SessionState
from actors.core.timers import Timers
from actors.messages import (
    AdoptionWanted,
    BuilderTroubled,
    ProbePassed,
    Ready,
    RuntimeChanged,
    SessionOpened,
    SessionWanted,
)
from protocol.messages import (
    Echo,
    EchoReply,
    Heartbeat,
    Query,
    RefusalCode,
    Refused,
    SlaveState,
    Status,
)
from storage.records import NotOkBy, NotOkKind, RuntimeState
from tests.fix_builder import FARM, IDLE, Scene, an_order, bob, building, kinds


def state(scene: Scene) -> SessionState:
    return scene.core.session.state


def the_trouble(scene: Scene) -> BuilderTroubled:
    (trouble,) = scene.told(BuilderTroubled)
    return trouble


def test_it_asks_for_an_epoch_before_it_connects(scene: Scene) -> None:
    assert kinds(scene.begin()) == ["SessionWanted"]
    assert not [order for order in scene.orders if isinstance(order, Connect)]
    assert Connect("127.0.0.1", 8221) in scene.grant()


def test_a_wish_for_an_epoch_that_nobody_answers_is_repeated_ever_more_seldom(scene: Scene) -> None:
    scene.begin()
    for seconds, times in ((2.1, 2), (4.1, 3), (8.1, 4), (16.1, 5), (16.1, 6)):
        scene.pass_time(seconds)
        assert len(scene.told(SessionWanted)) == times


def test_the_next_queue_actor_is_asked_at_once_for_the_epoch_that_the_last_one_did_not_give(scene: Scene) -> None:
    scene.begin()
    scene.pass_time(8.0)
    assert kinds(scene.happen(QueueReplaced(scene.at))) == ["SessionWanted"]
    assert kinds(scene.pass_time(2.1)) == ["SessionWanted"]


def test_an_epoch_that_comes_twice_is_taken_once(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    assert not scene.grant()


def test_an_answer_to_an_earlier_life_is_dropped(scene: Scene) -> None:
    scene.begin()
    assert not scene.queue_says(SessionOpened("bob", 0, 9, FARM))


def test_the_token_is_left_to_the_shell_and_an_idle_slave_is_probed_healed_and_ready(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    assert scene.connect() == [Greet(1, FARM)]
    assert kinds(scene.slave_says(scene.welcome())) == ["Echo"]
    echo = scene.last(Echo)
    assert kinds(scene.slave_says(EchoReply(echo.id, echo.data))) == ["ProbePassed", "Ready"]
    assert scene.told(Ready) == [Ready("bob", 1, 1)]
    assert scene.told(RuntimeChanged)[-1] == RuntimeChanged("bob", 1, RuntimeState.IDLE, connected=True)


def test_three_refused_connections_after_0_1_and_3_seconds_make_it_unreachable(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    scene.fail()
    scene.pass_time(0.9)
    assert not scene.told(BuilderTroubled)
    scene.pass_time(0.1)
    assert state(scene) is SessionState.CONNECTING
    scene.fail()
    scene.pass_time(1.9)
    assert state(scene) is SessionState.RESTING
    scene.pass_time(0.1)
    assert state(scene) is SessionState.CONNECTING
    assert not scene.told(BuilderTroubled)
    scene.fail()
    trouble = the_trouble(scene)
    assert trouble.kind is NotOkKind.UNREACHABLE
    assert "127.0.0.1 port 8221" in trouble.failnotes
    assert "connection refused" in trouble.failnotes


def test_an_epoch_that_no_slave_has_seen_is_used_again(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    scene.fail()
    scene.pass_time(1)
    assert len(scene.told(SessionWanted)) == 1


def test_an_unreachable_builder_is_tried_after_5_seconds_doubling_to_10_minutes(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    scene.fail()
    pauses = []
    for _ in range(11):
        pauses.append(round(scene.core.session._retry_at - scene.at, 3))
        scene.pass_time(pauses[-1])
        scene.fail()
    assert pauses == [1, 2, 5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_the_same_trouble_is_told_once_while_the_row_says_not_ok(scene: Scene) -> None:
    unreachable(scene)
    scene.change_row(builderok=False)
    scene.pass_time(5)
    scene.fail()
    the_trouble(scene)


def test_who_is_set_ok_by_a_person_is_tried_at_once_and_its_trouble_told_again(scene: Scene) -> None:
    unreachable(scene)
    scene.change_row(builderok=False)
    scene.pass_time(5)
    scene.fail()
    scene.pass_time(1)
    scene.change_row(builderok=True)
    scene.pass_time(0)
    assert state(scene) is SessionState.CONNECTING
    for pause in (1, 2, 0):
        scene.fail()
        scene.pass_time(pause)
    assert len(scene.told(BuilderTroubled)) == 2


def test_an_unreachable_builder_heals_when_the_probe_passes(scene: Scene) -> None:
    unreachable(scene)
    scene.pass_time(5)
    assert kinds(scene.open_session())[-2:] == ["ProbePassed", "Ready"]
    assert len(scene.told(ProbePassed)) == 1


def test_a_connection_that_takes_over_10_seconds_counts_as_failed(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    scene.pass_time(10)
    assert any(isinstance(order, Disconnect) for order in scene.orders)
    assert scene.core.session.failures == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architectures": ("amd64",)}, "wrong architecture: it builds for amd64"),
        ({"version": 2}, "protocol version 2"),
        ({"build_types": ("livefs",)}, "build type binarypackage"),
    ],
)
def test_a_slave_that_does_not_fit_makes_the_builder_not_ok_and_the_notes_say_which(
    scene: Scene, fields: dict[str, Any], words: str
) -> None:
    scene.begin()
    scene.grant()
    scene.connect()
    orders = scene.slave_says(scene.welcome(**fields))
    assert the_trouble(scene).kind is NotOkKind.MISFIT
    assert words in the_trouble(scene).failnotes
    assert any(isinstance(order, Disconnect) for order in orders)
    assert not scene.told(Ready)


def test_a_slave_that_builds_for_some_of_its_builders_families_only_does_not_fit() -> None:
    # Jobs are matched by family: it would be given those for amd64 again and again, and idle after each refusal.
    scene = Scene(bob(families=("amd64", "x86"), architectures=("amd64", "i386")))
    scene.begin()
    scene.grant()
    scene.connect()
    scene.slave_says(scene.welcome(architectures=("i386",)))
    assert "it builds for i386, but the builder's families need amd64" in the_trouble(scene).failnotes


def test_such_a_slave_is_not_turned_away_with_the_build_that_it_has() -> None:
    scene = Scene(bob(families=("amd64", "x86"), architectures=("amd64", "i386")))
    scene.begin()
    scene.open_session(building(uuid4()))
    assert scene.told(AdoptionWanted)
    assert not scene.told(BuilderTroubled)


def test_a_slave_without_isolation_serves_no_untrusted_builder() -> None:
    scene = Scene(bob(trusted=False))
    scene.begin()
    scene.grant()
    scene.connect()
    scene.slave_says(scene.welcome(backend="host"))
    assert "isolates nothing" in the_trouble(scene).failnotes


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (RefusalCode.WRONG_FARM, "belongs to another farm"),
        (RefusalCode.WRONG_TOKEN, "token"),
        (RefusalCode.WRONG_VERSION, "version"),
    ],
)
def test_a_slave_that_refuses_makes_the_builder_not_ok_and_the_notes_say_why(
    scene: Scene, code: RefusalCode, words: str
) -> None:
    scene.begin()
    scene.grant()
    scene.connect()
    scene.slave_says(Refused(code, "no"))
    assert the_trouble(scene).kind is NotOkKind.MISFIT
    assert words in the_trouble(scene).failnotes


def test_a_stale_epoch_is_replaced_and_blames_nobody_until_the_third_time(scene: Scene) -> None:
    scene.begin()
    for _ in range(3):
        scene.grant()
        scene.connect()
        assert kinds(scene.slave_says(Refused(RefusalCode.STALE_EPOCH, "")))[-1] == "SessionWanted"
        assert not scene.told(BuilderTroubled)
    scene.grant()
    scene.connect()
    scene.slave_says(Refused(RefusalCode.STALE_EPOCH, ""))
    assert "newer session" in the_trouble(scene).failnotes


def test_a_probe_that_comes_back_changed_is_a_misfit(scene: Scene) -> None:
    scene.begin()
    scene.grant()
    scene.connect()
    scene.slave_says(scene.welcome())
    scene.slave_says(EchoReply(scene.last(Echo).id, b"something else"))
    assert "echo" in the_trouble(scene).failnotes
    assert not scene.told(Ready)


def test_a_url_that_is_none_is_a_misfit_and_not_connected_to() -> None:
    scene = Scene(bob(url="https://127.0.0.1/"))
    scene.begin()
    assert not any(isinstance(order, Connect) for order in scene.grant())
    assert "no usable URL" in the_trouble(scene).failnotes


def test_garbage_is_the_slaves_fault_and_the_notes_say_what(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    scene.fail("frame of 4294967295 bytes announced", lied=True)
    assert the_trouble(scene).kind is NotOkKind.MISFIT
    assert "frame of 4294967295 bytes" in the_trouble(scene).failnotes


def test_who_has_nothing_to_say_sends_a_heartbeat_every_5_seconds(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    scene.pass_time(14.9)
    assert scene.count(Heartbeat) == 2


def test_a_slave_silent_for_15_seconds_is_asked_and_after_45_it_is_lost(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    scene.pass_time(15)
    assert scene.count(Query) == 1
    scene.pass_time(29.9)
    assert scene.core.session.open
    scene.pass_time(0.1)
    assert any(isinstance(order, Disconnect) and "45 seconds" in order.reason for order in scene.orders)
    assert scene.told(RuntimeChanged)[-1].connected is False


def test_a_slave_that_answers_is_not_lost(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    for _ in range(5):
        scene.pass_time(15)
        scene.slave_says(IDLE)
    assert scene.core.session.open


def test_a_session_that_lasted_is_taken_up_again_at_once(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    scene.pass_time(11)
    scene.fail("connection reset by peer")
    scene.pass_time(0)
    assert state(scene) is SessionState.ASKING
    assert not scene.told(BuilderTroubled)


def test_a_slave_that_drops_every_session_at_once_is_not_hammered(scene: Scene) -> None:
    scene.begin()
    for _ in range(3):
        scene.open_session()
        scene.fail("the slave closed the connection")
        scene.pass_time(2)
    assert the_trouble(scene).kind is NotOkKind.UNREACHABLE
    assert state(scene) is SessionState.RESTING


def test_a_new_url_is_connected_to_at_once(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    orders = scene.change_row(url="buildd://127.0.0.1:9000")
    assert any(isinstance(order, Disconnect) for order in orders)
    scene.pass_time(0)
    assert Connect("127.0.0.1", 9000) in scene.grant()


def test_a_changed_flag_of_an_idle_builder_makes_it_ready_again_without_a_new_session(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    assert kinds(scene.change_row(trusted=False)) == ["Ready"]


def test_an_idle_builder_says_so_again_every_minute(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    for _ in range(12):
        scene.pass_time(10)
        scene.slave_says(IDLE)
    assert len(scene.told(Ready)) == 3


def test_a_restarted_queue_actor_is_told_again_who_is_ready(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    assert kinds(scene.happen(QueueReplaced(scene.at))) == ["ProbePassed", "Ready"]


def test_news_of_an_earlier_lifes_crash_that_come_late_are_answered_with_the_probe_that_was_passed_since(
    scene: Scene,
) -> None:
    scene.begin()
    crash = {"builderok": False, "failnotes": "x", "notok_by": NotOkBy.MACHINE, "notok_kind": NotOkKind.CRASH}
    assert "ProbePassed" not in kinds(scene.change_row(**crash))  # nothing is known yet
    scene.open_session()
    assert "ProbePassed" in kinds(scene.change_row(**crash))
    assert "ProbePassed" not in kinds(scene.change_row(**crash | {"notok_by": NotOkBy.PERSON, "notok_kind": None}))
    assert "ProbePassed" not in kinds(scene.change_row(**crash | {"notok_kind": NotOkKind.BREACH}))


def test_a_slave_that_builds_what_nobody_asked_for_is_a_breach(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    scene.slave_says(building(an_order().attempt))
    assert the_trouble(scene).kind is NotOkKind.BREACH
    assert not scene.core.session.open


def test_an_idle_slave_may_say_so_as_often_as_it_likes(scene: Scene) -> None:
    scene.begin()
    scene.open_session()
    assert not scene.slave_says(Status(SlaveState.IDLE))


def unreachable(scene: Scene) -> None:
    """Let three connections fail."""
    scene.begin()
    scene.grant()
    for pause in (1, 2, 0):
        scene.fail()
        scene.pass_time(pause)


def test_changed_timers_count_from_now_on_for_the_connection_and_for_the_attempt_in_hand(scene: Scene) -> None:
    scene.begin_building()
    changed = Timers(suspect=1.0, lost=2.0, heartbeat=0.5)
    scene.happen(TimersChanged(scene.at, changed))
    scene.pass_time(0.6)
    assert isinstance(scene.last(Heartbeat), Heartbeat)
    scene.pass_time(2.0)
    assert not scene.core.session.open
    assert scene.core.work is not None
    assert scene.core.work.timers is changed

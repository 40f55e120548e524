"""A core's story is put into words when it is read, and holds nothing of what came with the messages."""

from __future__ import annotations

from actors.core.builder.events import Begun, SlaveSaid
from actors.core.builder.orders import Send
from actors.core.builder.stages import AttemptStage, Stage
from actors.core.builder.story import Story
from protocol.messages import Abort, Clean, Heartbeat

SECRET = "0b0e7a3c-something-private"


def told() -> Story:
    story = Story(3)
    story.heard(1.0, Begun(1.0))
    story.heard(2.5, SlaveSaid(2.5, Heartbeat(7.0)))
    story.answered((Stage.WORKING, AttemptStage.STOPPING), [Send(Abort(1, SECRET)), Send(Clean(2, SECRET))])
    return story


def test_a_story_names_events_messages_orders_and_what_was_being_done() -> None:
    assert list(told()) == [
        "1.000 Begun",
        "2.500 SlaveSaid(Heartbeat)",
        f"{'':8}{Stage.WORKING.value}/{AttemptStage.STOPPING.value} → Send(Abort), Send(Clean)",
    ]


def test_a_story_forgets_what_is_long_ago_and_never_knew_what_a_message_said() -> None:
    story = told()
    story.answered((Stage.IDLE,), [Send(Heartbeat(9.0))])
    assert len(story) == 3
    assert story[0] == "2.500 SlaveSaid(Heartbeat)"
    assert story[1:][-1] == story[-1] == f"{'':8}{Stage.IDLE.value} → Send(Heartbeat)"
    assert SECRET not in " ".join(story)

"""The pause for what the master's own disk refuses: how it reads, whose it is, when it is looked at again."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from actors.core.attempts.own_disk import OwnDisk, is_own, pause_words, way_out


def test_a_pause_of_ours_says_what_was_refused_in_one_line_and_that_it_ends_by_itself() -> None:
    words = pause_words("the librarian in /x can't store a new file:\n No space left on device")
    assert words == "the master's own disk: the librarian in /x can't store a new file: No space left on device"
    assert is_own(words)
    assert way_out(words) == "goes on by itself when that is mended"


def test_a_persons_pause_is_not_ours_and_a_person_ends_it() -> None:
    assert not is_own("the mirror is being moved")
    assert not is_own("")
    assert "farm resume" in way_out("the mirror is being moved")


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans())))
def test_the_disk_is_tried_only_while_it_pauses_dispatch_and_not_more_often_than_asked(
    steps: list[tuple[float, bool]],
) -> None:
    disk, now, tried = OwnDisk(), 0.0, -math.inf
    for seconds, paused in steps:
        now += seconds
        due = disk.due(pause_words("full") if paused else "moving", now, 10.0)
        assert due == (paused and now - tried >= 10.0)
        if due:
            tried = now

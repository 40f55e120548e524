"""The build log only grows, and only up to its limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import LOG_BYTES
from slave.daemon import Limits
from slave.disk.build_log import CUT, BuildLog, LogTooLong


@given(pieces=st.lists(st.binary(max_size=40)), limit=st.integers(0, 100))
def test_a_log_is_what_was_written_cut_at_its_limit_with_a_word_about_it(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    sizes: list[int] = []
    log = BuildLog(tmp_path_factory.mktemp("log") / "log", limit=limit, grew=sizes.append)
    whole = b"".join(pieces)
    try:
        for piece in pieces:
            log.write(piece)
    except LogTooLong:
        assert len(whole) > limit
        with pytest.raises(LogTooLong):
            log.write(b"more")
        log.say("this is dropped")
        assert log.path.read_bytes() == whole[:limit] + CUT
    else:
        assert log.path.read_bytes() == whole
    assert sizes == sorted(sizes)
    assert log.size == log.path.stat().st_size
    log.close()


def test_a_log_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    for _ in range(2):
        log = BuildLog(tmp_path / "log", limit=100, grew=lambda _: None)
        log.say("hello")
        log.close()
    assert (tmp_path / "log").read_text() == "buildd-slave: hello\nbuildd-slave: hello\n"


def test_a_log_that_was_cut_is_not_too_long_for_the_master() -> None:
    assert Limits().log_bytes + len(CUT) <= LOG_BYTES

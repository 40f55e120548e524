"""One slave a directory; what it says it has saved is there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from protocol.messages import SlaveState
from slave.core.record import Record
from slave.disk.state_directory import StateDirectory
from slave.errors import CannotStart

ATTEMPT = "a0000000-0000-4000-8000-000000000000"
RECORD = Record(farm="f", epoch=7, state=SlaveState.BUILDING, attempt=ATTEMPT)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def test_a_record_survives(state: StateDirectory) -> None:
    assert state.load() == Record()
    state.save(RECORD)
    state.close()
    assert StateDirectory(state.path).load() == RECORD


def test_a_second_slave_is_refused_and_told_who_has_the_directory(state: StateDirectory) -> None:
    with pytest.raises(CannotStart, match=rf"process {os.getpid()}.*--state-directory"):
        StateDirectory(state.path)
    state.close()
    StateDirectory(state.path).close()


def test_nobody_else_may_look_into_the_directory(state: StateDirectory) -> None:
    assert state.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 99}', '"x"'])
def test_a_damaged_record_stops_the_start_with_its_name(state: StateDirectory, damage: str) -> None:
    (state.path / "state.json").write_text(damage)
    with pytest.raises(CannotStart, match=r"state\.json"):
        state.load()


def test_a_full_disk_gives_up_its_rubbish_before_it_loses_a_record(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = state.build(ATTEMPT)
    tree.mkdir()
    state.discard(tree)

    def full_while_there_is_rubbish(_descriptor: int) -> None:
        if state.rubbish():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_while_there_is_rubbish)
    state.save(RECORD)
    assert state.rubbish() == ()
    assert state.load() == RECORD


def test_a_record_that_cannot_be_written_leaves_the_one_before(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(RECORD)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.save(Record())
    monkeypatch.undo()
    assert state.load() == RECORD


def test_of_earlier_builds_only_log_and_results_of_the_held_one_stay(state: StateDirectory) -> None:
    for name in (ATTEMPT, "other"):
        (state.build(name) / "tree").mkdir(parents=True)
        (state.build(name) / "log").write_text("said so far")
    state.discard_all_but(ATTEMPT)
    assert [path.name for path in state.build(ATTEMPT).iterdir()] == ["log"]
    assert state.log_size(ATTEMPT) == 11
    assert not state.build("other").exists()
    state.empty_trash()
    assert state.rubbish() == ()

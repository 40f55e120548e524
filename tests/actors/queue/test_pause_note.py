"""The note that says why nothing is given away while the database can't be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.queue.pause_note import read_note, write_note


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "paused"


def test_the_note_says_why_and_since_when(file: Path) -> None:
    write_note(file, "the database does not answer: connection refused")
    note = read_note(file)
    assert note is not None
    assert note.why == "the database does not answer: connection refused"
    assert note.since.endswith(" UTC")


def test_a_note_takes_no_more_room_than_it_has_from_the_start(file: Path) -> None:
    write_note(file, "")
    before = file.stat()
    write_note(file, "ü" * 100_000)
    now = file.stat()
    assert (now.st_ino, now.st_size, now.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)
    note = read_note(file)
    assert note is not None
    assert set(note.why) == {"ü"}
    write_note(file, "short")
    note = read_note(file)
    assert note is not None
    assert note.why == "short"


def test_an_empty_note_and_none_are_none(file: Path) -> None:
    assert read_note(file) is None
    write_note(file, "")
    assert read_note(file) is None
    file.write_text("[1, 2")
    assert read_note(file) is None

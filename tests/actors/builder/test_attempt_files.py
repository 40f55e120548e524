"""Files of one attempt: its log at the right offsets, its results verified, what is pushed read as it is."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
import zstandard

from actors.builder.attempt_files import BLOCK, AttemptFiles
from storage.files.librarian import ContentMismatch, Librarian, NoSuchContent
from tests.fix_builder import sha256

ATTEMPT = UUID("6c1d0f6e-3c53-4b62-9d5a-1f5bb1f1a001")


@pytest.fixture
def librarian(tmp_path: Path) -> Librarian:
    return Librarian(tmp_path / "librarian")


@pytest.fixture
def files(tmp_path: Path, librarian: Librarian) -> AttemptFiles:
    return AttemptFiles(tmp_path, librarian)


def log_of(tmp_path: Path) -> bytes:
    return (tmp_path / f"{ATTEMPT}.log").read_bytes()


def test_a_log_is_opened_as_it_was_left_unless_it_is_to_be_fresh(files: AttemptFiles, tmp_path: Path) -> None:
    assert files.open_log(ATTEMPT, fresh=True) == 0
    files.append_log(ATTEMPT, 0, b"12345")
    files.close()
    assert files.open_log(ATTEMPT, fresh=False) == 5
    files.append_log(ATTEMPT, 5, b"678")
    assert log_of(tmp_path) == b"12345678"
    assert files.open_log(ATTEMPT, fresh=True) == 0
    assert log_of(tmp_path) == b""


def test_the_same_bytes_of_a_log_may_be_written_twice(files: AttemptFiles, tmp_path: Path) -> None:
    files.open_log(ATTEMPT, fresh=True)
    for _ in range(2):
        files.append_log(ATTEMPT, 0, b"123")
    assert log_of(tmp_path) == b"123"


def test_a_log_is_compressed_a_block_at_a_step(files: AttemptFiles, librarian: Librarian) -> None:
    log = os.urandom(1000) * (2 * BLOCK // 1000 + 1)
    files.open_log(ATTEMPT, fresh=True)
    files.append_log(ATTEMPT, 0, log)
    *steps, kept = files.keep_log(ATTEMPT, "foo.log.zst")
    assert steps == [None, None]
    assert kept is not None
    assert kept.filename == "foo.log.zst"
    packed = librarian.path(kept.content.sha256).read_bytes()
    assert sha256(zstandard.ZstdDecompressor().stream_reader(packed).read()) == sha256(log)


def test_a_log_that_was_never_written_is_not_kept(files: AttemptFiles) -> None:
    assert list(files.keep_log(ATTEMPT, "foo.log.zst")) == []
    files.open_log(ATTEMPT, fresh=True)
    assert list(files.keep_log(ATTEMPT, "foo.log.zst")) == []


@pytest.mark.parametrize("recorded", [True, False])
def test_only_a_log_that_is_recorded_goes_away(files: AttemptFiles, tmp_path: Path, recorded: bool) -> None:
    files.open_log(ATTEMPT, fresh=True)
    files.let_go(ATTEMPT, log_recorded=recorded)
    assert (tmp_path / f"{ATTEMPT}.log").exists() is not recorded


def test_a_chunk_is_what_the_librarian_has_there(files: AttemptFiles, librarian: Librarian) -> None:
    kept = librarian.add_bytes(b"0123456789")
    assert files.chunk(kept.sha256, 3, 4) == b"3456"
    assert files.chunk(kept.sha256, 10, 0) == b""
    with pytest.raises(OSError, match="ends at byte 10, 12 were due"):
        files.chunk(kept.sha256, 8, 4)
    with pytest.raises(NoSuchContent):
        files.chunk("00" * 32, 0, 1)


def test_a_result_is_stored_when_it_is_what_was_announced(files: AttemptFiles, librarian: Librarian) -> None:
    files.open_result(sha256(b"deb"), 3)
    files.write_result(b"de")
    files.write_result(b"b")
    kept = files.keep_result()
    assert kept is not None
    assert librarian.path(kept.sha256).read_bytes() == b"deb"
    assert files.read(kept.sha256, 2) == b"de"


def test_a_result_that_is_not_what_was_announced_is_dropped(files: AttemptFiles, librarian: Librarian) -> None:
    files.open_result(sha256(b"deb"), 3)
    files.write_result(b"DEB")
    with pytest.raises(ContentMismatch):
        files.keep_result()
    assert files.keep_result() is None
    assert not list((librarian.directory / "incoming").iterdir())


def test_a_result_that_was_refused_takes_no_more(files: AttemptFiles, librarian: Librarian) -> None:
    files.open_result(sha256(b"deb"), 3)
    with pytest.raises(ContentMismatch):
        files.write_result(b"longer")
    files.write_result(b"deb")
    assert files.keep_result() is None
    assert not list((librarian.directory / "incoming").iterdir())

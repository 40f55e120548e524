"""Whether this machine's disk takes logs and results is tried out by writing."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.queue.own_disk import refusal


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs", tmp_path / "librarian"


@pytest.fixture
def limit_files() -> Iterator[Callable[[int], None]]:
    """Let this process write no file larger than so many bytes: as a full disk or a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_with_room_refuses_nothing_and_nothing_stays(places: tuple[Path, Path]) -> None:
    logs, librarian = places
    assert refusal(logs, librarian) == ""
    assert not list(logs.iterdir())
    assert not list((librarian / "incoming").iterdir())


def test_a_librarian_that_can_be_written_no_more_says_so(
    places: tuple[Path, Path], limit_files: Callable[[int], None]
) -> None:
    logs, librarian = places
    limit_files(100)
    assert refusal(logs, librarian) == (
        f"the librarian in {librarian} can't store 65536 bytes: File too large: check its disk and owner"
    )
    limit_files(resource.RLIM_INFINITY)
    assert not list((librarian / "incoming").iterdir())


def test_logs_that_can_be_written_no_more_are_named(places: tuple[Path, Path]) -> None:
    logs, librarian = places
    logs.rmdir()
    assert refusal(logs, librarian) == f"{logs} can't be written: No such file or directory"

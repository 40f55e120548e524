"""What is weighed, and what the watch lets pass; here it looks at this test's own processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from slave.isolation import namespace_watch
from slave.isolation.namespace_watch import Allowed, Watch, memory, unnamed_memory, weigh

KIB = 1 << 10
UNLIMITED = Allowed(memory_bytes=None, processes=None, file_bytes=None, disk_bytes=None, disk_base=None, place="/")


def write(path: Path, size: int) -> None:
    """Write a file and have it on the disk: before, it may take no block there."""
    with path.open("wb", buffering=0) as file:
        file.write(os.urandom(size))
        os.fsync(file)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the only process that the watch sees."""
    monkeypatch.setattr(namespace_watch, "processes", lambda: [str(os.getpid())])


@pytest.mark.usefixtures("alone")
def test_names_of_one_file_weigh_once_holes_nothing_and_deleted_files_as_long_as_they_are_open(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "first", KIB)
    empty = weigh(str(tmp_path))
    made = tmp_path / "below" / "file"
    write(made, 512 * KIB)
    os.link(made, tmp_path / "again")
    (tmp_path / "around").symlink_to(tmp_path)
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(1 << 40)
    assert 512 * KIB <= weigh(str(tmp_path)) - empty < 600 * KIB
    with (tmp_path / "deleted").open("wb", buffering=0) as deleted:
        deleted.write(os.urandom(1024 * KIB))
        os.fsync(deleted)
        (tmp_path / "deleted").unlink()
        assert 1536 * KIB <= weigh(str(tmp_path)) - empty < 1700 * KIB
    assert weigh(str(tmp_path)) - empty < 600 * KIB


def test_who_may_take_anything_is_never_looked_at() -> None:
    watch = Watch(UNLIMITED)
    assert watch.rest is None
    assert watch.begin() is None
    assert watch.look(over=False) is watch.look(over=True) is None


@pytest.mark.usefixtures("alone")
def test_the_first_command_weighs_what_was_there_before_and_only_the_rest_counts(tmp_path: Path) -> None:
    write(tmp_path / "base", 4096 * KIB)
    allowed = Allowed(UNLIMITED, disk_bytes=1024 * KIB, place=str(tmp_path))  # type: ignore[misc]
    first = Watch(allowed)
    base = first.begin()
    assert base is not None
    assert base >= 4096 * KIB
    second = Watch(Allowed(allowed, disk_base=base))  # type: ignore[misc]
    assert second.begin() is None
    write(tmp_path / "little", 512 * KIB)
    assert second.look(over=True) is None
    write(tmp_path / "much", 4096 * KIB)
    assert second.look(over=True) == "disk_bytes"


@pytest.mark.usefixtures("alone")
def test_a_look_counts_processes_and_their_memory() -> None:
    assert Watch(UNLIMITED | {"processes": 0}).look(over=False) == "processes"
    assert Watch(UNLIMITED | {"processes": 1 << 22}).look(over=False) is None
    assert Watch(UNLIMITED | {"memory_bytes": 1 << 20}).look(over=False) == "memory_bytes"
    assert Watch(UNLIMITED | {"memory_bytes": 1 << 50}).look(over=False) is None
    assert memory(0) > 1 << 20


def test_the_largest_process_counts_though_it_has_gone_by_the_time_of_the_look() -> None:
    subprocess.run(["true"], check=True)
    assert Watch(UNLIMITED | {"memory_bytes": KIB}).look(over=True) == "memory_bytes"
    assert Watch(UNLIMITED | {"memory_bytes": 1 << 50}).look(over=True) is None


@pytest.mark.usefixtures("alone")
def test_memory_without_a_name_counts_though_nobody_has_mapped_it() -> None:
    before = memory(0)
    hidden = os.memfd_create("hidden")
    try:
        os.write(hidden, bytes(32 << 20))
        again = os.dup(hidden)
        assert 32 << 20 <= unnamed_memory() < 33 << 20
        os.close(again)
        watch = Watch(UNLIMITED | {"memory_bytes": before + (16 << 20)})
        assert watch.look(over=False) == "memory_bytes"
    finally:
        os.close(hidden)
    assert unnamed_memory() == 0

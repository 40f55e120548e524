"""Memory that a build may have: what the machine has, or what its control groups leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slave.isolation import memory

MEMINFO = "MemTotal:       24684092 kB\nMemAvailable:       1000 kB\nHugePages_Total:       0\n"


def available(directory: Path, membership: str, **files: str) -> int:
    """Ask, on a machine with these files; `__` in a name is a slash."""
    (directory / "meminfo").write_text(MEMINFO)
    (directory / "cgroup").write_text(membership)
    for name, text in files.items():
        path = directory / "groups" / name.replace("__", "/").replace("-dot-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory.available(directory / "meminfo", directory / "cgroup", directory / "groups")


def group(place: str, **files: str) -> dict[str, str]:
    return {f"{place}__memory-dot-{name}": text for name, text in files.items()}


@pytest.mark.parametrize("membership", ["", "0::/\n", "0::/a/b\n", "5:cpu,memory:/a\n4:pids:/a\n"])
def test_without_limits_it_is_what_the_kernel_calls_available(tmp_path: Path, membership: str) -> None:
    limits = group("a", max="max\n", current="5\n")
    assert available(tmp_path, membership, **limits) == 1000 * 1024


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    limits = group("a", max="900000\n", current="800000\n") | group("a__b", max="500000\n", current="1000\n")
    assert available(tmp_path, "0::/a/b\n", **limits) == 100_000


def test_pages_of_files_are_not_held_against_a_group(tmp_path: Path) -> None:
    stat = "anon 5\nactive_file 3000\ninactive_file 4000\n"
    assert available(tmp_path, "0::/a\n", **group("a", max="100000\n", current="90000\n", stat=stat)) == 17_000


def test_groups_of_version_one_count_as_well(tmp_path: Path) -> None:
    stat = "active_file 1\ntotal_active_file 3000\ntotal_inactive_file 4000\n"
    limits = group("memory__a", limit_in_bytes="100000\n", usage_in_bytes="90000\n", stat=stat)
    assert available(tmp_path, "5:cpu,memory:/a\n", **limits) == 17_000


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    assert available(tmp_path, "0::/a\n", **group("a", max="10\n", current="90\n")) == 0


def test_a_kernel_that_does_not_say_has_none_to_give(tmp_path: Path) -> None:
    assert memory.available(tmp_path / "none", tmp_path / "none", tmp_path / "none") == 0

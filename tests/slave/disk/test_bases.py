"""Unpacked tarballs: whole or not there, no longer than their tarball, and no more of apt's lists than plain files."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from slave.disk.bases import APT_CACHE, APT_LISTS, MOST, Base, Bases
from slave.isolation.sandbox import Ran

SHA256 = "ab" * 32


@pytest.fixture
def bases(tmp_path: Path) -> Bases:
    return Bases(tmp_path / "bases", lambda path: shutil.rmtree(path, ignore_errors=True))


def make(bases: Bases, sha256: str, code: int = 0) -> Base | Ran:
    async def unpack(into: Path) -> Ran:
        (into / "etc").mkdir()
        return Ran(code, "said")

    return asyncio.run(bases.make(sha256, unpack))


def names(bases: Bases) -> set[str]:
    return {path.name for path in bases._directory.iterdir()}


def test_a_base_is_made_once_and_found_again(bases: Bases) -> None:
    assert bases.find(SHA256) is None
    made = make(bases, SHA256)
    assert isinstance(made, Base)
    assert made == bases.find(SHA256)
    assert (made.root / "etc").is_dir()


def test_of_an_unpacking_that_fails_nothing_is_left(bases: Bases) -> None:
    assert make(bases, SHA256, code=2) == Ran(2, "said")
    assert names(bases) == set()


def test_a_base_is_not_there_before_all_of_it_is(bases: Bases) -> None:
    async def cut_off(into: Path) -> Ran:
        (into / "etc").mkdir()
        assert bases.find(SHA256) is None
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bases.make(SHA256, cut_off))
    assert names(bases) == set()


def test_what_a_killed_slave_left_half_made_goes_at_the_start(bases: Bases) -> None:
    make(bases, SHA256)
    (bases._directory / f"{'cd' * 32}.part" / "root").mkdir(parents=True)
    (bases._directory / "probe-xyz").mkdir()
    bases.prune({SHA256})
    assert len(names(bases)) == 3, "while a slave runs, it is its own"
    bases.clean_up({SHA256})
    assert names(bases) == {SHA256}


def test_a_base_of_before_the_machine_s_own_start_is_not_trusted(bases: Bases) -> None:
    made = make(bases, SHA256)
    assert isinstance(made, Base)
    bases.clean_up({SHA256})
    assert names(bases) == {SHA256}
    (made.path / "boot").write_text("another")
    bases.clean_up({SHA256})
    assert names(bases) == set()


def test_a_base_goes_with_its_tarball(bases: Bases) -> None:
    make(bases, SHA256)
    make(bases, "cd" * 32)
    bases.prune({"cd" * 32, "ef" * 32})
    assert names(bases) == {"cd" * 32}


def test_of_too_many_bases_the_one_unused_for_longest_goes(bases: Bases) -> None:
    many = [f"{number:064x}" for number in range(MOST + 1)]
    for age, sha256 in enumerate(many[:MOST]):
        make(bases, sha256)
        os.utime(bases._directory / sha256, (age, age))
    assert bases.find(many[0]), "this one was used just now"
    make(bases, many[MOST])
    assert names(bases) == {*many} - {many[1]}


def test_a_full_disk_takes_all_others(bases: Bases) -> None:
    make(bases, SHA256)
    assert not bases.give_up_others(SHA256)
    make(bases, "cd" * 32)
    assert bases.give_up_others(SHA256)
    assert names(bases) == {SHA256}


# -- apt's lists -------------------------------------------------------------------------------------------------------
@pytest.fixture
def base(bases: Bases) -> Base:
    made = make(bases, SHA256)
    assert isinstance(made, Base)
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A build's tree after `apt-get update`."""
    tree = tmp_path / "tree"
    for where in (APT_LISTS, APT_CACHE, f"{APT_LISTS}/partial", f"{APT_CACHE}/archives"):
        (tree / where).mkdir(parents=True)
    for name in (f"{APT_LISTS}/archive_InRelease", f"{APT_LISTS}/lock", f"{APT_CACHE}/pkgcache.bin", f"{APT_CACHE}/x"):
        (tree / name).write_text(name)
        os.utime(tree / name, (1_000_000, 1_000_000))
    return tree


def kept(layer: Path) -> set[str]:
    return {str(path.relative_to(layer)) for path in layer.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_lists_are_kept_with_their_times_and_lie_over_the_root_of_the_next_build(base: Base, tree: Path) -> None:
    assert base.layers() == (base.root,)
    base.keep_lists(tree)
    assert not (base.path / "lists").exists(), "a build may be using it"
    layer, below = base.layers()
    assert below == base.root
    assert kept(layer) == {f"{APT_LISTS}/archive_InRelease", f"{APT_CACHE}/pkgcache.bin"}
    assert (layer / APT_LISTS / "archive_InRelease").stat().st_mtime == 1_000_000
    assert (layer / APT_LISTS).stat().st_mode & 0o777 == 0o755


def test_lists_that_are_there_already_are_not_copied_again(base: Base, tree: Path) -> None:
    base.keep_lists(tree)
    base.layers()
    base.keep_lists(tree)
    assert not (base.path / "lists.new").exists()
    (tree / APT_LISTS / "archive_InRelease").unlink()
    base.keep_lists(tree)
    layer, _ = base.layers()
    assert kept(layer) == {f"{APT_CACHE}/pkgcache.bin"}


def test_no_symbolic_link_is_kept_or_followed(base: Base, tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "pkgcache.bin").write_text("secret")
    (tree / APT_LISTS / "link").symlink_to(secret / "pkgcache.bin")
    shutil.rmtree(tree / APT_CACHE)
    (tree / APT_CACHE).symlink_to(secret)
    base.keep_lists(tree)
    layer, _ = base.layers()
    assert kept(layer) == {f"{APT_LISTS}/archive_InRelease"}


def test_a_chroot_without_lists_has_none_to_keep(base: Base, tmp_path: Path) -> None:
    base.keep_lists(tmp_path)
    assert base.layers() == (base.root,)

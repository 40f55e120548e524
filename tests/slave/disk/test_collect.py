"""Results are taken out of a tree that a stranger wrote."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import ResultFile, WireOutcome
from slave.core.outcomes import Ending
from slave.disk.collect import collect

DEB = b"the package"


def changes(*names: str) -> str:
    listed = "".join(f" {hashlib.md5(DEB).hexdigest()} {len(DEB)} misc optional {name}\n" for name in names)
    return f"Format: 1.8\nSource: tiny\nVersion: 1.0\nFiles:\n{listed}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "build").mkdir(parents=True)
    (tmp_path / "tree" / "build" / "tiny.changes").write_text(changes("tiny.deb"))
    (tmp_path / "tree" / "build" / "tiny.deb").write_bytes(DEB)
    (tmp_path / "secret").write_text("of the host")
    return tmp_path / "tree"


def collected(tree: Path) -> Ending:
    return collect(tree, "build", tree.parent / "results")


def test_the_changes_file_and_all_it_names_are_copied(tree: Path) -> None:
    ending = collected(tree)
    assert ending.outcome is WireOutcome.OK
    text = changes("tiny.deb").encode()
    assert ending.files == (
        ResultFile("tiny.changes", len(text), hashlib.sha256(text).hexdigest()),
        ResultFile("tiny.deb", len(DEB), hashlib.sha256(DEB).hexdigest()),
    )
    assert (tree.parent / "results" / "tiny.deb").read_bytes() == DEB


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.deb", "No such file"),
        ("link.deb", "symbolic links"),
        ("pipe.deb", "no regular file"),
        ("directory.deb", "no regular file"),
        ("../../secret", "no name of a result"),
        ("/etc/passwd", "no name of a result"),
        ("tiny.changes", "names"),
    ],
)
def test_nothing_but_a_regular_file_of_the_results_is_read(tree: Path, name: str, words: str) -> None:
    build = tree / "build"
    (build / "link.deb").symlink_to(tree.parent / "secret")
    os.mkfifo(build / "pipe.deb")
    (build / "directory.deb").mkdir()
    (build / "tiny.changes").write_text(changes("tiny.deb", name))
    ending = collected(tree)
    assert ending.outcome is WireOutcome.PACKAGEFAIL
    assert words in ending.text


def test_a_directory_that_became_a_link_is_not_followed(tree: Path) -> None:
    (tree / "build").rename(tree / "elsewhere")
    (tree / "build").symlink_to(tree / "elsewhere")
    assert "Not a directory" in collected(tree).text


@pytest.mark.parametrize("extra", ["none", "second"])
def test_there_must_be_one_changes_file(tree: Path, extra: str) -> None:
    if extra == "none":
        (tree / "build" / "tiny.changes").unlink()
    else:
        (tree / "build" / "second.changes").write_text(changes("tiny.deb"))
    assert collected(tree).outcome is WireOutcome.PACKAGEFAIL


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_changes_file_at_all_ends_the_build_and_not_the_slave(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    place = tmp_path_factory.mktemp("any")
    (place / "tree" / "build").mkdir(parents=True)
    (place / "tree" / "build" / "tiny.changes").write_bytes(content)
    assert collected(place / "tree").outcome is WireOutcome.PACKAGEFAIL

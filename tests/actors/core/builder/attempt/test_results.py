"""Results hang together or they don't (dispatch-rules §5, "the results do not verify or parse")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.builder.attempt.results import find_changes, objection
from storage.records import StoredFile
from tests.fix_builder import an_order, changes_of, sha256, stored

DEB = {"foo_1.0-1_i386.deb": b"a deb"}
KEPT = {name: stored(content) for name, content in DEB.items()}


def judged(changes: bytes, kept: dict[str, StoredFile] | None = None, **order: object) -> str:
    results = KEPT if kept is None else kept
    return objection(an_order(**order), changes, results | {"foo.changes": stored(changes)})


def test_a_changes_file_that_names_all_that_arrived_is_right() -> None:
    assert judged(changes_of(DEB)) == ""


def test_arch_indep_packages_are_right_only_where_they_were_ordered() -> None:
    changes = changes_of(DEB, arch="i386 all")
    assert judged(changes, arch_indep=True) == ""
    assert "architecture all" in judged(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (changes_of(DEB, source="bar"), "of source bar, ordered was foo"),
        (changes_of(DEB, version="2"), "of version 2, ordered was 1.0-1"),
        (changes_of(DEB, arch="amd64"), "of architecture amd64, ordered was i386"),
        (changes_of(DEB, arch=""), "no architecture"),
        (changes_of({}), "names no files"),
        (changes_of(DEB | {"more.deb": b"more"}), "more.deb, which did not arrive"),
        (changes_of({"foo_1.0-1_i386.deb": b"A DEB"}), "the .changes file says"),
        (changes_of({"foo_1.0-1_i386.deb": b"longer deb"}), "has 5 bytes, the .changes file says 10"),
        (b"", "can't be read"),
        (b"\xff\xfe", "can't be read"),
        (b"Source: foo\nVersion: 1.0-1\nArchitecture: i386\nChecksums-Sha256: nonsense\n", "can't be read"),
        (b"Source: foo\nVersion: 1.0-1\nArchitecture: i386\nChecksums-Sha256:\n nonsense\n", "can't be read"),
    ],
)
def test_what_is_wrong_is_said_in_words(changes: bytes, words: str) -> None:
    assert words in judged(changes)


def test_a_source_field_may_carry_the_version_of_its_source() -> None:
    assert judged(changes_of(DEB, source="foo (1.0-1)")) == ""


def test_what_the_changes_file_does_not_name_does_not_belong() -> None:
    extra = KEPT | {"evil.deb": StoredFile(sha256(b"evil"), "", 4)}
    assert "evil.deb arrived" in judged(changes_of(DEB), extra)


def test_there_is_one_changes_file_or_none_counts() -> None:
    assert find_changes(["a.deb", "a.changes"]) == "a.changes"
    assert find_changes(["a.deb"]) is None
    assert find_changes(["a.changes", "b.changes"]) is None


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode(errors="replace"))))
def test_no_bytes_raise_anything_and_none_by_chance_are_right(changes: bytes) -> None:
    assert judged(changes)


@given(st.data())
def test_no_damage_to_a_right_changes_file_raises_anything(draw: st.DataObject) -> None:
    right = changes_of(DEB)
    at = draw.draw(st.integers(0, len(right) - 1))
    judged(right[:at] + draw.draw(st.binary(max_size=3)) + right[at + draw.draw(st.integers(0, 3)) :])

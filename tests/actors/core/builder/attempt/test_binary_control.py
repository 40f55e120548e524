"""What a control file says of its package, and that nothing it says raises anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.builder.attempt.binary_control import MOST_PROVIDED, read_control, too_much
from storage.records import BinaryPackage
from storage.words.packages import check_package
from tests.fix_builder import an_order

GOOD = """\
Package: libfoo-dev
Source: foo (1.0)
Version: 1:1.2~rc1-3+b1
Architecture: i386
Provides: libfoo-abi (= 3), libfoo-dev-any:any (= 1),
 mail-transport-agent, odd (>= 2), a | b, no name
Depends: libc6
Description: a library
 Package: not one
"""


def test_a_control_file_is_read() -> None:
    found = read_control(an_order(), GOOD.encode())
    provides = ("libfoo-abi (= 3)", "libfoo-dev-any (= 1)", "mail-transport-agent")
    assert found == BinaryPackage("libfoo-dev", "1:1.2~rc1-3+b1", "i386", provides)


def test_arch_indep_packages_are_right_only_where_they_were_ordered() -> None:
    control = GOOD.replace("i386", "all").encode()
    assert isinstance(read_control(an_order(arch_indep=True), control), BinaryPackage)
    assert read_control(an_order(), control) == "is of architecture 'all', ordered was i386"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("libfoo-dev", "Lib Foo", "named 'Lib Foo'"),
        ("Package: libfoo-dev\n", "", "named ''"),
        ("libfoo-dev", "x" * 300, "which no package can be"),
        ("1:1.2~rc1-3+b1", "1_2", "of version '1_2'"),
        ("1:1.2~rc1-3+b1", "1" * 256, "which no package can have"),
        ("Version", "Ver", "of version ''"),
        ("i386", "amd64", "is of architecture 'amd64', ordered was i386"),
        ("i386", "", "is of architecture ''"),
    ],
)
def test_what_is_wrong_is_said_in_words(old: str, new: str, words: str) -> None:
    found = read_control(an_order(), GOOD.replace(old, new, 1).encode())
    assert isinstance(found, str)
    assert words in found
    assert len(found) < 300


def test_bytes_that_are_no_text_are_told() -> None:
    found = read_control(an_order(), b"Package: \xff\xfe\n")
    assert isinstance(found, str)
    assert "can't be read" in found


def test_a_build_may_not_provide_names_without_end() -> None:
    one = BinaryPackage("a", "1", "all", tuple(f"a{number}" for number in range(MOST_PROVIDED)))
    assert too_much([one]) == ""
    assert "provide 10001 names" in too_much([one, BinaryPackage("b", "1", "all", ("c",))])


WORDS = st.text("abc-+.1:~_ ,|()=<>\n", max_size=30) | st.text(max_size=20)


@given(
    st.binary(max_size=200)
    | st.builds("Package: {}\nVersion: {}\nArchitecture: i386\nProvides: {}\n".format, WORDS, WORDS, WORDS).map(
        lambda text: text.encode(errors="replace")
    )
)
def test_no_control_file_raises_anything_and_what_is_read_can_be_published(control: bytes) -> None:
    found = read_control(an_order(), control)
    if isinstance(found, BinaryPackage):
        check_package(found)

"""Relations are read as Debian Policy §7.1 has them, and compared with what is published."""

from __future__ import annotations

import itertools
import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.dependencies.relations import LINE_LIMIT, Alternative, offers, read, version_of
from tests.fix_packages import a_package, exactly

#: in Debian's order: whoever compares versions otherwise is wrong
VERSIONS = ("0", "1~rc1", "1~rc1-1", "1", "1-1", "1-1+b1", "1.2", "1.2a", "1.10", "2", "1:0.5", "1:1", "2:0~~", "2:0")


def satisfied(line: str, *packages: object, architecture: str = "i386") -> bool:
    relation = read(line)
    assert relation is not None, line
    return any(
        one.is_by(package, architecture)  # type: ignore[arg-type]
        for one in relation
        if one.counts(architecture, exactly)
        for package in packages
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("libfoo", (Alternative("libfoo"),)),
        ("libfoo-dev (>= 1:2.0~rc1-1)", (Alternative("libfoo-dev", sign=">=", version="1:2.0~rc1-1"),)),
        ("g++(>>4)|  gcc:native", (Alternative("g++", sign=">>", version="4"), Alternative("gcc", "native"))),
        ("a [!i386 amd64]", (Alternative("a", architectures=((False, "i386"), (True, "amd64"))),)),
        ("a <!nocheck> <x !y>", (Alternative("a", profiles=(((False, "nocheck"),), ((True, "x"), (False, "y")))),)),
        (
            "a:any (= 1) [linux-any] <!a>",
            (Alternative("a", "any", "=", "1", ((True, "linux-any"),), (((False, "a"),),)),),
        ),
    ],
)
def test_a_relation_is_read(line: str, expected: tuple[Alternative, ...]) -> None:
    assert read(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "|",
        "a |",
        "| a",
        "a || b",
        "a, b",
        "Foo",
        "foo bar",
        "foo (1)",
        "foo (== 1)",
        "foo (=> 1)",
        "foo (>= )",
        "foo (>= 1_2)",
        "foo (>= 1:)",
        "foo (>= a:1)",
        "foo (>= 1",
        "foo (>= 1) (<< 2)",
        "foo []",
        "foo [ ]",
        "foo [!]",
        "foo <>",
        "foo:",
        "foo:-x",
        "-foo",
        "foo\0",
        "foo\nbar",
        "fo\u00f6",
        "foo (>= \u0661)",
        "a" * (LINE_LIMIT + 1),
        f"a (>= {'1' * 256})",
        "E: Unable to correct problems, you have held broken packages.",
    ],
)
def test_what_is_no_relation_is_told_and_nobody_is_warned(line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert read(line) is None
    assert caplog.records == []


@given(st.one_of(st.text(max_size=60), st.text("ab1 |,:()<>=![]-+~.\0", max_size=60)))
@example("foo (>= " + "9" * 5000 + ")")
@example("a" + " " * 4000 + "!")
@example("a [" + "b " * 2000)
def test_no_text_raises_anything_or_warns(line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("debian.deb822.logger.warning", pytest.fail)
        for one in read(line) or ():
            one.counts("i386", exactly)
            one.is_by(a_package(one.name), "i386")


@pytest.mark.parametrize("sign", ["<<", "<=", "=", ">=", ">>", "<", ">"])
def test_versions_are_compared_in_debians_order(sign: str) -> None:
    for (mine, there), (others, wanted) in itertools.product(enumerate(VERSIONS), repeat=2):
        expected = (mine < others and "<" in sign) or (mine > others and ">" in sign)
        expected = expected or (mine == others and sign in {"<=", "=", ">=", "<", ">"})
        assert satisfied(f"libfoo ({sign} {wanted})", a_package("libfoo", there)) == expected, (there, wanted)


def test_a_version_that_is_none_compares_with_nothing() -> None:
    assert version_of("") is None
    assert version_of("1_2") is None
    assert not satisfied("libfoo (>= 0)", a_package("libfoo", "nonsense_"))
    assert satisfied("libfoo", a_package("libfoo", "nonsense_"))


def test_a_provided_name_satisfies_and_a_versioned_relation_wants_a_versioned_one() -> None:
    provider = a_package("postfix", "3", provides=("mail-transport-agent", "smtpd (= 2)", "odd (>= 2)", "no name", ""))
    assert offers(provider) == (("postfix", "3"), ("mail-transport-agent", None), ("smtpd", "2"))
    assert satisfied("mail-transport-agent", provider)
    assert not satisfied("mail-transport-agent (>= 1)", provider)
    assert not satisfied("mail-transport-agent (<< 9)", provider)
    assert satisfied("smtpd (>= 2)", provider)
    assert not satisfied("smtpd (>> 2)", provider)
    assert not satisfied("odd", provider)
    assert satisfied("postfix (<< 4)", provider)


@pytest.mark.parametrize(
    ("line", "architecture", "expected"),
    [
        ("libfoo", "i386", True),
        ("libfoo", "all", True),
        ("libfoo", "amd64", False),
        ("libfoo:any", "i386", True),
        ("libfoo:any", "amd64", False),
        ("libfoo:native", "all", True),
        ("libfoo:i386", "i386", True),
        ("libfoo:i386", "all", True),
        ("libfoo:amd64", "amd64", True),
        ("libfoo:amd64", "i386", False),
        ("libfoo:amd64", "all", False),
    ],
)
def test_a_package_is_for_its_own_architecture_or_for_all(line: str, architecture: str, expected: bool) -> None:
    assert satisfied(line, a_package(architecture=architecture)) == expected


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        ("", True),
        ("[i386]", True),
        ("[amd64]", False),
        ("[amd64 i386]", True),
        ("[!amd64]", True),
        ("[!i386]", False),
        ("[!i386 !amd64]", False),
        ("[linux-any]", True),
        ("[!linux-any]", False),
        ("<!nocheck>", True),
        ("<nocheck>", False),
        ("<stage1> <!nocheck>", True),
        ("<stage1 !nocheck>", False),
        ("<!stage1 !nocheck>", True),
        ("[i386] <cross>", False),
    ],
)
def test_a_restriction_says_whether_an_alternative_counts(restriction: str, expected: bool) -> None:
    (one,) = read(f"libfoo {restriction}") or ()
    assert one.counts("i386", exactly) == expected

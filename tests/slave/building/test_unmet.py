"""apt's words, read: which relations are missing, in the words of the `.dsc`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slave.building.unmet import as_declared, declared_relations, read_unmet

DSC = """\
Format: 3.0 (native)
Source: needy
Build-Depends: curious-dep (>= 9) [amd64 arm64], nonesuch | gibtsnicht (<< 3) <!nocheck>,
 make, python3:any, lib-x (>= 1), lib-x (<< 2)
Build-Depends-Indep: docs-of-it
Build-Conflicts: make (<< 1)
"""
WORDS = """\
Some packages could not be installed. This may mean that you have
requested an impossible situation ...
The following information may help to resolve the situation:

The following packages have unmet dependencies:
 builddeps:/build/needy_1.0.dsc : Depends: curious-dep (>= 9) but it is not going to be installed
                                  Depends: nonesuch but it is not installable or
                                           gibtsnicht (< 3) but it is not installable
                                  Depends: lib-x (< 2) but 3.1-1 is to be installed
                                  Depends: python3:any but it is not installable
                                  Conflicts: make (< 1) but 0.9 is to be installed
                                  Depends: docs-of-it
 hungry-dep : Depends: not-in-this-world (>= 2) but it is not installable
              Recommends: cake but it is not installable
              PreDepends: water (= 1:2-3) but it is not installable
E: Unable to correct problems, you have held broken packages.
"""


def test_every_unmet_relation_is_found_and_said_as_the_dsc_says_it() -> None:
    declared = declared_relations(DSC)
    assert [as_declared(unmet, declared) for unmet in read_unmet(WORDS)] == [
        "curious-dep (>= 9)",
        "nonesuch | gibtsnicht (<< 3)",
        "lib-x (<< 2)",
        "python3:any",
        "not-in-this-world (>= 2)",
        "water (= 1:2-3)",
    ]


def test_relations_of_the_dsc_are_told_from_those_further_down() -> None:
    assert [unmet.direct for unmet in read_unmet(WORDS)] == [True, True, True, True, False, False]


def test_where_apt_hides_the_reason_is_known() -> None:
    assert [unmet.clear for unmet in read_unmet(WORDS)] == [False, True, True, True, True, True]


def test_apt_may_leave_out_alternatives_of_other_architectures() -> None:
    declared = declared_relations("Build-Depends: here | there [hurd-i386]\n")
    (unmet,) = read_unmet(
        "The following packages have unmet dependencies:\n builddeps:x.dsc : Depends: here but it is not installable\n"
    )
    assert as_declared(unmet, declared) == "here | there"


def test_the_heading_of_a_newer_apt_is_known() -> None:
    (unmet,) = read_unmet("Unsatisfied dependencies:\n satisfy:command-line : Depends: a but it is not installable\n")
    assert unmet.direct


def test_a_signed_dsc_is_read() -> None:
    signed = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{DSC}\n-----BEGIN PGP SIGNATURE-----\n\nxx\n-----END PGP SIGNATURE-----\n"
    assert declared_relations(signed) == declared_relations(DSC)


@pytest.mark.parametrize("output", ["", "E: Failed to fetch it\n", " builddeps:x : Depends: a but b\n"])
def test_other_words_of_apt_name_no_relation(output: str) -> None:
    assert read_unmet(output) == ()


@given(st.text() | st.lists(st.sampled_from([*WORDS.splitlines(), " ", "x"])).map("\n".join), st.text())
def test_no_words_at_all_break_it(output: str, dsc: str) -> None:
    declared = declared_relations(dsc)
    for unmet in read_unmet("The following packages have unmet dependencies:\n" + output):
        assert as_declared(unmet, declared)

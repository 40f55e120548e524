"""Which builds a source asks for: `actors.core.sources.making`, with dpkg's own table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.sources.making import (
    LeftOut,
    Refused,
    SeriesBuilds,
    Step,
    builds_in,
    check_builds,
    in_short,
    means,
    remarks,
    step,
)
from publishing.architectures import architecture_table
from storage.records import BuildState, DistroArchSeries

TABLE = architecture_table()
TAGS = ("amd64", "arm64", "armhf", "i386", "kfreebsd-amd64", "pdp11")
WORDS = ("any", "all", "linux-any", "any-i386", "any-arm", "kfreebsd-any", "any-amd64", "linux-i386", "source", "-", "")


def series(*tags: str, nominated: str = "amd64", ppas: bool = True, name: str = "sid") -> tuple[DistroArchSeries, ...]:
    return tuple(
        DistroArchSeries(number, "debian", name, tag, tag, nominated_archindep=tag == nominated, ppas=ppas)
        for number, tag in enumerate(tags)
    )


def made(hints: str, *tags: str, nominated: str = "amd64", only: frozenset[str] | None = None) -> dict[str, bool]:
    """Return architecture → whether arch-indep packages are built there, in a series where everything has a chroot."""
    here = series(*tags, nominated=nominated)
    found = builds_in(here, hints.split(), {str(one) for one in here}, TABLE, ppa=False, only=only)
    return {target.distroarchseries.architecture: target.arch_indep for target in found.targets}


@pytest.mark.parametrize(
    ("hints", "architectures"),
    [
        ("any", TAGS),
        ("linux-any", ("amd64", "arm64", "armhf", "i386")),
        ("any-i386", ("i386",)),
        ("any-arm", ("armhf",)),
        ("any-amd64", ("amd64", "kfreebsd-amd64")),
        ("kfreebsd-any", ("kfreebsd-amd64",)),
        ("linux-i386 armhf", ("armhf", "i386")),
        ("pdp11", ("pdp11",)),
        ("amd64 i386 vax", ("amd64", "i386")),
        ("vax", ()),
        ("ANY !i386 [i386] i386, any-any-any-any-any", ()),
    ],
)
def test_a_hint_means_what_dpkg_says_it_means(hints: str, architectures: tuple[str, ...]) -> None:
    assert made(hints, *TAGS) == dict.fromkeys(architectures, False)


def test_all_alone_is_built_on_the_nominated_architecture_only() -> None:
    assert made("all", "amd64", "i386", nominated="i386") == {"i386": True}


def test_arch_indep_packages_of_an_any_all_source_are_built_where_they_are_nominated() -> None:
    assert made("any all", "amd64", "i386") == {"amd64": True, "i386": False}


def test_arch_indep_packages_are_built_on_the_nominated_architecture_though_the_rest_is_not_for_it() -> None:
    assert made("i386 all", "amd64", "i386") == {"amd64": True, "i386": False}


def test_the_hint_all_means_no_architecture_even_if_one_is_called_so() -> None:
    assert not means("all", "all", TABLE)


def test_an_architecture_that_was_not_asked_for_is_left_out() -> None:
    assert made("any all", "amd64", "i386", only=frozenset({"i386"})) == {"i386": False}


def test_only_architectures_with_a_chroot_get_builds() -> None:
    found = builds_in(series("amd64", "i386"), ("any",), {"debian/sid/i386"}, TABLE, ppa=False)
    assert [target.distroarchseries.architecture for target in found.targets] == ["i386"]
    assert found.left_out == (("amd64", LeftOut.NO_CHROOT),)


def test_ppas_are_built_only_on_architectures_that_support_them() -> None:
    here = (*series("amd64", "arm64"), *series("i386", ppas=False))
    ready = {str(one) for one in here}
    found = builds_in(here, ("any",), ready, TABLE, ppa=True)
    assert [target.distroarchseries.architecture for target in found.targets] == ["amd64", "arm64"]
    assert found.left_out == (("i386", LeftOut.NO_PPAS),)
    assert len(builds_in(here, ("any",), ready, TABLE, ppa=False).targets) == 3


def test_somebody_who_waits_for_arch_indep_packages_is_told_that_nobody_builds_them() -> None:
    ready = {"debian/sid/i386"}
    found = builds_in(series("amd64", "i386"), ("any", "all"), ready, TABLE, ppa=False)
    assert remarks("foo", (found,)) == (
        "its arch-indep packages are not built in debian/sid: amd64, nominated for them, is without a chroot",
    )
    asked = builds_in(series("amd64", "i386"), ("any", "all"), ready, TABLE, ppa=False, only={"i386"})
    assert remarks("foo", (asked,)) == ()


def test_a_hint_list_that_matches_nothing_is_refused_with_what_is_there() -> None:
    found = builds_in(series("amd64", "i386"), ("vax",), {"debian/sid/amd64"}, TABLE, ppa=False)
    refused = check_builds("foo", ("vax",), (found,), every=False)
    assert refused == Refused(
        "foo is for vax: it has nothing to build in debian/sid (amd64, i386 not meant by the source)"
    )


def test_why_arch_indep_packages_are_built_nowhere_is_said() -> None:
    found = builds_in(series("amd64", "i386"), ("all",), {"debian/sid/i386"}, TABLE, ppa=False)
    refused = check_builds("foo", ("all",), (found,), every=False)
    assert refused is not None
    assert refused.text == (
        "foo is for all: it has nothing to build in debian/sid (i386 not meant by the source; amd64 without a chroot);"
        " arch-indep packages are built on the nominated architecture only"
    )


def test_each_series_that_is_named_must_get_a_build_but_of_all_series_one_is_enough() -> None:
    some = SeriesBuilds(
        "debian", "sid", builds_in(series("amd64"), ("any",), {"debian/sid/amd64"}, TABLE, ppa=False).targets, ()
    )
    none = SeriesBuilds("debian", "sarge", (), (("amd64", LeftOut.NO_CHROOT),))
    assert check_builds("foo", ("any",), (some, none), every=True) is None
    refused = check_builds("foo", ("any",), (some, none), every=False)
    assert refused is not None
    assert "in debian/sarge (amd64 without a chroot)" in refused.text
    assert check_builds("foo", ("any",), (none, none), every=True) is not None
    assert remarks("foo", (some, none)) == ("foo has nothing to build in debian/sarge: amd64 without a chroot",)


def test_a_thousand_hints_are_few_words() -> None:
    hints = [f"arch{number}" for number in range(1000)]
    found = builds_in(series("amd64"), hints, {"debian/sid/amd64"}, TABLE, ppa=False)
    refused = check_builds("foo", hints, (found,), every=False)
    assert refused is not None
    assert "foo is for arch0 arch1 arch2 arch3 arch4 arch5 arch6 arch7 and 992 more: it has nothing" in refused.text
    assert in_short(["a", "b"], ", ", 2) == "a, b"


def test_a_build_of_the_same_source_archive_and_architecture_is_not_made_again() -> None:
    assert step(None, again=False) is step(None, again=True) is Step.MAKE
    for state in BuildState:
        wanted = Step.KEEP if state is BuildState.FULLYBUILT else Step.QUEUE
        assert step(state, again=False) is wanted
    assert step(BuildState.FULLYBUILT, again=True) is Step.MAKE_AGAIN
    assert step(BuildState.BUILDING, again=True) is Step.QUEUE


@given(
    hints=st.lists(st.sampled_from(WORDS + TAGS) | st.text(max_size=8), min_size=1, max_size=6),
    tags=st.lists(st.sampled_from(TAGS), min_size=1, unique=True),
    nominated=st.sampled_from(TAGS),
    ready=st.sets(st.sampled_from(TAGS)),
    without_ppas=st.sets(st.sampled_from(TAGS)),
    only=st.none() | st.frozensets(st.sampled_from(TAGS), min_size=1),
    ppa=st.booleans(),
)
def test_every_architecture_of_a_series_is_built_for_or_left_out_for_the_first_reason_there_is(  # noqa: PLR0917
    hints: list[str],
    tags: list[str],
    nominated: str,
    ready: set[str],
    without_ppas: set[str],
    only: frozenset[str] | None,
    ppa: bool,
) -> None:
    here = tuple(one for tag in tags for one in series(tag, nominated=nominated, ppas=tag not in without_ppas))
    found = builds_in(here, hints, {f"debian/sid/{tag}" for tag in ready}, TABLE, ppa=ppa, only=only)
    targets = {target.distroarchseries.architecture: target.arch_indep for target in found.targets}
    left_out = dict(found.left_out)
    assert sorted([*targets, *left_out]) == sorted(tags)
    for tag in tags:
        indep = "all" in hints and tag == nominated
        holds = {
            LeftOut.NOT_MEANT: not indep and not any(means(hint, tag, TABLE) for hint in hints),
            LeftOut.NOT_ASKED: only is not None and tag not in only,
            LeftOut.NO_PPAS: ppa and tag in without_ppas,
            LeftOut.NO_CHROOT: tag not in ready,
        }
        first = next((why for why, true in holds.items() if true), None)
        assert left_out.get(tag) is first
        assert targets.get(tag) == (indep if first is None else None)
    assert sum(targets.values()) <= 1

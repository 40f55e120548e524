"""What a build still waits for (dispatch-rules §7): against a naive reading of the same things, and by example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.core.dependencies.waits import (
    MOST_REPORTED,
    Doubt,
    Judgement,
    Shelf,
    Standing,
    judge,
    names_awaited,
    names_what_came,
    reported,
    superseded,
)
from storage.records import BinaryPackage, DependencyWait, EarlierPackage, PublishedPackage
from tests.actors.core.dependencies.test_relations import VERSIONS
from tests.fix_packages import NOON, PPA, PRIMARY, a_package, a_wait, exactly

S = Standing


def judged(wait: DependencyWait, *packages: PublishedPackage) -> Judgement:
    return judge(wait, Shelf(packages), Doubt(), exactly)


# --- a naive reading: nothing here parses or compares anything -------------------------------------


@dataclass(frozen=True)
class Wanted:
    """One alternative, by its parts."""

    name: str
    sign: str
    version: int  #: place in VERSIONS
    only: str  #: architecture that it counts for; empty: all
    unless: str  #: architecture that it does not count for
    profile: str

    def text(self) -> str:
        parts = [self.name]
        if self.sign:
            parts.append(f"({self.sign} {VERSIONS[self.version]})")
        if self.only:
            parts.append(f"[{self.only}]")
        if self.unless:
            parts.append(f"[!{self.unless}]")
        if self.profile:
            parts.append(f"<{self.profile}>")
        return " ".join(parts)


NAMES = ("a", "b-dev", "c++")
HOLDS: dict[str, Callable[[int, int], bool]] = {
    "": lambda _there, _wanted: True,
    "<<": lambda there, wanted: there < wanted,
    "<=": lambda there, wanted: there <= wanted,
    "=": lambda there, wanted: there == wanted,
    ">=": lambda there, wanted: there >= wanted,
    ">>": lambda there, wanted: there > wanted,
}
PLACES = st.integers(0, len(VERSIONS) - 1)
WANTED = st.builds(
    Wanted,
    st.sampled_from(NAMES),
    st.sampled_from(list(HOLDS)),
    PLACES,
    st.sampled_from(["", "", "", "i386", "amd64"]),
    st.just(""),
    st.sampled_from(["", "", "!nocheck", "nocheck"]),
) | st.builds(
    Wanted, st.sampled_from(NAMES), st.just(""), PLACES, st.just(""), st.sampled_from(["i386", "amd64"]), st.just("")
)
Published = tuple[str, int, str, int, tuple[tuple[str, int | None], ...]]  #: name, version, arch, archive, provides
PUBLISHED: st.SearchStrategy[Published] = st.tuples(
    st.sampled_from(NAMES),
    PLACES,
    st.sampled_from(["i386", "amd64", "all"]),
    st.sampled_from([PRIMARY, PPA]),
    st.lists(st.tuples(st.sampled_from(NAMES), st.none() | PLACES), max_size=2).map(tuple),
)


def naively_satisfied(wanted: Wanted, package: Published) -> bool:
    name, version, architecture, archive, provides = package
    if archive != PRIMARY or architecture == "amd64":
        return False
    for offered, place in ((name, version), *provides):
        if offered == wanted.name and (
            not wanted.sign or (place is not None and HOLDS[wanted.sign](place, wanted.version))
        ):
            return True
    return False


def naively_counts(wanted: Wanted) -> bool:
    return wanted.only != "amd64" and wanted.unless != "i386" and wanted.profile != "nocheck"


def record(number: int, package: Published) -> PublishedPackage:
    name, version, architecture, archive, provides = package
    texts = tuple(one if place is None else f"{one} (= {VERSIONS[place]})" for one, place in provides)
    return a_package(
        name, VERSIONS[version], id=number, architecture=architecture, archive=archive, provides=texts, minutes=1
    )


@given(st.lists(st.lists(WANTED, min_size=1, max_size=3), max_size=4), st.lists(PUBLISHED, max_size=6))
def test_what_remains_is_what_a_naive_reading_finds_unsatisfied(
    relations: list[list[Wanted]], published: list[Published]
) -> None:
    lines = [" | ".join(one.text() for one in relation) for relation in relations]
    expected = []
    for line, relation in zip(lines, relations, strict=True):
        counting = [one for one in relation if naively_counts(one)]
        satisfied = any(naively_satisfied(one, package) for one in counting for package in published)
        if counting and not satisfied and line not in expected:
            expected.append(line)
    found = judged(a_wait(*lines), *(record(number, one) for number, one in enumerate(published)))
    assert list(found.remaining) == expected


@given(st.lists(st.lists(WANTED, min_size=1, max_size=3), max_size=4), st.lists(PUBLISHED, max_size=6))
def test_a_second_check_of_what_remains_finds_the_same_and_more_packages_never_make_it_more(
    relations: list[list[Wanted]], published: list[Published]
) -> None:
    wait = a_wait(*(" | ".join(one.text() for one in relation) for relation in relations))
    packages = [record(number, one) for number, one in enumerate(published)]
    remaining = judged(wait, *packages).remaining
    assert judged(replace(wait, dependencies=remaining), *packages).remaining == remaining
    assert set(remaining) <= set(judged(wait, *packages[1:]).remaining)


@given(st.lists(st.lists(WANTED, min_size=1, max_size=3), max_size=4), st.lists(PUBLISHED, max_size=6))
def test_only_packages_that_go_by_an_awaited_name_matter(
    relations: list[list[Wanted]], published: list[Published]
) -> None:
    wait = a_wait(*(" | ".join(one.text() for one in relation) for relation in relations))
    names = names_awaited([wait])
    packages = [record(number, one) for number, one in enumerate(published)]
    needed = [one for one in packages if names & {one.name, *(text.split()[0] for text in one.provides)}]
    assert judged(wait, *needed) == judged(wait, *packages)


LINES = st.one_of(st.text(max_size=40), st.text("ab1 |,:()<>=![]-+~.", max_size=40), st.sampled_from(["a", "b (>= 1)"]))


@given(st.lists(LINES, max_size=8))
@example(["a, b (>= 1), c | d"])
@example(["a (>= 1_2), b"])
@example(["\0", "\ud800", "a\nb", "ä" * 5000])
@settings(max_examples=5 * settings().max_examples)
def test_whatever_a_slave_reports_is_kept_in_order_can_be_stored_and_is_judged(said: list[str]) -> None:
    kept = reported(said)
    assert len(set(kept)) == len(kept) <= MOST_REPORTED
    for line in kept:
        assert line
        assert line.isprintable()
        assert "\0" not in line
        line.encode()
    found = judged(a_wait(*kept), a_package("a"))
    assert [answer.line for answer in found.answers] == list(kept)
    assert reported(kept) == kept


# --- by example -----------------------------------------------------------------------------------


def only(found: Judgement) -> tuple[Standing, str]:
    (answer,) = found.answers
    return answer.standing, answer.words


def test_what_is_not_published_is_missing_and_what_is_there_is_named() -> None:
    assert only(judged(a_wait("libfoo"))) == (S.MISSING, "not published")
    found = judged(a_wait("libfoo (>= 2) | bar"), a_package("libfoo", "1"), a_package("bar", "3", architecture="amd64"))
    assert only(found) == (S.MISSING, "published is only libfoo 1 (i386), bar 3 (amd64)")
    assert (found.remaining, found.why) == (("libfoo (>= 2) | bar",), "")


def test_what_has_arrived_is_the_reason() -> None:
    found = judged(a_wait("libfoo (>= 1)", "bar", "baz"), a_package("libfoo", "1.2"), a_package("bar", "3"))
    assert (found.remaining, found.why) == (("baz",), "libfoo 1.2, bar 3 are there now")
    assert judged(a_wait("mta"), a_package("postfix", "3", provides=("mta",))).why == "postfix 3 is there now"
    assert names_what_came(found.why)
    many = [a_package(f"p{number}", "1") for number in range(9)]
    assert judged(a_wait(*(one.name for one in many)), *many).why.endswith("p4 1 and 4 more are there now")


def test_a_line_that_says_nothing_for_this_build_is_not_waited_for() -> None:
    found = judged(a_wait("libfoo [amd64]", "libbar <stage1>"))
    assert [answer.words for answer in found.answers] == ["says nothing for i386"] * 2
    assert (found.remaining, found.why) == ((), "its dependencies say nothing for its architecture")


def test_a_line_that_cannot_be_read_stays_and_keeps_the_build_waiting() -> None:
    found = judged(a_wait("libfoo", "Unable to correct problems, you have held broken packages"), a_package("libfoo"))
    assert found.remaining == ("Unable to correct problems, you have held broken packages",)
    assert found.answers[1].standing is S.UNREADABLE
    assert "only a person" in found.answers[1].words


def test_relations_in_one_line_are_looked_at_one_by_one() -> None:
    assert judged(a_wait("libfoo, bar (>= 2)"), a_package("libfoo")).remaining == ("bar (>= 2)",)


def test_a_build_sees_its_own_archives_and_its_own_series_only() -> None:
    of_ppa, of_warty = a_package(archive=PPA), a_package(series="warty")
    assert judged(a_wait("libfoo"), of_ppa, of_warty).remaining == ("libfoo",)
    assert judged(a_wait("libfoo", archives=(PRIMARY, PPA)), of_ppa).remaining == ()


def test_ten_thousand_dependencies_are_cut_and_each_is_whole() -> None:
    kept = reported([f"lib{number} (>= 1)" for number in range(10_000)])
    assert (len(kept), kept[-1]) == (MOST_REPORTED, f"lib{MOST_REPORTED - 1} (>= 1)")


# --- what was there already when the build missed it ------------------------------------------------


def test_what_was_there_before_the_attempt_counts_only_after_a_while() -> None:
    old = a_package("libfoo", "1.2", minutes=-60)
    early = judged(a_wait("libfoo", minutes=9), old)
    (answer,) = early.answers
    assert (answer.standing, answer.until, early.remaining) == (S.DOUBTED, NOON + timedelta(minutes=10), ("libfoo",))
    assert answer.words == "libfoo 1.2 was published before the build began, and its slave did not find it"
    late = judged(a_wait("libfoo", minutes=10), old)
    assert (late.remaining, late.why) == ((), "libfoo 1.2 is there now")


def test_doubt_grows_with_each_attempt_that_ended_so_and_has_a_limit() -> None:
    doubt = Doubt()
    assert [doubt.seconds(missed) / 60 for missed in range(1, 6)] == [5, 20, 80, 320, 1280]
    assert doubt.seconds(6) == doubt.seconds(10**9) == 86400
    assert doubt.seconds(0) == 300
    old = a_package(minutes=-60)
    assert judged(a_wait("libfoo", minutes=24, missed=2), old).remaining == ("libfoo",)
    assert judged(a_wait("libfoo", minutes=25, missed=2), old).remaining == ()


def test_what_came_while_the_build_ran_or_later_counts_at_once() -> None:
    assert judged(a_wait("libfoo", minutes=6), a_package(minutes=1)).remaining == ()
    both = (a_package("libfoo", "1", minutes=-60), a_package("libfoo", "2", minutes=6))
    assert judged(a_wait("libfoo", minutes=6, missed=9), *both).why == "libfoo 2 is there now"


def test_a_build_that_never_had_an_attempt_doubts_nothing() -> None:
    assert judged(a_wait("libfoo", tried=None), a_package(minutes=-60)).remaining == ()


# --- what makes way for what ------------------------------------------------------------------------


def earlier(name: str, version: str, number: int = 7, architecture: str = "i386") -> EarlierPackage:
    return EarlierPackage(number, name, version, architecture)


def test_a_newer_version_takes_the_place_of_an_older_one_of_its_architecture_or_of_any_if_it_is_for_all() -> None:
    there = [
        earlier("foo", "1.9", 1),
        earlier("foo", "1.9", 2, "amd64"),
        earlier("foo", "1.9", 3, "all"),
        earlier("bar", "1", 4),
    ]
    new = BinaryPackage("foo", "1.10", "i386")
    assert superseded(there, [new]) == ((1,), (new,))
    for_all = BinaryPackage("foo", "1.10", "all")
    assert superseded(there, [for_all]) == ((1, 2, 3), (for_all,))


def test_a_rebuilt_version_takes_the_place_of_itself() -> None:
    same = BinaryPackage("foo", "1", "i386")
    assert superseded([earlier("foo", "1")], [same]) == ((7,), (same,))


def test_versions_that_can_not_be_compared_stand_beside_each_other() -> None:
    for there, new in (("1_2", "1"), ("1", "1_2")):
        one = BinaryPackage("foo", new, "i386")
        assert superseded([earlier("foo", there)], [one]) == ((), (one,))


def test_an_older_version_is_not_published_over_a_newer_one() -> None:
    older, other = BinaryPackage("foo", "1", "i386"), BinaryPackage("bar", "1", "i386")
    assert superseded([earlier("foo", "2")], [older, other]) == ((), (other,))
    assert superseded([earlier("foo", "2", 7, "all")], [older]) == ((), ())
    assert superseded([earlier("foo", "2", 7, "amd64")], [older]) == ((), (older,))

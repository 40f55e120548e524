"""`buildd-master submit` to several series and architectures, and what becomes of older versions; `archive unpublish`."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.cli.chroots.test_commands import tarball
from tests.fix_cli import Command, SourceMaker

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may

SERIES = {"bookworm": ("amd64", "i386"), "trixie": ("amd64", "arm64"), "sid": ("amd64",)}


@pytest.fixture
def wide(command: Command, tmp_path: Path) -> Command:
    """Give a farm with chroots for three series of debian, nominated arch-indep amd64."""
    file = tarball(tmp_path / "chroot.tar", "bin/sh")
    for series, tags in SERIES.items():
        assert (
            command("series", "add", f"debian/{series}", *(word for tag in tags for word in ("--arch", tag))).code == 0
        )
        for tag in tags:
            assert command("chroot", "add", f"debian/{series}/{tag}", file).code == 0
    return command


def made(ran: object) -> list[str]:
    return [build["distroarchseries"].removeprefix("debian/") for build in ran.json["builds"]]  # type: ignore[attr-defined]


def published(command: Command, *options: str) -> list[tuple[str, str, str]]:
    shown = command("archive", "publications", "debian/primary", "--json", *options).json["publications"]
    return [(one["version"], one["series"], one["status"]) for one in shown]


def test_several_series_and_architectures_get_builds_at_once(wide: Command, source: SourceMaker) -> None:
    ran = wide("submit", source(hints="any all"), "--series", "trixie", "--series", "debian/bookworm", "--json")
    assert made(ran) == ["trixie/amd64", "trixie/arm64", "bookworm/amd64", "bookworm/i386"]
    assert [build["arch_indep"] for build in ran.json["builds"]] == [True, False, True, False]
    assert published(wide) == [("1.0", "bookworm", "PUBLISHED"), ("1.0", "trixie", "PUBLISHED")]


def test_all_series_and_two_architectures(wide: Command, source: SourceMaker) -> None:
    ran = wide("submit", source(hints="any"), "--series", "all", "--arch", "i386", "--arch", "arm64", "--json")
    assert made(ran) == ["bookworm/i386", "trixie/arm64"]
    assert ran.json["warnings"] == [
        "tiny has nothing to build in debian/sid: amd64 not asked for",
    ]
    assert ("warning: tiny has nothing to build in debian/sid" in ran.err, ran.code) == (True, 0)
    assert {series for _, series, _ in published(wide)} == {"bookworm", "trixie"}


def test_one_series_that_can_not_be_leaves_all_undone(wide: Command, source: SourceMaker) -> None:
    wide("series", "set", "debian/sid", "--status", "obsolete")
    dsc = source(hints="i386")
    for options, words in (
        (("--series", "bookworm", "--series", "trixie"), "it has nothing to build in debian/trixie (amd64, arm64 not"),
        (("--series", "bookworm", "--series", "warty"), "no series 'warty' with a chroot"),
        (("--series", "bookworm", "--series", "all"), "name none beside it"),
        (
            ("--series", "bookworm", "--arch", "arm64"),
            "no chroot for the architecture 'arm64' (there are: amd64, i386)",
        ),
        (("--series", "bookworm", "--arch", "amd64"), "amd64 not meant by the source; i386 not asked for"),
        (("--series", "bookworm", "--arch", "all"), "--arch all names no architecture"),
        (
            ("--series", "bookworm", "--series", "sid"),
            "the pocket RELEASE is closed to uploads in debian/sid (OBSOLETE)",
        ),
        (("--series", "bookworm", "--tag", "Odd Tag"), "--tag: tag 'Odd Tag' can't be"),
        (("--series", "bookworm", "--tag", ""), "--tag: tag '' can't be"),
        (("--series", "bookworm", "--tag", "gpu", "--no-tags"), "--tag and --no-tags contradict each other"),
        (("--series", "bookworm", "--component", "mainly"), "no component 'mainly' here (there are: contrib, main,"),
        (("--series", "bookworm", "--pocket", "updates"), "the pocket UPDATES is closed"),
    ):
        ran = wide("submit", dsc, *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert words in ran.err
    assert wide("build", "list", "--json").json["builds"] == []
    assert published(wide, "--all") == []


def test_a_package_by_name_comes_from_one_series(wide: Command) -> None:
    ran = wide("submit", "hello", "--series", "all")
    assert (ran.code, "a package by name comes from one series: name one, or fetch hello" in ran.err) == (2, True)


def test_a_hint_list_that_matches_nothing_is_refused_however_long_it_is(wide: Command, source: SourceMaker) -> None:
    for number, hints in enumerate(
        ("vax", " ".join(f"arch{one}" for one in range(1000)), "any-any-any-any-any", "source")
    ):
        ran = wide("submit", source(f"odd{number}", hints=hints), "--series", "sid")
        assert (ran.code, len(ran.err) < 400) == (2, True), ran
        assert "it has nothing to build in debian/sid (amd64 not meant by the source)" in ran.err
    hints = " ".join(["i386"] * 500 + [f"arch{one}" for one in range(500)] + ["linux-any"])
    assert made(wide("submit", source("many", hints=hints), "--series", "sid", "--json")) == ["sid/amd64"]


def test_nonsense_for_an_architecture_is_refused_by_name(wide: Command, source: SourceMaker) -> None:
    for number, (hints, words) in enumerate(
        (
            ("", "has no field Architecture"),
            ("any !i386", "names '!i386', which is no architecture"),
            ("[any]", "names '[any]'"),
            ("any,all", "names 'any,all'"),
            ("ANY", "names 'ANY'"),
            ("-", "names '-'"),
            ("../etc", "names '../etc'"),
        )
    ):
        ran = wide("submit", source(f"odd{number}", hints=hints), "--series", "sid")
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran
        assert words in ran.err


def test_ppas_are_built_on_the_architectures_that_support_them(wide: Command, source: SourceMaker) -> None:
    wide("archive", "add", "debian/cprov/ppa")
    wide("series", "set", "debian/bookworm", "--arch", "i386", "--no-ppas")
    where = ("--archive", "cprov/ppa", "--series", "bookworm")
    assert made(wide("submit", source(hints="any"), *where, "--json")) == ["bookworm/amd64"]
    ran = wide("submit", source("other", hints="i386"), *where)
    assert (ran.code, "amd64 not meant by the source; i386 not for PPAs" in ran.err) == (2, True)
    assert made(wide("submit", source(hints="any"), "--series", "bookworm", "--json")) == [
        "bookworm/amd64",
        "bookworm/i386",
    ]


def test_a_newer_version_supersedes_the_older_and_says_how_many_builds_waited(
    wide: Command, source: SourceMaker
) -> None:
    wide("submit", source(version="1.0", hints="any"), "--series", "all")
    ran = wide("submit", source(version="1.1", hints="any"), "--series", "bookworm", "--json")
    assert "superseded: tiny 1.0 in bookworm RELEASE; 2 builds of it waited, and are superseded too" in ran.err
    assert (ran.json["superseded_builds"], [one["version"] for one in ran.json["superseded"]]) == (2, ["1.0"])
    assert published(wide) == [
        ("1.1", "bookworm", "PUBLISHED"),
        ("1.0", "sid", "PUBLISHED"),
        ("1.0", "trixie", "PUBLISHED"),
    ]
    assert ("1.0", "bookworm", "SUPERSEDED") in published(wide, "--all")


def test_an_older_version_is_refused_and_nothing_is_changed(wide: Command, source: SourceMaker) -> None:
    wide("submit", source(version="1.1"), "--series", "bookworm")
    before = (wide("build", "list", "--json").json, published(wide))
    ran = wide("submit", source(version="1.0~rc1"), "--series", "all")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert (
        "tiny 1.1 is published in primary for bookworm RELEASE, and 1.0~rc1 is older: give it a higher version"
        in ran.err
    )
    assert (wide("build", "list", "--json").json, published(wide)) == before


def test_a_withdrawn_source_makes_room_for_an_older_one(wide: Command, source: SourceMaker) -> None:
    wide("submit", source(version="1.1", hints="any"), "--series", "bookworm", "--series", "sid")
    ran = wide("archive", "unpublish", "debian/primary", "tiny", "--series", "debian/bookworm")
    assert ran.out == "unpublished tiny 1.1 in bookworm RELEASE; 2 builds of it waited, and are superseded too\n"
    assert wide("submit", source(version="1.0"), "--series", "bookworm").code == 0
    gone = wide("archive", "unpublish", "debian/primary", "tiny", "--version", "1.1", "--pocket", "release", "--json")
    assert [(one["series"], one["status"]) for one in gone.json["unpublished"]] == [("sid", "DELETED")]
    assert gone.json["superseded_builds"] == 1
    assert published(wide) == [("1.0", "bookworm", "PUBLISHED")]
    table = wide("archive", "publications", "debian/primary", "--all", "--source", "tiny").out
    assert [line.split()[:5] for line in table.splitlines()[1:]] == [
        ["tiny", "1.1", "bookworm", "RELEASE", "main"],
        ["tiny", "1.0", "bookworm", "RELEASE", "main"],
        ["tiny", "1.1", "sid", "RELEASE", "main"],
    ]


def test_what_is_not_published_can_not_be_withdrawn(wide: Command, source: SourceMaker) -> None:
    wide("submit", source(), "--series", "sid")
    for arguments, words in (
        (("debian/primary", "absent"), "no source package release 'absent' here; `buildd-master archive publications "),
        (("debian/primary", "tiny", "--version", "2.0"), "'tiny 2.0' here (there are: 1.0 in sid RELEASE)"),
        (("debian/primary", "tiny", "--series", "trixie"), "(there are: 1.0 in sid RELEASE)"),
        (("debian/nowhere", "tiny"), "no archive 'debian/nowhere'"),
        (("primary", "tiny"), "'primary' names no archive"),
    ):
        ran = wide("archive", "unpublish", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert words in ran.err
    assert published(wide) == [("1.0", "sid", "PUBLISHED")]
    ran = wide("archive", "publications", "debian/primary", "--source", "absent")
    assert ran.out == ""
    assert "no source 'absent' in debian/primary" in ran.err  # others there are


def test_the_component_that_is_said_counts_where_the_source_is_published(wide: Command, source: SourceMaker) -> None:
    ran = wide("submit", source(), "--series", "sid", "--component", "universe", "--json")
    assert [build["component"] for build in ran.json["builds"]] == ["universe"]
    (job,) = wide("queue", "--json").json["jobs"]
    assert "C+250" in wide("explain", str(job["job"]), "--json").json["score_parts"]
    odd = source("odd", fields={"Package-List": "\n odd deb weird/misc optional arch=all"})
    ran = wide("submit", odd, "--series", "sid")
    assert (ran.code, "the section of odd is weird/misc: no component 'weird'" in ran.err) == (2, True)
    assert wide("submit", odd, "--series", "sid", "--component", "main").code == 0


def test_tags_of_a_build_are_said_changed_and_taken_back(wide: Command, source: SourceMaker) -> None:
    dsc = source()

    def tags(*options: str) -> list[str]:
        (build,) = wide("submit", dsc, "--series", "sid", *options, "--json").json["builds"]
        return list(wide("build", "show", str(build["id"]), "--json").json["tags"])

    assert tags("--tag", "gpu", "--tag", "big", "--tag", "gpu") == ["big", "gpu"]
    assert tags() == ["big", "gpu"]
    assert tags("--tag", "kvm") == ["kvm"]
    assert tags("--no-tags") == []


def test_of_very_many_builds_sums_are_told(wide: Command, source: SourceMaker, farm_database: str) -> None:
    with psycopg.connect(farm_database) as database:
        database.execute(
            """WITH made AS (
                   INSERT INTO distroseries (distribution, name, nominated_archindep)
                   SELECT distribution, 's' || number, 'amd64'
                   FROM distroseries, generate_series(1, 30) AS number WHERE name = 'sid' RETURNING id
               ), arch AS (
                   INSERT INTO distroarchseries (distroseries, architecture, family)
                   SELECT id, 'amd64', 'amd64' FROM made RETURNING id
               )
               INSERT INTO chroot (distroarchseries, pocket, alias)
               SELECT arch.id, 'RELEASE', (SELECT min(id) FROM library_alias) FROM arch"""
        )
    ran = wide("submit", source(), "--series", "all")
    assert (ran.code, "33 builds of tiny 1.0: queued" in ran.err, ran.err.count("\n")) == (0, True, 2)
    ran = wide("submit", source(), "--series", "all")
    assert "33 builds of tiny 1.0: is NEEDSBUILD already" in ran.err
    ran = wide("submit", source(version="2.0"), "--series", "all")
    assert "RELEASE and 25 more; 33 builds of it waited, and are superseded too" in ran.err

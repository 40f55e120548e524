"""`buildd-master series` and `archive`: status, PPAs' architectures, tags."""

from __future__ import annotations

import pytest

from tests.fix_cli import Command


@pytest.fixture
def hoary(command: Command) -> Command:
    """Give a farm with ubuntu/hoary on i386 and amd64."""
    assert command("series", "add", "ubuntu/hoary", "--arch", "i386", "--arch", "amd64").code == 0
    return command


def series(command: Command) -> dict[str, tuple[str, bool]]:
    return {one["name"]: (one["status"], one["ppas"]) for one in command("series", "list", "--json").json["series"]}


def test_a_new_series_is_in_development_and_builds_ppas(hoary: Command) -> None:
    assert series(hoary) == {"ubuntu/hoary/amd64": ("DEVELOPMENT", True), "ubuntu/hoary/i386": ("DEVELOPMENT", True)}
    lines = hoary("series", "list").out.splitlines()
    assert lines[0].split() == ["SERIES", "STATUS", "FAMILY", "ARCH-INDEP", "PPAS", "CHROOTS"]
    assert lines[1].split() == ["ubuntu/hoary/amd64", "DEVELOPMENT", "amd64", "yes", "none"]


def test_status_and_ppas_are_said_with_a_series(command: Command) -> None:
    ran = command("series", "add", "ubuntu/warty", "--arch", "i386", "--status", "supported", "--no-ppas", "--json")
    assert [(one["status"], one["ppas"]) for one in ran.json["series"]] == [("SUPPORTED", False)]
    command("series", "add", "ubuntu/warty", "--arch", "amd64", "--ppas")
    assert series(command) == {"ubuntu/warty/amd64": ("SUPPORTED", True), "ubuntu/warty/i386": ("SUPPORTED", False)}


def test_status_and_ppas_are_changed(hoary: Command) -> None:
    ran = hoary("series", "set", "ubuntu/hoary", "--status", "FROZEN", "--arch", "i386", "--no-ppas")
    assert ran.out == "changed ubuntu/hoary: FROZEN; i386 build no sources in PPAs\n"
    assert series(hoary) == {"ubuntu/hoary/amd64": ("FROZEN", True), "ubuntu/hoary/i386": ("FROZEN", False)}
    shown = hoary("series", "set", "ubuntu/hoary", "--no-ppas", "--json").json["series"]
    assert [(one["name"], one["ppas"]) for one in shown] == [
        ("ubuntu/hoary/amd64", False),
        ("ubuntu/hoary/i386", False),
    ]
    assert hoary("series", "set", "ubuntu/hoary", "--ppas").out == (
        "changed ubuntu/hoary: amd64 i386 build sources in PPAs\n"
    )


def test_a_change_of_a_series_that_can_not_be_is_refused(hoary: Command) -> None:
    for arguments, words in (
        (("ubuntu/hoary",), "nothing to change"),
        (("ubuntu/hoary", "--arch", "i386", "--status", "CURRENT"), "--arch goes with --ppas or --no-ppas"),
        (("ubuntu/hoary", "--status", "STABLE"), "STABLE"),
        (
            ("ubuntu/hoary", "--arch", "vax", "--ppas"),
            "no series 'ubuntu/hoary/vax' here (there are: ubuntu/hoary/amd64,",
        ),
        (("ubuntu/warty", "--ppas"), "no series 'ubuntu/warty' here (there are: ubuntu/hoary)"),
        (("hoary", "--ppas"), "'hoary' names no series"),
    ):
        ran = hoary("series", "set", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert words in ran.err


def test_an_archive_asks_for_tags(hoary: Command) -> None:
    assert hoary("archive", "add", "ubuntu/cprov/ppa", "--tag", "kvm", "--tag", "big", "--json").json["tags"] == [
        "big",
        "kvm",
    ]
    assert "big kvm" in hoary("archive", "list").out
    assert hoary("archive", "set", "ubuntu/cprov/ppa", "--score", "5", "--json").json["tags"] == ["big", "kvm"]
    assert hoary("archive", "set", "ubuntu/cprov/ppa", "--tag", "gpu", "--json").json["tags"] == ["gpu"]
    assert hoary("archive", "set", "ubuntu/cprov/ppa", "--no-tags", "--json").json["tags"] == []
    for arguments, words in (
        (("--tag", "gpu", "--no-tags"), "--tag and --no-tags contradict each other"),
        (("--tag", "gpu", "--tag", "A B"), "--tag: tag 'A B' can't be: 1 to 64 of a-z, 0-9"),
        ((), "nothing to change"),
    ):
        ran = hoary("archive", "set", "ubuntu/cprov/ppa", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert words in ran.err


def test_a_builder_has_restricted_tags(hoary: Command) -> None:
    made = hoary(
        "builder",
        "add",
        "bob",
        "buildd://127.0.0.1:1",
        "--family",
        "x86",
        "--tag",
        "big",
        "--restricted-tag",
        "gpu",
        "--json",
    ).json
    assert (made["tags"], made["restricted_tags"]) == (["big"], ["gpu"])
    assert "only jobs that ask for all of these" in hoary("builder", "show", "bob").out
    changed = hoary("builder", "set", "bob", "--restricted-tag", "kvm", "--no-tags", "--json").json
    assert (changed["tags"], changed["restricted_tags"]) == ([], ["kvm"])
    assert hoary("builder", "set", "bob", "--no-restricted-tags").out == "changed builder bob: restricted tags\n"
    assert hoary("builder", "show", "bob", "--json").json["restricted_tags"] == []
    for arguments, words in (
        (("--restricted-tag", "gpu", "--no-restricted-tags"), "--restricted-tag and --no-restricted-tags contradict"),
        (("--restricted-tag", "gpu", "--tag", "gpu"), "--tag and --restricted-tag both name gpu"),
        (("--restricted-tag", "G"), "--restricted-tag: tag 'G' can't be"),
    ):
        ran = hoary("builder", "set", "bob", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert words in ran.err


def test_an_architecture_that_nobody_knows_is_called_one(hoary: Command) -> None:
    ran = hoary("series", "add", "ubuntu/breezy", "--arch", "vax")
    assert (ran.code, ran.err.startswith("buildd-master: no architecture 'vax' here (there are: amd64, ")) == (2, True)


def test_an_archive_is_shown_with_what_happened_to_it(hoary: Command) -> None:
    hoary("archive", "add", "ubuntu/ann/ppa", "--private", "--tag", "big", "--memory", "4G")
    hoary("archive", "set", "ubuntu/ann/ppa", "--score", "-50")
    lines = hoary("archive", "show", "ubuntu/ann/ppa").out.splitlines()
    assert lines[1] == "purpose       PPA: its builds are untrusted"
    assert {"owner         ann", "score         -50", "tags          big", "private       yes"} <= set(lines)
    assert lines[-1].endswith("relative_score = -50  archive set ubuntu/ann/ppa")
    ran = hoary("archive", "show", "ubuntu/ann/pap")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_a_series_that_was_misspelt_is_removed(hoary: Command) -> None:
    hoary("series", "add", "ubuntu/haory", "--arch", "i386")
    assert hoary("series", "remove", "ubuntu/haory").out == "removed series ubuntu/haory: i386\n"
    assert set(series(hoary)) == {"ubuntu/hoary/amd64", "ubuntu/hoary/i386"}
    assert hoary("series", "remove", "ubuntu/haory").code == 2

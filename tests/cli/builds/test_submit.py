"""`buildd-master submit`, `build`, `queue` and `explain` on a real database, without a master."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.cli.chroots.test_commands import tarball
from tests.fix_cli import Command, SourceMaker


@pytest.fixture
def ready(command: Command, tmp_path: Path) -> Command:
    """Give a farm with chroots for `debian/bookworm` on amd64 (nominated arch-indep) and i386."""
    assert command("series", "add", "debian/bookworm", "--arch", "amd64", "--arch", "i386").code == 0
    for architecture in ("amd64", "i386"):
        file = tarball(tmp_path / f"{architecture}.tar", "bin/sh")
        assert command("chroot", "add", f"debian/bookworm/{architecture}", file).code == 0
    return command


def builds(command: Command) -> list[dict[str, object]]:
    return list(command("build", "list", "--json").json["builds"])


def librarian_files(state_directory: Path) -> set[str]:
    return {path.name for path in (state_directory / "librarian" / "content").glob("*/*")}


def test_a_source_becomes_one_build_for_every_architecture_it_fits(ready: Command, source: SourceMaker) -> None:
    ran = ready("submit", source(hints="any all"), "--json")
    assert ran.code == 0
    assert [(b["distroarchseries"], b["arch_indep"], b["state"], b["trusted"]) for b in ran.json["builds"]] == [
        ("debian/bookworm/amd64", True, "NEEDSBUILD", True),
        ("debian/bookworm/i386", False, "NEEDSBUILD", True),
    ]
    assert len(ready("queue", "--json").json["jobs"]) == 2


def test_what_a_source_names_is_in_the_librarian(ready: Command, source: SourceMaker, state_directory: Path) -> None:
    dsc = source()
    ready("submit", dsc)
    stored = librarian_files(state_directory)
    for file in dsc.parent.iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() in stored


def test_an_output_that_can_not_be_written_is_refused_before_anything_is_queued(
    ready: Command, source: SourceMaker
) -> None:
    ran = ready("submit", source(), "--output", "/proc/nowhere")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "can't write to /proc/nowhere" in ran.err
    assert builds(ready) == []


def test_a_build_that_waits_for_another_pocket_is_said_to_stay_there(ready: Command, source: SourceMaker) -> None:
    dsc = source()
    ready("submit", dsc)
    assert "NEEDSBUILD already for the pocket RELEASE" in ready("submit", dsc, "--pocket", "proposed").err


HINTS = [
    ("all", ["amd64"]),
    ("any", ["amd64", "i386"]),
    ("linux-any", ["amd64", "i386"]),
    ("any-i386", ["i386"]),
    ("i386 armhf", ["i386"]),
    ("amd64 all", ["amd64"]),
]


def test_the_architecture_hint_list_decides(ready: Command, source: SourceMaker) -> None:
    for number, (hints, architectures) in enumerate(HINTS):
        ran = ready("submit", source(f"tiny{number}", hints=hints), "--json")
        assert [build["architecture"] for build in ran.json["builds"]] == architectures, hints


def test_one_architecture_may_be_asked_for(ready: Command, source: SourceMaker) -> None:
    (build,) = ready("submit", source(hints="any"), "--arch", "i386", "--json").json["builds"]
    assert build["architecture"] == "i386"


def test_a_source_for_a_ppa_makes_untrusted_builds(ready: Command, source: SourceMaker) -> None:
    ready("archive", "add", "debian/cprov/ppa")
    (build,) = ready("submit", source(), "--archive", "cprov/ppa", "--json").json["builds"]
    assert (build["archive"], build["trusted"]) == ("cprov/ppa", False)


def test_a_section_of_contrib_names_the_component(ready: Command, source: SourceMaker) -> None:
    dsc = source(fields={"Package-List": "\n tiny deb contrib/misc optional arch=all"})
    (build,) = ready("submit", dsc, "--json").json["builds"]
    assert build["component"] == "contrib"


def test_the_same_source_again_keeps_its_build(ready: Command, source: SourceMaker) -> None:
    dsc = source()
    first = ready("submit", dsc, "--json").json["builds"]
    second = ready("submit", dsc, "--json")
    assert (second.code, second.json["builds"]) == (0, first)
    assert "is NEEDSBUILD already" in second.err


def test_a_cancelled_build_is_queued_again_by_submitting_again(ready: Command, source: SourceMaker) -> None:
    dsc = source()
    (build,) = ready("submit", dsc, "--json").json["builds"]
    assert ready("build", "cancel", str(build["id"])).out == f"build {build['id']} is cancelled\n"
    assert ready("queue", "--json").json["jobs"] == []
    (again,) = ready("submit", dsc, "--json").json["builds"]
    assert (again["id"], again["state"]) == (build["id"], "NEEDSBUILD")


def test_a_refused_source_leaves_nothing_behind(ready: Command, source: SourceMaker, state_directory: Path) -> None:
    before = librarian_files(state_directory)
    missing = source("missing")
    missing.with_name("missing_1.0.tar.xz").unlink()
    wrong = source("wrong")
    tarball_of_wrong = wrong.with_name("wrong_1.0.tar.xz")
    tarball_of_wrong.write_bytes(b"!" * tarball_of_wrong.stat().st_size)
    signature = source("signature", signed=True)
    signature.write_text(signature.read_text().replace("-----END PGP SIGNATURE-----", ""))
    outside = source("outside", fields={"Checksums-Sha256": f"\n {'0' * 64} 1 ../../etc/passwd"})
    for dsc, words in (
        (missing, "missing_1.0.tar.xz is missing"),
        (wrong, "wrong_1.0.tar.xz has the SHA-256"),
        (signature, "broken signature block"),
        (outside, "'../../etc/passwd': a path is not allowed"),
    ):
        ran = ready("submit", dsc)
        assert (ran.code, ran.out) == (2, "")
        assert words in ran.err
        assert ran.err.count("\n") == 1
    assert builds(ready) == []
    assert librarian_files(state_directory) == before


def test_other_content_of_a_published_version_is_refused(ready: Command, source: SourceMaker) -> None:
    ready("submit", source())
    ran = ready("submit", source(fields={"Maintainer": "Somebody else"}))
    assert ran.code == 2
    assert "tiny" in ran.err
    assert len(builds(ready)) == 1


def test_bad_input_is_one_line_and_exit_code_2(ready: Command, source: SourceMaker) -> None:
    dsc = source()
    vax = source("vax", hints="vax")
    for arguments, words in (
        (("absent.dsc",), "can't read absent.dsc: No such file"),
        ((dsc.with_suffix(".txt"),), "is no .dsc file"),
        (("No_Package",), "'No_Package' is neither a .dsc file nor the name of a package"),
        ((dsc, "--series", "warty"), "no series 'warty' with a chroot (there are: debian/bookworm)"),
        ((dsc, "--archive", "nowhere"), "nowhere"),
        ((dsc, "--arch", "vax"), "no chroot for the architecture 'vax' (there are: amd64, i386)"),
        ((dsc, "--component", "nonsense"), "nonsense"),
        ((dsc, "--urgency", "sometime"), "sometime"),
        ((vax,), "vax is for vax: it has nothing to build"),
    ):
        ran = ready("submit", *arguments)
        assert (ran.code, ran.out) == (2, ""), ran
        assert words in ran.err
        assert ran.err.count("\n") == 1
    assert builds(ready) == []


def test_without_any_chroot_the_person_is_told_how_to_make_one(command: Command, source: SourceMaker) -> None:
    ran = command("submit", source())
    assert ran.code == 2
    assert "no series has a chroot: make one with `buildd-master chroot make`" in ran.err


def test_two_series_with_chroots_need_a_choice(ready: Command, source: SourceMaker, tmp_path: Path) -> None:
    ready("series", "add", "debian/trixie", "--arch", "amd64")
    ready("chroot", "add", "debian/trixie/amd64", tarball(tmp_path / "trixie.tar", "bin/sh"))
    ran = ready("submit", source())
    assert ran.code == 2
    assert "which series? say --series with one of: debian/bookworm, debian/trixie" in ran.err
    (build,) = ready("submit", source(), "--series", "debian/trixie", "--json").json["builds"]
    assert build["distroarchseries"] == "debian/trixie/amd64"


def test_explain_says_what_keeps_a_job_from_every_builder(ready: Command, source: SourceMaker) -> None:
    ready("submit", source(hints="any"), "--arch", "i386")
    (job,) = ready("queue", "--json").json["jobs"]
    assert job["reason"]["code"] == "no_capable_builder"
    ready("builder", "add", "bob", "buildd://127.0.0.1:1", "--family", "x86", "--trusted")
    ready("builder", "add", "mallory", "buildd://127.0.0.1:2", "--family", "x86")
    ready("builder", "add", "frog", "buildd://127.0.0.1:3", "--family", "x86", "--trusted")
    ready("builder", "set", "frog", "--not-ok", "--notes", "no power")
    told = ready("explain", str(job["job"]), "--json").json
    assert (told["position"], told["score_parts"]) == (1, "U+10 C+1000 P+1500 A+0 = 2510")
    assert [(one["builder"], one["reason"]["code"]) for one in told["builders"]] == [
        ("bob", "builder_disconnected"),
        ("frog", "builder_not_ok"),
        ("mallory", "trust_mismatch"),
    ]
    assert "not ok: no power" in ready("explain", str(job["job"])).out


def test_explain_of_a_builds_number_is_bad_input_and_names_its_job(ready: Command, source: SourceMaker) -> None:
    ready("submit", source(version="1.0"))
    ready("submit", source(version="2.0"), "--again")
    ready("build", "cancel", "2")
    ready("build", "retry", "2")
    ran = ready("explain", "2")
    assert ran.code == 2
    assert "no job 2, but build 2 has job 3: `buildd-master explain 3`" in ran.err


def test_explain_of_no_job_points_to_the_queue(ready: Command) -> None:
    ran = ready("explain", "99")
    assert ran.code == 2
    assert "no job '99' here" in ran.err


def test_show_log_and_files_of_a_build_that_has_not_begun(ready: Command, source: SourceMaker, tmp_path: Path) -> None:
    (build,) = ready("submit", source(), "--json").json["builds"]
    number = str(build["id"])
    shown = ready("build", "show", number, "--json").json
    assert (shown["source"], shown["attempts"], shown["files"]) == ("tiny", [], [])
    log = ready("build", "log", number)
    assert (log.code, log.out) == (1, "")
    assert "has no log: it has not begun" in log.err
    assert ready("build", "files", number, "--json").json["files"] == []
    assert ready("build", "files", number, "--output", tmp_path / "out").code == 1
    for command in ("show", "log", "files", "cancel"):
        assert "no build '99'" in ready("build", command, "99").err


def test_status_says_in_one_line_what_is_stuck(ready: Command, source: SourceMaker) -> None:
    ready("submit", source(hints="any"))
    assert ready("status").out.splitlines()[0] == (
        "0 of 0 builders ok · 0 building · 2 waiting, 2 of them can't start (no_capable_builder)"
    )
    document = ready("status", "--json").json
    assert (document["queue"]["waiting"], document["queue"]["stuck"]) == (2, {"no_capable_builder": 2})
    assert document["queue"]["families"]["x86"] == {"builders": 0, "ok": 0, "building": 0, "waiting": 1}


def test_a_package_by_name_needs_apt(ready: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    ran = ready("submit", "hello")
    assert ran.code == 3
    assert "sources by name need a Debian machine" in ran.err
    assert builds(ready) == []

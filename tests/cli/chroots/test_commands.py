"""`buildd-master chroot`, `series` and `archive` on a real database."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import zstandard

from cli.chroots import verbs
from cli.chroots.making import Recipe, made
from cli.chroots.update import Updated
from cli.errors import NotReachable
from cli.packages import host_apt
from tests.fix_cli import Command

HOARY = "ubuntu/hoary/i386"


def tarball(path: Path, *members: str) -> Path:
    """Write a tarball of empty files; packed as its suffix says."""
    octets = io.BytesIO()
    with tarfile.open(fileobj=octets, mode="w") as tar:
        for member in members:
            tar.addfile(tarfile.TarInfo(member))
    plain = octets.getvalue()
    path.write_bytes(zstandard.ZstdCompressor().compress(plain) if path.suffix == ".zst" else plain)
    return path


@pytest.fixture
def hoary(command: Command) -> Command:
    """Give a farm that has the series `ubuntu/hoary` with the architecture i386."""
    assert command("series", "add", "ubuntu/hoary", "--arch", "i386").code == 0
    return command


@pytest.mark.parametrize("name", ["hoary.tar.zst", "hoary.tar"])
def test_a_chroot_is_stored_and_registered(hoary: Command, tmp_path: Path, state_directory: Path, name: str) -> None:
    file = tarball(tmp_path / name, "./bin/sh", "./etc/passwd")
    assert hoary("chroot", "add", HOARY, file).code == 0
    (chroot,) = hoary("chroot", "list", "--json").json["chroots"]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (chroot["distroarchseries"], chroot["pocket"], chroot["sha256"]) == (HOARY, "RELEASE", sha256)
    assert (state_directory / "librarian" / "content" / sha256[:2] / sha256).read_bytes() == file.read_bytes()


def test_a_second_chroot_replaces_the_first(hoary: Command, tmp_path: Path) -> None:
    hoary("chroot", "add", HOARY, tarball(tmp_path / "a.tar", "bin/sh"))
    second = tarball(tmp_path / "b.tar", "bin/sh", "new")
    hoary("chroot", "add", HOARY, second)
    (chroot,) = hoary("chroot", "list", "--json").json["chroots"]
    assert chroot["filename"] == "b.tar"


def test_pockets_have_chroots_of_their_own(hoary: Command, tmp_path: Path) -> None:
    for pocket in ("release", "security"):
        assert hoary("chroot", "add", HOARY, tarball(tmp_path / "a.tar", "bin/sh"), "--pocket", pocket).code == 0
    chroots = hoary("chroot", "list", "--json").json["chroots"]
    assert [chroot["pocket"] for chroot in chroots] == ["RELEASE", "SECURITY"]


def test_a_chroot_that_is_held_back_says_why_until_it_is_used_again(
    hoary: Command, tmp_path: Path, farm_database: str
) -> None:
    hoary("chroot", "add", HOARY, tarball(tmp_path / "a.tar", "bin/sh"))
    with psycopg.connect(farm_database) as connection:
        connection.execute("UPDATE chroot SET held_back = 'no space'")
    assert "HELD BACK: no space" in hoary("chroot", "list").out
    assert hoary("chroot", "use", HOARY).out == f"chroot {HOARY} RELEASE is used (held back before: no space)\n"
    (chroot,) = hoary("chroot", "list", "--json").json["chroots"]
    assert chroot["held_back"] == ""
    refused = hoary("chroot", "use", HOARY, "--pocket", "security")
    assert (refused.code, refused.out) == (2, "")
    assert "has no chroot of its own for SECURITY" in refused.err


def test_an_update_of_a_chroot_that_is_not_there_says_which_there_are(hoary: Command, tmp_path: Path) -> None:
    hoary("chroot", "add", HOARY, tarball(tmp_path / "a.tar", "bin/sh"))
    ran = hoary("chroot", "update", "hoary/amd64")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no chroot of hoary/amd64 (there are: ubuntu/hoary/i386)" in ran.err


def test_a_chroot_registered_during_an_update_stays(
    hoary: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def meanwhile(*_: object) -> Iterator[Updated]:
        hoary("chroot", "add", HOARY, tarball(tmp_path / "theirs.tar", "bin/sh", "theirs"))
        yield Updated(tarball(tmp_path / "ours.tar", "bin/sh", "ours"), upgraded=1, added=0)

    hoary("chroot", "add", HOARY, tarball(tmp_path / "old.tar", "bin/sh"))
    monkeypatch.setattr(verbs, "updated", meanwhile)
    ran = hoary("chroot", "update")
    assert ran.code == 1
    assert f"chroot {HOARY} RELEASE was replaced while it was updated" in ran.err
    (there,) = hoary("chroot", "list", "--json").json["chroots"]
    assert there["filename"] == "theirs.tar"


NO_CHROOTS = [
    (b"", "is no tarball"),
    (b"no tarball at all" * 100, "is no tarball"),
    (zstandard.ZstdCompressor().compress(b"no tarball" * 1000), "is no tarball"),
    (zstandard.ZstdCompressor().compress(b"\0" * 10240)[:-3], "is no tarball"),
    (b"\x28\xb5\x2f\xfdgarbage", "is no tarball"),
    (b"\0" * 10240, "no chroot: it has no bin/sh"),
]


def test_what_is_no_tarball_is_refused(hoary: Command, tmp_path: Path) -> None:
    for octets, words in NO_CHROOTS:
        file = tmp_path / "chroot.tar.zst"
        file.write_bytes(octets)
        ran = hoary("chroot", "add", HOARY, file)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert words in ran.err
        assert str(file) in ran.err
        assert hoary("chroot", "list", "--json").json == {"chroots": []}


def test_a_tarball_that_was_cut_short_is_refused(hoary: Command, tmp_path: Path) -> None:
    file = tarball(tmp_path / "chroot.tar.zst", "bin/sh", *(f"file{number}" for number in range(500)))
    file.write_bytes(file.read_bytes()[:-20])
    assert "is no tarball" in hoary("chroot", "add", HOARY, file).err


@pytest.mark.parametrize("rubbish", [bytes(range(7, 255)), b"\x28\xb5\x2f\xfdand more"])
def test_a_tarball_with_rubbish_behind_it_is_refused(hoary: Command, tmp_path: Path, rubbish: bytes) -> None:
    file = tarball(tmp_path / "chroot.tar.zst", "bin/sh")
    file.write_bytes(file.read_bytes() + rubbish)
    assert "is no tarball" in hoary("chroot", "add", HOARY, file).err


def test_a_named_pipe_is_no_tarball_and_nobody_waits_for_it(hoary: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "chroot.tar")
    ran = hoary("chroot", "add", HOARY, tmp_path / "chroot.tar")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "chroot.tar is no file" in ran.err


def test_a_tool_that_ends_its_whole_process_group_ends_nobody_else_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "mmdebstrap"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho half > half.tar\necho 'E: No space left on device' >&2\nkill -HUP 0\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    place = tmp_path / "apt"
    recipe = Recipe(host_apt.codename(), host_apt.architecture(), "apt", ())
    with pytest.raises(NotReachable, match="No space left on device"), made(recipe, place, lambda *_: None):
        pass
    assert [path.name for path in place.iterdir()] == ["mmdebstrap.log"]


BAD_INPUT = [
    (("chroot", "add", "hoary", "x.tar"), "'hoary' names no architecture of a series"),
    (("chroot", "add", "ubuntu/warty/i386", "x.tar"), "ubuntu/warty/i386"),
    (("chroot", "add", HOARY, "absent.tar"), "absent.tar is no existing file"),
    (("chroot", "add", HOARY, "/"), "/ is no file"),
    (("chroot", "make", "--", "--help"), "'--help' is no name of a suite"),
    (("chroot", "make", "bookworm", "--include", "x,--variant=y"), "'--variant=y' is neither a package"),
    (("chroot", "make", "bookworm", "--variant", "huge"), "unknown variant 'huge'"),
    (("chroot", "make", "bookworm", "--arch", "vax"), "vax"),
    (("chroot", "update"), "there is no chroot yet"),
    (("series", "add", "hoary", "--arch", "i386"), "'hoary' names no series"),
    (("series", "add", "ubuntu/hoary", "--arch", "vax"), "vax"),
    (("archive", "add", "primary"), "'primary' names no archive"),
    (("archive", "add", "ubuntu/ppa"), "write ubuntu/OWNER/ppa"),
    (("archive", "add", "ubunt/cprov/ppa"), "no distribution 'ubunt' here"),
    (("archive", "add", "beos/x/ppa"), "beos"),
    (("archive", "add", "ubuntu/primary", "--purpose", "primary"), "primary"),
    (("archive", "set", "ubuntu/primary"), "nothing to change"),
    (("archive", "set", "ubuntu/nobody/ppa", "--disable"), "nobody/ppa"),
]


def test_bad_input_is_one_line_and_exit_code_2(hoary: Command) -> None:
    for arguments, words in BAD_INPUT:
        ran = hoary(*arguments)
        assert (ran.code, ran.out) == (2, ""), ran
        assert words in ran.err, arguments
        assert ran.err.count("\n") == 1


def test_a_series_gets_its_primary_archive(hoary: Command) -> None:
    (archive,) = hoary("archive", "list", "--json").json["archives"]
    assert (archive["distribution"], archive["name"], archive["trusted"]) == ("ubuntu", "primary", True)


def test_an_architecture_is_added_to_a_series(hoary: Command) -> None:
    assert hoary("series", "add", "ubuntu/hoary", "--arch", "amd64").code == 0
    series = hoary("series", "list", "--json").json["series"]
    assert [(one["name"], one["nominated_archindep"]) for one in series] == [
        ("ubuntu/hoary/amd64", False),
        (HOARY, True),
    ]


def test_a_ppa_belongs_to_its_owner_and_is_untrusted(hoary: Command) -> None:
    ppa = hoary("archive", "add", "ubuntu/cprov/ppa", "--json").json
    assert (ppa["name"], ppa["owner"], ppa["trusted"], ppa["enabled"]) == ("cprov/ppa", "cprov", False, True)


def test_an_archive_is_changed(hoary: Command) -> None:
    hoary("archive", "add", "ubuntu/cprov/ppa")
    changed = hoary("archive", "set", "ubuntu/cprov/ppa", "--disable", "--score", "-5", "--json").json
    assert (changed["enabled"], changed["relative_score"], changed["private"]) == (False, -5, False)

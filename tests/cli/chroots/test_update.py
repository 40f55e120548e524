"""`buildd-master chroot update`, with a real chroot whose apt has an archive inside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cli.packages import host_apt
from tests.fix_chroot import make_deb
from tests.fix_cli import Command

pytestmark = pytest.mark.slow


def with_a_newer_package(chroot: Path, place: Path) -> Path:
    """Return a copy of the chroot whose archive has a newer version of a package that it has installed."""
    tree = place / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", chroot, "-C", tree, "--numeric-owner"], check=True)
    make_deb(place, tree / "archive", "build-essential", version="100")
    scan = ["dpkg-scanpackages", "--multiversion", "."]
    index = subprocess.run(scan, cwd=tree / "archive", check=True, capture_output=True)
    (tree / "archive" / "Packages").write_bytes(index.stdout)
    packed = place / "older.tar"
    subprocess.run(["tar", "-cf", packed, "-C", tree, "--numeric-owner", "."], check=True)
    shutil.rmtree(tree)
    return packed


def installed(tarball: Path) -> str:
    command = ["tar", "--extract", "--to-stdout", f"--file={tarball}", "./var/lib/dpkg/status"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_chroot_is_replaced_by_its_upgraded_self_and_left_alone_when_nothing_is_newer(
    command: Command, offline_chroot: Path, state_directory: Path, tmp_path: Path
) -> None:
    name = f"debian/bookworm/{host_apt.architecture()}"
    assert command("series", "add", "debian/bookworm", "--arch", host_apt.architecture()).code == 0
    command("chroot", "add", name, with_a_newer_package(offline_chroot, tmp_path))
    (before,) = command("chroot", "list", "--json").json["chroots"]

    ran = command("chroot", "update", "bookworm", "--json")
    assert ran.code == 0, ran.err
    (updated,) = ran.json["chroots"]
    (after,) = command("chroot", "list", "--json").json["chroots"]
    assert (updated["updated"], updated["upgraded"], updated["added"]) == (True, 1, 0)
    assert after["sha256"] == updated["sha256"] != before["sha256"]
    tarball = state_directory / "librarian" / "content" / after["sha256"][:2] / after["sha256"]
    assert "Package: build-essential\nStatus: install ok installed\n" in installed(tarball)
    assert "Version: 100\n" in installed(tarball)
    for name in ("./etc/resolv.conf", "./etc/hostname", "./etc/apt/sources.list"):
        assert subprocess.run(["tar", "-tf", tarball, name], check=False, capture_output=True).returncode != 0, name

    again = command("chroot", "update")
    assert again.code == 0, again.err
    assert "is up to date" in again.out
    assert command("chroot", "list", "--json").json["chroots"] == [after]


def test_a_chroot_that_can_not_be_updated_stays_and_the_others_are_updated(
    command: Command, offline_chroot: Path, tmp_path: Path
) -> None:
    architecture = host_apt.architecture()
    for series in ("bookworm", "sid"):
        command("series", "add", f"debian/{series}", "--arch", architecture)
    command("chroot", "add", f"debian/bookworm/{architecture}", offline_chroot)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").touch()
    subprocess.run(["tar", "-cf", tmp_path / "broken.tar", "-C", tmp_path, "bin"], check=True)
    command("chroot", "add", f"debian/sid/{architecture}", tmp_path / "broken.tar")
    before = command("chroot", "list", "--json").json

    ran = command("chroot", "update")
    assert ran.code == 1
    assert f"debian/bookworm/{architecture} RELEASE is up to date" in ran.out
    assert f"debian/sid/{architecture} RELEASE: the update failed: " in ran.err
    assert "1 of 2 chroots could not be updated" in ran.err.splitlines()[-1]
    assert command("chroot", "list", "--json").json == before
    assert command("chroot", "update", "sid").code == 3

"""A chroot made by an ordinary user, with mmdebstrap and this machine's mirrors."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cli.packages import host_apt
from slave.isolation.subordinate_ids import FILES, owned
from tests.fix_ordinary_user import OrdinaryUser
from tests.fix_slaves import CHECKOUT

MAKE = """
import shutil, sys
from pathlib import Path
from cli.chroots.making import Recipe, made
with made(Recipe(sys.argv[2], sys.argv[3], variant="extract", include=("passwd",)), Path(sys.argv[1]), print) as tarball:
    shutil.copy(tarball, Path(sys.argv[1]) / "made.tar.zst")
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="is about other users, whom root makes")


def make(user: OrdinaryUser, directory: Path) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-c", MAKE, str(directory), host_apt.codename(), host_apt.architecture())
    return subprocess.run(
        user.command(*words, reach=directory),
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_an_ordinary_user_makes_a_chroot_whose_files_are_root_s_and_clears_away_what_a_killed_one_left(
    ordinary_user: OrdinaryUser, tmp_path: Path
) -> None:
    left = tmp_path / "chroot-left" / "etc"
    left.mkdir(parents=True)
    tmp_path.chmod(0o700)
    ordinary_user.gets(tmp_path)
    first = owned(FILES[0].read_text(), frozenset({ordinary_user.name}))[0].first
    os.chown(left, first + 100, first + 100)
    left.chmod(0o700)
    ran = make(ordinary_user, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"made.tar.zst", "mmdebstrap.log"}
    with (
        subprocess.Popen(["zstd", "-dqc", str(tmp_path / "made.tar.zst")], stdout=subprocess.PIPE) as expand,
        tarfile.open(fileobj=expand.stdout, mode="r|") as tar,
    ):
        owner = {member.name: (member.uid, member.gid) for member in tar}
    assert owner["./usr/bin/passwd"] == (0, 0)
    assert owner["./usr/bin/chage"] == (0, 42), "of the group shadow"


def test_who_has_no_subordinate_ids_is_told_so_before_anything_is_made(poor_user: OrdinaryUser, tmp_path: Path) -> None:
    poor_user.gets(tmp_path)
    ran = make(poor_user, tmp_path)
    assert ran.stderr.splitlines()[-1].startswith(
        "cli.errors.NotReachable: a chroot is made by an ordinary user in a user namespace: "
        f"{poor_user.name} needs subordinate user and group ids, and has none; as root, run: usermod --add-subuids "
    )
    assert list(tmp_path.iterdir()) == []

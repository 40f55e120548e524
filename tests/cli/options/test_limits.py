"""Limits of builds from the command line: of an archive, of a build, as they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.database.connection import acting, connect
from storage.records import Limits, Pick
from tests.cli.chroots.test_commands import tarball
from tests.fix_cli import Command, SourceMaker


@pytest.fixture
def ready(command: Command, tmp_path: Path) -> Command:
    assert command("series", "add", "debian/bookworm", "--arch", "amd64").code == 0
    assert command("chroot", "add", "debian/bookworm/amd64", tarball(tmp_path / "amd64.tar", "bin/sh")).code == 0
    return command


def test_an_archive_is_given_limits_and_gives_them_back(ready: Command) -> None:
    ran = ready("archive", "add", "debian/cprov/ppa", "--memory", "4G", "--wall", "2h 30m", "--json")
    assert ran.json["limits"] == {"wall_seconds": 9000, "memory_bytes": 4 << 30}
    ran = ready("archive", "set", "debian/cprov/ppa", "--wall", "default", "--disk", "20G", "--json")
    assert ran.json["limits"] == {"memory_bytes": 4 << 30, "disk_bytes": 20 << 30}
    assert "memory 4 GiB, disk 20 GiB" in ready("archive", "list").out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--memory", "4"), "--memory 4: '4' is no size: write it as 512M, 4G or 1.5 GiB"),
        (("--memory", "4K"), "--memory 4K: memory_bytes can't be 4 KiB: 16 MiB to"),
        (("--wall", "8"), "--wall 8: '8' is no duration"),
        (("--processes", "many"), "--processes many: 'many' is no number"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    ready: Command, source: SourceMaker, options: tuple[str, str], words: str
) -> None:
    for line in (("archive", "set", "debian/primary"), ("archive", "add", "debian/x/ppa"), ("submit", source())):
        ran = ready(*line, *options)
        assert (ran.code, ran.out) == (2, ""), ran
        assert words in ran.err
    assert [archive["limits"] for archive in ready("archive", "list", "--json").json["archives"]] == [{}]
    assert ready("build", "list", "--json").json["builds"] == []


def test_a_build_shows_its_own_limits_then_those_in_force_and_who_set_them(
    ready: Command, source: SourceMaker, farm_database: str
) -> None:
    ready("archive", "set", "debian/primary", "--memory", "4G", "--processes", "500")
    dsc = source()
    (build,) = ready("submit", dsc, "--memory", "8G", "--json").json["builds"]
    assert build["limits"] == {"memory_bytes": 8 << 30}
    assert "own limits" in ready("build", "show", str(build["id"])).out
    (again,) = ready("submit", dsc, "--silent", "20m", "--json").json["builds"]
    assert again["limits"] == {"silent_seconds": 1200, "memory_bytes": 8 << 30}
    with connect(farm_database, application="test") as connection, acting(connection, "test"):
        Builders(connection).add("bob", "buildd://127.0.0.1:8221", ("amd64",), trusted=True)
        (job,) = BuildQueue(connection).jobs()
        assert BuildQueue(connection).claim((Pick(job.id, "bob", 1),), Limits(wall_seconds=28800))
    (attempt,) = ready("build", "show", str(build["id"]), "--json").json["attempts"]
    assert attempt["limits"] == {
        "wall_seconds": 28800,
        "silent_seconds": 1200,
        "memory_bytes": 8 << 30,
        "processes": 500,
    }
    assert attempt["limits_from"] == {"memory_bytes": "build", "processes": "archive", "silent_seconds": "build"}
    shown = ready("build", "show", str(build["id"])).out
    for line in ("wall 8 h\n", "silent 20 min (of the build)", "memory 8 GiB (of the build)", "processes 500 (of the"):
        assert line in shown

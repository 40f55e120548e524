"""The chroot tarballs that launchpad-buildd takes: their shape, and nothing of the base system lost on the way."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cli.chroots.launchpad import Ids, apt_lines, read_ids, reshape
from cli.chroots.tarball import check_tarball, for_launchpad_buildd
from cli.errors import BadInput
from cli.packages.host_apt import SourceEntry
from tests.fix_cli import Command

IDS = Ids(2001, 2501)
PASSWD = b"root:x:0:0:root:/root:/bin/bash\nbuildd:x:7:7::/nowhere:/bin/sh\n"


def base_system(place: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Write a small tarball with one entry of every kind, as mmdebstrap names them."""
    with tarfile.open(place, "w:gz", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, content: bytes | None = None, **fields: object) -> None:
            if name in without:
                return
            entry = tarfile.TarInfo(name)
            for key, value in fields.items():
                setattr(entry, key, value)
            if content is not None:
                entry.size = len(content)
            tar.addfile(entry, None if content is None else io.BytesIO(content))

        add("./", type=tarfile.DIRTYPE, mode=0o755)
        add("./bin/", type=tarfile.DIRTYPE, mode=0o755)
        add("./bin/sh", b"#!", mode=0o4755, pax_headers={"SCHILY.xattr.security.capability": "cap"})
        add("./bin/dash", type=tarfile.LNKTYPE, linkname="./bin/sh")
        add("./bin/link", type=tarfile.SYMTYPE, linkname="/usr/bin/target")
        add("./dev/", type=tarfile.DIRTYPE, mode=0o755)
        add("./dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        add("./dev/shm/", type=tarfile.DIRTYPE, mode=0o755)
        add("./etc/passwd", PASSWD, mode=0o644)
        add("./etc/group", b"root:x:0:\n", mode=0o644)
        add("./etc/shadow", b"root:*:1:0:99999:7:::\n", mode=0o640, gid=42)
        add("./var/" + "long/" * 60 + "file", b"x")
    return place


@pytest.fixture
def reshaped(tmp_path: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Return the entries of a reshaped tarball, and their content."""
    target = tmp_path / "after.tar.gz"
    reshape(base_system(tmp_path / "before.tar.gz"), target, IDS)
    check_tarball(target)
    assert for_launchpad_buildd(target)
    assert not for_launchpad_buildd(tmp_path / "before.tar.gz")
    with tarfile.open(target) as tar:
        entries = tar.getmembers()
        return {
            one.name: (one, read.read() if one.isreg() and (read := tar.extractfile(one)) is not None else b"")
            for one in entries
        }


def test_everything_is_below_one_directory(reshaped: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    assert {name.partition("/")[0] for name in reshaped} == {"chroot-autobuild"}
    first = next(iter(reshaped))
    assert first == "chroot-autobuild"
    assert reshaped["chroot-autobuild/var/" + "long/" * 60 + "file"][1] == b"x"


def test_what_the_slave_needs_is_there(reshaped: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    for place, mode, owner in (
        ("build/buildd", 0o755, (2001, 2501)),
        ("dev/pts", 0o755, (0, 0)),
        ("dev/shm", 0o1777, (0, 0)),
    ):
        entry, _ = reshaped[f"chroot-autobuild/{place}"]
        assert entry.isdir()
        assert (entry.mode, (entry.uid, entry.gid)) == (mode, owner)
    assert [name for name in reshaped if name.endswith("dev/shm")] == ["chroot-autobuild/dev/shm"]


def test_the_user_buildd_has_the_slaves_ids_and_is_there_once(
    reshaped: dict[str, tuple[tarfile.TarInfo, bytes]],
) -> None:
    passwd = reshaped["chroot-autobuild/etc/passwd"][1].decode().splitlines()
    assert passwd == ["root:x:0:0:root:/root:/bin/bash", "buildd:x:2001:2501:buildd:/build/buildd:/bin/sh"]
    assert reshaped["chroot-autobuild/etc/group"][1] == b"root:x:0:\nbuildd:x:2501:\n"
    shadow, content = reshaped["chroot-autobuild/etc/shadow"]
    assert b"buildd:*:" in content
    assert (shadow.mode, shadow.gid) == (0o640, 42)


def test_nothing_of_the_base_system_is_lost(reshaped: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    shell, content = reshaped["chroot-autobuild/bin/sh"]
    assert (shell.mode, content) == (0o4755, b"#!")
    assert shell.pax_headers["SCHILY.xattr.security.capability"] == "cap"
    assert reshaped["chroot-autobuild/bin/dash"][0].linkname == "chroot-autobuild/bin/sh"
    assert reshaped["chroot-autobuild/bin/link"][0].linkname == "/usr/bin/target"
    null = reshaped["chroot-autobuild/dev/null"][0]
    assert (null.ischr(), null.devmajor, null.devminor) == (True, 1, 3)


@pytest.mark.parametrize("text", ["", "0:0", "2001", "2001:", "a:b", "2001:2501:1", "-1:1"])
def test_ids_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="write UID:GID"):
        read_ids(text)


def test_a_machine_without_the_user_must_be_told_its_ids() -> None:
    assert read_ids("2001:2501") == IDS
    with pytest.raises(BadInput, match="run `id buildd` on one, and say --buildd-ids"):
        read_ids(None)


def test_the_series_gets_the_sources_that_can_be_told() -> None:
    entries = (
        SourceEntry("a", (("URIs", "http://one.invalid/d"), ("Suites", "sid sid-x"), ("Components", "main contrib"))),
        SourceEntry("b", (("URIs", "http://me:pw@two.invalid/d"), ("Suites", "sid"), ("Components", "main"))),
        SourceEntry(
            "c", (("URIs", "http://three.invalid"), ("Suites", "./"), ("Signed-By", "/usr/k.gpg"), ("Trusted", "yes"))
        ),
    )
    assert apt_lines(entries) == (
        "deb http://one.invalid/d sid main contrib",
        "deb http://one.invalid/d sid-x main contrib",
        "deb [signed-by=/usr/k.gpg trusted=yes] http://three.invalid ./",
    )


def test_such_a_chroot_is_registered_and_never_updated_in_place(command: Command, tmp_path: Path) -> None:
    command("series", "add", "ubuntu/hoary", "--arch", "i386")
    target = tmp_path / "after.tar.gz"
    reshape(base_system(tmp_path / "before.tar.gz"), target, IDS)
    assert command("chroot", "add", "ubuntu/hoary/i386", str(target)).code == 0
    refused = command("chroot", "update", "hoary")
    assert refused.code == 1
    assert "not updated but made anew, by `buildd-master chroot make --for launchpad-buildd`" in refused.err


def test_ids_go_with_the_shape_that_has_them(command: Command) -> None:
    refused = command("chroot", "make", "hoary", "--buildd-ids", "2001:2501")
    assert (refused.code, "--buildd-ids goes with --for launchpad-buildd" in refused.err) == (2, True)

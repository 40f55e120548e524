"""The tiny chroot: made once by mmdebstrap from the host's own apt configuration, kept in `.state/test-chroot/`.

Enough for a native source package without debhelper (tests/fix_sources.py), in some 25 MB.  `BUILDD_TEST_CHROOT` names
another directory to keep it in.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.chroots.making import apt_settings
from cli.packages import host_apt
from tests.fix_ordinary_user import OrdinaryUser
from tests.fix_slaves import RealSlave, SlaveUnderContract
from tests.fix_sources import TRY_THE_NETWORK, TRY_TO_ESCAPE

KEPT_IN = Path(__file__).parent.parent / ".state" / "test-chroot"
INCLUDED = ("dpkg-dev", "make", "fakeroot", "mount")
#: name → fields of its control file, and its maintainer script
DEPENDENCIES = {
    "curious-dep": ("", f"mkdir -p /var/lib/curious-dep && cd /var/lib/curious-dep && {TRY_THE_NETWORK}"),
    "broken-dep": ("", "echo this maintainer script fails; exit 1"),
    "hungry-dep": ("Depends: not-in-this-world (>= 2)\n", "true"),
    "loud-dep": ("", "test -x /usr/sbin/policy-rc.d && ! /usr/sbin/policy-rc.d loud start"),
    "rival-dep": ("Conflicts: curious-dep\n", "true"),
    "nosy-dep": ("", f"mkdir -p /var/lib/nosy-dep && cd /var/lib/nosy-dep && {{ {TRY_TO_ESCAPE}; }} > findings 2>&1"),
}
RECIPE = 3  #: raise it when the chroot is made differently


def make_tiny_chroot(target: Path) -> None:
    """Make the tarball; some 30 s."""
    entries = host_apt.own_entries()
    sources = "\n".join(entry.stanza("deb") for entry in entries)
    sources_file = target.with_suffix(".sources")
    settings_file = target.with_suffix(".apt.conf")
    sources_file.write_text(sources)
    settings_file.write_text(apt_settings())
    unfinished = target.with_suffix(".part.tar.zst")
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        # An empty package of that name: every build asks for it, and no test needs the compiler.
        make_deb(Path(place), Path(place), "build-essential", version="99")
        subprocess.run(
            [
                "mmdebstrap",
                "--mode=root",
                "--variant=apt",
                f"--include={','.join(INCLUDED)}",
                f"--aptopt={settings_file}",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                "--dpkgopt=path-exclude=/usr/share/man/*",
                f"--customize-hook=copy-in {place}/build-essential_99_all.deb /",
                '--customize-hook=chroot "$1" dpkg --install /build-essential_99_all.deb',
                '--customize-hook=rm "$1/build-essential_99_all.deb"',
                host_apt.codename(),
                str(unfinished),
                str(sources_file),
            ],
            check=True,
            timeout=600,
            env=os.environ | {"SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"},
        )
    unfinished.rename(target)


@pytest.fixture(scope="session")
def tiny_chroot() -> Path:
    """A `.tar.zst`; whoever comes first makes it, the others wait."""
    if os.geteuid() != 0:
        pytest.skip("a chroot is made and entered as root")
    directory = Path(os.environ.get("BUILDD_TEST_CHROOT", KEPT_IN))
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"tiny-{host_apt.codename()}-{RECIPE}.tar.zst"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            make_tiny_chroot(target)
    return target


def make_offline_chroot(tiny: Path, target: Path) -> None:
    """Put a small archive of build dependencies into the tiny chroot, as its only source of packages.

    So no test needs a network, and `apt-get update` takes no time.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        extra = Path(place) / "extra"
        archive = extra / "archive"
        archive.mkdir(parents=True)
        for name, (fields, postinst) in DEPENDENCIES.items():
            make_deb(Path(place), archive, name, fields=fields, postinst=postinst)
        index = subprocess.run(
            ["dpkg-scanpackages", "--multiversion", "."], cwd=archive, check=True, capture_output=True, text=True
        )
        (archive / "Packages").write_text(index.stdout)
        sources = extra / "etc" / "apt" / "sources.list.d"
        sources.mkdir(parents=True)
        (sources / "archive.sources").write_text("Types: deb\nURIs: file:/archive\nSuites: ./\nTrusted: yes\n")
        unfinished = target.with_suffix(".part")
        with (
            subprocess.Popen(["zstd", "-dqc", str(tiny)], stdout=subprocess.PIPE) as expand,
            subprocess.Popen(["zstd", "-1qcf", "-o", str(unfinished)], stdin=subprocess.PIPE) as compress,
            tarfile.open(fileobj=expand.stdout, mode="r|") as before,
            tarfile.open(fileobj=compress.stdin, mode="w|", format=tarfile.PAX_FORMAT) as after,
        ):
            for member in before:
                if "etc/apt/sources.list" not in member.name or member.isdir():
                    after.addfile(member, before.extractfile(member) if member.isreg() else None)
            for path in sorted(extra.rglob("*")):
                if path.is_file() or path == archive:
                    after.add(path, f"./{path.relative_to(extra)}", recursive=False)
        unfinished.rename(target)


def make_deb(
    place: Path, archive: Path, name: str, *, version: str = "1.2", fields: str = "", postinst: str = "true"
) -> None:
    """Make a package without content in the directory `archive`, by way of a tree in `place`."""
    tree = place / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n{fields}"
        "Description: nothing, for a test\n"
    )
    (tree / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\n{postinst}\n")
    (tree / "DEBIAN" / "postinst").chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(archive)],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def offline_chroot(tiny_chroot: Path) -> Path:
    """The tiny chroot with an archive of its own in it (see `DEPENDENCIES`); builds in it need no network."""
    target = tiny_chroot.with_name(tiny_chroot.name.replace("tiny", "offline"))
    with (tiny_chroot.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            make_offline_chroot(tiny_chroot, target)
    return target


#: marks a test that is run as root and as an ordinary user
IN_BOTH_BACKENDS = pytest.mark.parametrize("chroot_slave_process", ["chroot", "userns"], indirect=True)


@pytest.fixture(scope="session")
def chroot_slave_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, offline_chroot: Path
) -> Iterator[RealSlave]:
    """The daemon with the backend `chroot`, one for all tests; those `IN_BOTH_BACKENDS` have it with `userns` as well."""
    del offline_chroot  # made first: nobody waits for a slave in vain
    backend = getattr(request, "param", "chroot")
    options = ("--backend", backend, "--architecture", host_apt.architecture(), "--architecture", "s390x")
    directory = tmp_path_factory.mktemp(f"{backend}-slave")
    slave = RealSlave(directory, "a-token-of-tests", *options)
    if backend == "userns":
        user: OrdinaryUser = request.getfixturevalue("ordinary_user")
        directory.chmod(0o700)
        user.gets(directory)
        slave.prefix = tuple(user.command(reach=directory))
    slave.start()
    yield slave
    slave.end(signal.SIGTERM)


@pytest.fixture
def chroot_slave(chroot_slave_process: RealSlave, offline_chroot: Path) -> SlaveUnderContract:
    """The real slave with the backend `chroot`, IDLE; a test puts its source packages into `sources`."""
    slave = SlaveUnderContract(
        "real",
        chroot_slave_process.port,
        "a-token-of-tests",
        offline_chroot.read_bytes(),
        {},
        chroot_slave_process.restart,
    )
    slave.be_idle()
    return slave

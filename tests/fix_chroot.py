"""The tiny chroot: made once by mmdebstrap from the host's own apt configuration, kept in `.state/test-chroot/`.

Enough for a native source package without debhelper (tests/fix_sources.py), in some 25 MB.  `BUILDD_TEST_CHROOT` names
another directory to keep it in.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from cli import host_apt

KEPT_IN = Path(__file__).parent.parent / ".state" / "test-chroot"
INCLUDED = ("dpkg-dev", "make", "fakeroot")
# Without this, `build-dep` asks for a compiler that no test needs.
APT_SETTINGS = '#clear APT::Build-Essential;\nAPT::Build-Essential { "make"; };\n'
RECIPE = 1  #: raise it when the chroot is made differently


def make_tiny_chroot(target: Path) -> None:
    """Make the tarball; some 30 s."""
    entries = host_apt.own_entries()
    sources = "\n".join(entry.stanza("deb") for entry in entries)
    settings = "".join(f'{key} "{value}";\n' for key, value in host_apt.settings())
    sources_file = target.with_suffix(".sources")
    settings_file = target.with_suffix(".apt.conf")
    sources_file.write_text(sources)
    settings_file.write_text(settings + APT_SETTINGS)
    unfinished = target.with_suffix(".part.tar.zst")
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=apt",
            f"--include={','.join(INCLUDED)}",
            f"--aptopt={settings_file}",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
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

"""Tiny native source packages, made on the spot: they build in a second, without debhelper and without a compiler.

Each is made by `dpkg-source` from what a test asks for: build dependencies, what `debian/rules build` does, which
architecture its one package has.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

RULES = """\
#!/usr/bin/make -f
package := {name}
build build-arch build-indep:
{build}
binary-package: build
	mkdir -p debian/$(package)/DEBIAN debian/$(package)/usr/share/$(package)
	cp debian/control debian/$(package)/usr/share/$(package)/control
	if [ -e findings ]; then cp findings debian/$(package)/usr/share/$(package)/; fi
	dpkg-gencontrol -p$(package) -Pdebian/$(package)
	dpkg-deb --root-owner-group -Zgzip -z1 --build debian/$(package) ..
binary-arch:{if_arch}
binary-indep:{if_indep}
binary: binary-arch binary-indep
clean:
	rm -rf debian/$(package) debian/files
.PHONY: build build-arch build-indep binary-package binary-arch binary-indep binary clean
"""
CONTROL = """\
Source: {name}
Maintainer: Nobody <nobody@example.org>
Section: misc
Priority: optional
Standards-Version: 4.6.2
Rules-Requires-Root: {root}
{relations}
Package: {name}
Architecture: {architecture}
Description: tiny package of a test
 It holds nothing of use.
"""
CHANGELOG = """\
{name} ({version}) unstable; urgency=medium

  * Made by a test.

 -- Nobody <nobody@example.org>  Thu, 01 Jan 1970 00:00:00 +0000
"""
#: shell: try every way to the network, above all the `$PORTS` of the host; note in `findings` what was reached
TRY_THE_NETWORK = (
    "{ readlink /proc/self/ns/net; ls /sys/class/net; getent hosts example.org && echo RESOLVED; "
    "for port in $PORTS; do perl -MIO::Socket::INET -e "
    '\'print "REACHED\\n" if IO::Socket::INET->new(PeerAddr=>"127.0.0.1:$ARGV[0]",Timeout=>2)\' $port; done; '
    "echo tried; } > findings 2>&1"
)
#: shell: what root of a chroot could do to its host, and must not
TRY_TO_ESCAPE = (
    "id -u; grep CapEff /proc/self/status; "
    "mknod /tmp/disk b 254 0 && echo MADE-A-DEVICE; "
    "mount -t tmpfs none /mnt && echo MOUNTED; "
    "mount -o remount,rw /proc/sys && echo REMOUNTED; "
    "echo pwned > /proc/sys/kernel/domainname && echo WROTE-A-SETTING; "
    "ls /proc | grep -c '^[0-9]'; "
    'perl -e \'mkdir "/tmp/below"; chroot "/tmp/below" or print "no chroot\\n"; '
    'chdir ".." for 1..50; chroot "."; print "root: @{[sort glob q(/*)]}\\n"\'; '
    "echo tried"
)
#: shell that never ends; no other run of the tests on this machine says it with the same number
FOREVER = f"sleep {10_000_000 + os.getpid()}"
#: shell that leaves a crowd of processes in sessions of their own behind, and never ends
SLEEP_FOREVER = (
    f"setsid setsid {FOREVER} >/dev/null 2>&1 & "
    f"setsid sh -c 'setsid sh -c \"{FOREVER} & {FOREVER}\" >/dev/null 2>&1 &' ; "
    f"echo sleeping ; {FOREVER}"
)


@dataclass(frozen=True, slots=True)
class SourcePackage:
    """A source package on the disk."""

    dsc: Path
    files: dict[str, Path]  #: name → file, the `.dsc` among them

    @property
    def hashes(self) -> dict[str, str]:
        """Name → sha256, as `Build.files` has it."""
        return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.files.items()}


MakeSource = Callable[..., SourcePackage]


def make_source(
    directory: Path,
    name: str = "tiny",
    version: str = "1.0",
    *,
    build: str = "true",
    architecture: str = "all",
    relations: str = "",
    root: str = "no",
) -> SourcePackage:
    """Make a native source package in `directory`.

    Args:
        directory: where to; made if need be.
        name: of source and package.
        version: without an epoch.
        build: shell, one line: what `debian/rules build` does besides.
        architecture: of the one binary package: `all` or `any`.
        relations: whole fields, as `Build-Depends: a, b (>= 2)`.
        root: the value of `Rules-Requires-Root`.
    """
    tree = directory / f"{name}-{version}"
    (tree / "debian" / "source").mkdir(parents=True)
    needs = " binary-package"
    rules = RULES.format(
        name=name,
        build="\t" + build.replace("$", "$$"),
        if_arch="" if architecture == "all" else needs,
        if_indep=needs if architecture == "all" else "",
    )
    (tree / "debian" / "rules").write_text(rules)
    (tree / "debian" / "rules").chmod(0o755)
    field_lines = f"{relations}\n" if relations else ""
    (tree / "debian" / "control").write_text(
        CONTROL.format(name=name, root=root, relations=field_lines, architecture=architecture)
    )
    (tree / "debian" / "changelog").write_text(CHANGELOG.format(name=name, version=version))
    (tree / "debian" / "source" / "format").write_text("3.0 (native)\n")
    subprocess.run(["dpkg-source", "-Zgzip", "-b", tree.name], cwd=directory, check=True, capture_output=True)
    dsc = directory / f"{name}_{version}.dsc"
    tarball = directory / f"{name}_{version}.tar.gz"
    return SourcePackage(dsc, {dsc.name: dsc, tarball.name: tarball})


@pytest.fixture
def source_package(tmp_path: Path) -> MakeSource:
    """Make a source package below the test's directory; arguments of `make_source`."""
    number = 0

    def make(**wishes: str) -> SourcePackage:
        nonlocal number
        number += 1
        return make_source(tmp_path / f"source-{number}", **wishes)

    return make

"""Our own Debian packages, the whole way: our farm builds them, a fresh chroot installs them, and they run there.

`make test-deb` runs it: as root, and for some minutes, since chroots are made from nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.chroots.making import apt_settings, reachable
from cli.packages import host_apt

pytestmark = [pytest.mark.deb, pytest.mark.skipif(os.geteuid() != 0, reason="a chroot is made and entered as root")]

PROJECT = Path(__file__).resolve().parent.parent
MADE = PROJECT / ".state" / "deb"  #: by `make deb`
SUITE = "bookworm"  #: the packages are for its Python

#: What a person does with the packages, in the chroot.
INSTALLED = """
set -eu
apt-get update -qq
apt-get install -y -qq --no-install-recommends /tmp/buildd-master_*.deb /tmp/buildd-slave_*.deb >/dev/null
echo "version: $(buildd-master --version)"
echo "slave: $(buildd-slave --help | grep -c "^Usage: buildd-slave ")"
buildd-master up >/tmp/up 2>&1 &
for i in $(seq 600); do
    ! grep -q ^READY /tmp/up || break
    kill -0 $! || { cat /tmp/up >&2; exit 1; }
    sleep 0.1
done
buildd-master status
kill $!
wait $!
echo "stopped: $?"
apt-get purge -y -qq buildd-master buildd-slave >/dev/null
echo "left: $(ls -d /usr/lib/buildd-* /etc/buildd-* /usr/bin/buildd-* 2>/dev/null)"
"""


class Operator:
    """Somebody at the command line of a farm in one state directory."""

    def __init__(self, state_directory: Path) -> None:
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("BUILDD_MASTER_")},
            "PYTHONPATH": str(PROJECT),
            "BUILDD_MASTER_STATE_DIRECTORY": str(state_directory),
        }

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "buildd_master", *arguments]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> None:
        with self.begin(*arguments) as process:
            said = process.communicate()[0]
        assert process.returncode == 0, said[-3000:]


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    one = Operator(tmp_path / "farm")
    with one.begin("up", "--with-slave") as up:
        try:
            assert up.stdout is not None
            assert up.stdout.readline().startswith("READY ")
            yield one
        finally:
            up.send_signal(signal.SIGTERM)
    assert up.returncode == 0


def in_a_fresh_chroot(place: Path, debs: list[Path], script: str) -> str:
    """Make a chroot that has apt and nothing else, run a script in it, and return what that said; the chroot is gone."""
    entries = map(reachable, host_apt.own_entries())
    (place / "fresh.sources").write_text("\n".join(entry.stanza("deb") for entry in entries))
    (place / "fresh.conf").write_text(apt_settings())
    (place / "script").write_text(script)
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=null", f"--aptopt={place / 'fresh.conf'}"]
    copied = " ".join(str(path) for path in [*debs, place / "script"])
    command += [f"--customize-hook=copy-in {copied} /tmp"]
    command += [f"--customize-hook=chroot $1 sh /tmp/script >{place / 'said'}"]
    done = subprocess.run(
        [*command, SUITE, "-", str(place / "fresh.sources")],
        check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return (place / "said").read_text()


def test_our_farm_builds_our_packages_and_a_fresh_chroot_runs_them(operator: Operator, tmp_path: Path) -> None:
    (dsc,) = MADE.glob("*.dsc")
    out = tmp_path / "out"
    operator.run("chroot", "make", SUITE)
    operator.run("submit", str(dsc), "--wait", "--output", str(out))
    debs = sorted(out.glob("*.deb"))
    assert [path.name.partition("_")[0] for path in debs] == ["buildd-master", "buildd-slave"]

    said = in_a_fresh_chroot(tmp_path, debs, INSTALLED).splitlines()

    assert said[0].startswith("version: buildd-master ")
    assert said[1] == "slave: 1"
    assert any(line.startswith("database  embedded") for line in said)
    assert said[-2:] == ["stopped: 0", "left: "]

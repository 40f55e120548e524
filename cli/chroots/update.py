"""A chroot tarball brought up to date by its own apt: unpacked, upgraded, packed again by mmdebstrap.

What was put into the chroot beside packages stays, and so does what its apt was told.  If nothing is newer, nothing is
packed.  docs/adr/0132 says why it is not made afresh.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.chroots import mmdebstrap
from cli.chroots.emulation import check_runnable
from cli.chroots.making import AS_FOUND
from cli.chroots.mmdebstrap import Progress
from cli.errors import NotReachable

_OLD = "old-chroot"  #: below the workshop
_NOTHING = "I: nothing is newer"
_COUNT = re.compile(r"(?P<upgraded>\d+) upgraded, (?P<new>\d+) newly installed")

#: run with the chroot's directory as $1; the words are steps for `cli.chroots.mmdebstrap`, which ends when it fails
_UPGRADE = f"""\
set -e
apt() {{ chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -yq -o DPkg::Options::=--force-confold \
-o APT::Update::Error-Mode=any "$@" </dev/null >&2; }}
root=$1
echo "I: running apt-get update..." >&2
apt update
if ! chroot "$root" apt-get --simulate --quiet dist-upgrade | grep -q "^Inst "; then
    echo "{_NOTHING}" >&2
    exit 1
fi
echo "I: installing newer packages..." >&2
apt dist-upgrade
"""


@dataclass(frozen=True, slots=True)
class Updated:
    """A chroot after its update."""

    tarball: Path
    upgraded: int  #: packages
    added: int  #: packages that those need


@contextmanager
def updated(old: Path, name: str, directory: Path, progress: Progress) -> Iterator[Updated | None]:
    """Give the newer tarball for the length of the block; None if nothing is newer.

    Args:
        old: a tarball that was registered as a chroot; unchanged.
        name: of its series and architecture, as `bookworm-amd64`.
        directory: as for `cli.chroots.making.made`.
        progress: told each step.

    Raises:
        NotReachable: apt or mmdebstrap failed, or is not there; its last words and where its log is.
    """
    mmdebstrap.require(directory)
    check_runnable(name.rpartition("-")[2])
    with mmdebstrap.workshop(directory) as place:
        shutil.copyfile(old, place / _OLD)
        (place / "upgrade").write_text(_UPGRADE, encoding="utf-8")
        tarball = place / f"{name}.tar.zst"
        log = directory / "mmdebstrap.log"
        code = mmdebstrap.run(_arguments(tarball.name), place, log, progress)
        said = log.read_text(encoding="utf-8", errors="replace")
        if _NOTHING in said.splitlines():
            yield None
            return
        count = _COUNT.search(said)
        if code != 0 or count is None:
            raise NotReachable(f"the update failed: {mmdebstrap.last_words(log)}; its log is {log}")
        yield Updated(tarball, int(count["upgraded"]), int(count["new"]))


def _arguments(target: str) -> list[str]:
    # What mmdebstrap has written there for a chroot made from nothing is not the old one's.
    unpack = f'rm "$1"/etc/apt/sources.list && tar --extract --file={_OLD} --directory="$1" --numeric-owner'
    return [
        "--variant=custom",
        "--skip=update",
        "--format=tar",
        f'--setup-hook={unpack} --exclude="./dev/*"',
        '--customize-hook=sh upgrade "$1"',
        f"--customize-hook={AS_FOUND}",
        "",
        target,
    ]

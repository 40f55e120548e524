"""What one types: an example or two for every command, shown at the end of its `--help`.

The tests run each of them against a farm laid out for it (`tests/cli/options/test_examples.py`), so that none is only almost right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROGRAM: Final = "buildd-master"

#: command → what stands after it; behind a `#` what it is good for.  In the order of the help.
EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "up": ("--with-slave  # a whole farm on this machine",),
    "doctor": ("",),
    "status": ("", "--json | jq .queue.waiting"),
    "submit": ("hello --wait --output results", "./tiny_1.0.dsc --series bookworm --archive ann/ppa"),
    "queue": ("--limit 100",),
    "explain": ("907  # why is this job not building?", "--builder bob  # why is this builder idle?"),
    "events": (
        "--build 812  # who cancelled it?",
        "--builder bob --since 2d  # who marked it?",
        "--because 5012  # what led to this event?",
        "--follow",
    ),
    "check": ("",),
    "simulate": ("--builders 40 --jobs 2000 --faults light --seed 7", "--from-database --add arm64=10"),
    "console": ("actors", "--why 'a test of the ladder' crash bob"),
    "build list": ("--state failedtobuild --limit 50",),
    "build show": ("812",),
    "build log": ("812 --follow", "812 | less"),
    "build files": ("812 --output results",),
    "build cancel": ("813 814 --why 'the wrong upload'",),
    "build retry": ("815", "--state chrootwait --dry-run"),
    "build give-back": ("816 --exclude --why 'its disk is slow'",),
    "build set-state": ("817 SUPERSEDED --why 'a newer one is there'",),
    "build rescore": ("818 5000 --why 'a security update waits for it'", "818 --default"),
    "build assign": ("818 bob", "818 --nobody"),
    "builder list": ("",),
    "builder show": ("bob",),
    "builder add": ("dora buildd://dora:8221 --family amd64 --trusted",),
    "builder set": ("bob --not-ok --notes 'its fan is being replaced'", "bob --ok"),
    "builder remove": ("frog",),
    "builder quarantine": ("bob --minutes 30 --why 'its disk is full'",),
    "builder release": ("bob",),
    "farm show": ("",),
    "farm pause": ("--why 'the mirror is being moved'",),
    "farm resume": ("--why 'the mirror is back'",),
    "farm fence": ("2000 --family arm64  # jobs of a lower score wait", "--none --family arm64"),
    "chroot list": ("",),
    "chroot make": ("bookworm --arch arm64 --include ccache",),
    "chroot update": ("bookworm/amd64",),
    "chroot add": ("debian/bookworm/arm64 arm64.tar.gz",),
    "chroot use": ("debian/bookworm/amd64",),
    "chroot remove": ("debian/bookworm/arm64",),
    "series list": ("",),
    "series add": ("debian/trixie --arch amd64 --arch arm64",),
    "series set": ("debian/trixie --status frozen",),
    "series remove": ("debian/trixie",),
    "archive import-packages": ("debian/primary Packages --series sid",),
    "archive list": ("",),
    "archive show": ("debian/primary",),
    "archive add": ("debian/ben/ppa --private --memory 4G",),
    "archive set": ("debian/ann/ppa --score -50",),
    "archive publications": ("debian/primary --source hello",),
    "archive unpublish": ("debian/primary hello --series bookworm",),
    "person list": ("",),
    "person show": ("ann",),
    "person add": ("carol",),
    "person remove": ("carol",),
    "team list": ("",),
    "team add": ("desktop",),
    "team remove": ("desktop",),
    "team add-member": ("buildd-admins ann",),
    "team remove-member": ("buildd-admins ann",),
    "token create": ("ann --label laptop --expires 90d > token",),
    "token list": ("ann",),
    "token revoke": ("3",),
    "ca init": ("",),
    "ca issue": ("bob --minutes 15", "bob --directory certificate-of-bob  # without a token"),
    "ca renew": ("master",),
    "ca revoke": ("bob",),
    "ca list": ("",),
    "db migrate": ("",),
}


def shown(command: str) -> str:
    """Return the end of a command's help; empty if there is no example."""
    lines = EXAMPLES.get(command, ())
    if not lines:
        return ""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  {PROGRAM} {command} {line}".rstrip() for line in lines)])

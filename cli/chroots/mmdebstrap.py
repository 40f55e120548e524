"""Runs mmdebstrap in an empty directory of its own, and tells how far it is.

mmdebstrap shows its percentages on terminals only: it gets one, and what it writes there is read back.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cli.errors import NotReachable
from cli.packages.private_apt import dying, in_private_view, private_place
from slave.isolation import subordinate_ids
from slave.readiness import ordinary_user

#: mmdebstrap's steps that take time, and what share of the whole they take; what else it says goes to its log only.
#: Measured with the variant `buildd`; an update has two of them, and counts its own.
_STEPS = (
    ("running apt-get update", 0.08),
    ("downloading packages", 0.12),
    ("extracting archives", 0.08),
    ("installing essential packages", 0.12),
    ("installing remaining packages", 0.42),
    ("installing newer packages", 0.6),
    ("cleaning package lists", 0.03),
    ("creating tarball", 0.15),
)
_SAID = re.compile(r"I: (?P<text>.*?)\.*")
_PERCENT = re.compile(r"\s(?P<percent>\d{1,3}\.\d\d)(?: \[|$)")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  #: colours, and the erasing of a line
_SIZE = (24, 80)  #: of that terminal: wide enough for a percentage

Progress = Callable[[str, float], None]  #: told the step, and the share of the whole that is done, from 0 to 1


def require(directory: Path) -> None:
    """Refuse to go on where mmdebstrap can't work below `directory`.

    Raises:
        NotReachable: it is not installed, or this machine does not let an ordinary user be root of a user namespace.
    """
    if shutil.which("mmdebstrap") is None:
        raise NotReachable("mmdebstrap makes chroots and is not installed: run `apt-get install mmdebstrap` as root")
    if os.geteuid() != 0 and (lacks := ordinary_user.lacking(directory)):
        raise NotReachable(f"a chroot is made by an ordinary user in a user namespace: {ordinary_user.line(lacks)}")


def run(arguments: list[str], place: Path, log: Path, progress: Progress) -> int:
    """Run mmdebstrap in the directory `place`, which nothing else is written to, and return its exit code.

    It works as root: of the machine, or of a user namespace.

    Args:
        arguments: its own, beside the mode.
        place: of `workshop`.
        log: gets all that it says.
        progress: told each step.
    """
    entering = () if os.geteuid() == 0 else subordinate_ids.entering() or ()
    inside = private_place(place, entering)
    terminal, its_end = os.openpty()
    with open(terminal, "rb", buffering=0) as reading:  # noqa: PTH123 - a descriptor
        try:
            termios.tcsetwinsize(its_end, _SIZE)
            command = ["mmdebstrap", "--mode=root", *arguments]
            child = subprocess.Popen(
                in_private_view(place, inside, command, where=inside, entering=entering),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=its_end,
                process_group=0,  # in trouble mmdebstrap signals its whole group
                env={**os.environ, "TMPDIR": str(inside), "LC_ALL": "C.UTF-8", "TERM": "dumb"},
            )
        finally:
            os.close(its_end)
        with log.open("w", encoding="utf-8") as record, dying(child):
            follow(_lines(reading), record.write, progress)
    return child.returncode


def follow(lines: Iterator[str], record: Callable[[str], object], progress: Progress) -> None:
    """Record what mmdebstrap says without its percentages, and tell these."""
    before, share, text = 0.0, 0.0, "beginning"
    for line in lines:
        plain = _TERMINAL_CODE.sub("", line)
        if found := _PERCENT.search(plain):
            progress(text, before + share * float(found["percent"]) / 100)
            continue
        record(f"{plain}\n")
        said = _SAID.fullmatch(plain)
        for begin, its_share in _STEPS:
            if said is not None and said["text"].startswith(begin):
                before, share, text = min(before + share, 1 - its_share), its_share, said["text"]
                progress(text, before)


def _lines(terminal: BinaryIO) -> Iterator[str]:
    """Yield what is written to a terminal, until its last user is gone."""
    rest = b""
    while True:
        try:
            read = terminal.read(65536)
        except OSError:  # EIO: nobody has it open any more
            break
        *whole, rest = _LINE_ENDS.split(rest + read)
        yield from (line.decode(errors="replace") for line in whole if line)
    if rest:
        yield rest.decode(errors="replace")


@contextmanager
def workshop(directory: Path) -> Iterator[Path]:
    """Give an empty directory below `directory`, and remove it; those that killed processes left go as well."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("chroot-*"):
        descriptor = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(old)
        os.close(descriptor)
    place = Path(tempfile.mkdtemp(prefix="chroot-", dir=directory))
    held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        place.chmod(0o755)  # apt's sandbox user passes through
        yield place
    finally:
        _remove(place)
        os.close(held)


def _remove(place: Path) -> None:
    """Remove what mmdebstrap may have written with the ids of a whole system."""
    subprocess.run(subordinate_ids.as_owner(("rm", "-rf", "--one-file-system", "--", str(place))), check=False)


def last_words(log: Path) -> str:
    """Return the line of its log that says best why it failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("E: ") and "run_chroot" not in line]
    return (errors or lines or ["it said nothing"])[0].removeprefix("E: ")

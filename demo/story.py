"""The story of `make demo`: start a farm, make a chroot, build hello from its real source, look at what came out, stop.

Every step is a command that a person could type; they are shown as they are run.  Everything that is made stands below
`.state/` of the checkout.  It only runs commands and looks; what is shown is the product.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from storage.files.librarian import Librarian

PACKAGE = "hello"
FARM_USER = "buildd-master"
TOP = Path(__file__).resolve().parent.parent
STATE = TOP / ".state"
FARM = STATE / "demo"
OUTPUT = FARM / "output"
UP_LOG = STATE / "demo-up.log"
COMMAND = STATE / "bin" / "buildd-master"
CHROOT_MADE = FARM / "demo-chroot-made"  #: spares the second run a question
USER_ADDED = STATE / "user.added"

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_SECONDS = 60.0
STOP_SECONDS = 20.0

#: What of the wall time is not ours, as the build's log has it: apt, unpacking, the package's own build.
_PHASE = re.compile(r"buildd-slave: (?P<name>[A-Z_]+) took (?P<seconds>[0-9.]+) s$")
_PHASES = {
    "UNPACK": "unpacking the chroot",
    "UPDATE": "build-dependencies (apt)",
    "FETCH_DEPS": "build-dependencies (apt)",
    "INSTALL_DEPS": "build-dependencies (apt)",
    "BUILD": "the package's own build",
}
_APT = re.compile(r"apt in (?P<seconds>[0-9.]+) s")


class Trouble(Exception):
    """The demonstration can't go on; the text says why."""


def tell(text: str = "") -> None:
    """Print a line now."""
    print(text, flush=True)  # noqa: T201 - this is what it is for


def shown(path: Path) -> str:
    """Return the path as one would type it in the checkout."""
    return str(path.relative_to(TOP))


class Clock:
    """Where the time went: what others took, by name; the rest is ours."""

    def __init__(self) -> None:
        """Start with what `demo/run` measured: what it installed is not ours."""
        self.begin = float(os.environ["DEMO_STARTED"])
        self.others = {"installing packages": float(os.environ["DEMO_INSTALLED"]) - self.begin}

    @contextmanager
    def other(self, name: str) -> Iterator[None]:
        """Count the block as somebody else's work."""
        start = time.time()
        try:
            yield
        finally:
            self.add(name, time.time() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count `seconds` as somebody else's work."""
        self.others[name] = self.others.get(name, 0.0) + seconds

    def hear(self, line: str) -> None:
        """Take the times that apt and the slave tell in what `submit` prints."""
        if found := _APT.search(line):
            self.add("fetching the source (apt)", float(found["seconds"]))
        if (found := _PHASE.match(line)) and found["name"] in _PHASES:
            self.add(_PHASES[found["name"]], float(found["seconds"]))

    def lines(self) -> Iterator[str]:
        """Give the table: others first, then ours, then all."""
        total = time.time() - self.begin
        rows = [*self.others.items(), ("our own overhead", total - sum(self.others.values())), ("in all", total)]
        for name, seconds in rows:
            yield f"  {name:<34}{seconds:8.2f} s"


def buildd(*arguments: str) -> None:
    """Run a command of ours, shown first.

    Raises:
        Trouble: it ended with an error.
    """
    tell(f"$ buildd-master {' '.join(arguments)}")
    checked(subprocess.run([COMMAND, *arguments], check=False))


def checked(done: subprocess.CompletedProcess[Any] | subprocess.Popen[Any]) -> None:
    """Go on only if a command ended well.

    Raises:
        Trouble: it did not.
    """
    if done.returncode != 0:
        words = " ".join(str(word) for word in list(done.args)[1:])  # type: ignore[arg-type]
        raise Trouble(f"buildd-master {words} ended with exit code {done.returncode}")


@contextmanager
def farm() -> Iterator[None]:
    """Start master, database and one real slave; stop them at the end, whatever happened.

    Raises:
        Trouble: they did not start, or did not stop.
    """
    tell("$ buildd-master up --with-slave &")
    with UP_LOG.open("w") as log:
        up = subprocess.Popen([COMMAND, "up", "--with-slave"], stdout=log, stderr=log, process_group=0)
    try:
        wait_ready(up)
        yield
    finally:
        tell("$ kill %1 && wait")
        stop(up)


def wait_ready(up: subprocess.Popen[bytes]) -> None:
    """Wait until the farm says READY."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        words = UP_LOG.read_text(errors="replace")
        ready = [line for line in words.splitlines() if line.startswith("READY")]
        if ready:
            tell(ready[0])
            return
        if up.poll() is not None or time.monotonic() > deadline:
            why = f"exit code {up.returncode}" if up.poll() is not None else f"not ready after {READY_SECONDS:.0f} s"
            raise Trouble(f"the farm did not start ({why}):\n{words.strip()}")
        time.sleep(0.01)


def stop(up: subprocess.Popen[bytes]) -> None:
    """Stop the farm in order; in disorder if it does not listen."""
    up.send_signal(signal.SIGTERM)
    try:
        code = up.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(up.pid, signal.SIGKILL)
        up.wait()
        raise Trouble(f"the farm did not stop within {STOP_SECONDS:.0f} s; see {shown(UP_LOG)}") from None
    if code != 0:
        raise Trouble(f"the farm stopped with exit code {code}; see {shown(UP_LOG)}")


def ensure_chroot(clock: Clock) -> None:
    """Make a chroot of the host's series, unless an earlier run did."""
    if CHROOT_MADE.exists():
        tell("(the chroot that the first run made is registered)")
        return
    with clock.other("making the chroot (apt)"):
        buildd("chroot", "make")
    CHROOT_MADE.touch()


def build(clock: Clock) -> None:
    """Build the package from its source, its log being shown as it is written.

    Raises:
        Trouble: it failed.
    """
    shutil.rmtree(OUTPUT, ignore_errors=True)
    arguments = ["submit", PACKAGE, "--again", "--wait", "--output", shown(OUTPUT)]
    tell(f"$ buildd-master {' '.join(arguments)}")
    live = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [str(COMMAND), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=live) as submit:
        for line in submit.stdout or ():
            tell(line.rstrip("\n"))
            clock.hear(line)
    checked(submit)


def look() -> None:
    """Compare what came out with what the librarian has, and ask dpkg what it is.

    Raises:
        Trouble: a file differs, or there is no package of that name.
    """
    for path in sorted(OUTPUT.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        kept = Librarian(FARM / "librarian").path(digest)
        if hashlib.sha256(kept.read_bytes()).hexdigest() != digest:
            raise Trouble(f"{shown(path)} is not what the librarian has in {shown(kept)}")
    tell(f"(each file is, hash for hash, in the librarian: {shown(FARM / 'librarian')}/)")
    built = next(OUTPUT.glob(f"{PACKAGE}_*.deb"), None)
    if built is None:
        raise Trouble(f"no package called {PACKAGE} came out")
    tell(f"$ dpkg-deb -f {shown(built)} Package Version Architecture")
    words = ["dpkg-deb", "-f", str(built), "Package", "Version", "Architecture"]
    fields = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    tell(fields.rstrip())
    if f"Package: {PACKAGE}\n" not in fields:
        raise Trouble(f"{shown(built)} does not say that it is {PACKAGE}")


def left_behind() -> Iterator[str]:
    """Give processes and mounts that should be gone."""
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        place = mount.split()[4].encode().decode("unicode_escape")
        if place.startswith(str(STATE)):
            yield f"mount {place}"
    mine = os.getpid()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if str(STATE) in command and int(process.name) != mine:
            yield f"process {process.name}: {command[:100]}"


def added() -> Iterator[str]:
    """Give what this machine has now that it had not before the first run."""
    packages = STATE / "packages.added"
    if packages.exists():
        names = " ".join(sorted(set(packages.read_text().split())))
        yield f"Debian packages installed: {names}"
    if USER_ADDED.exists():
        yield f"system user made: {FARM_USER} (remove it: userdel {FARM_USER})"
    if not packages.exists() and not USER_ADDED.exists():
        yield "nothing was added to this machine: all that was needed was there"


def has_user() -> bool:
    """Return whether the farm's system user exists."""
    try:
        pwd.getpwnam(FARM_USER)
    except KeyError:
        return False
    return True


def tale(clock: Clock) -> None:
    """Tell the story."""
    os.environ["BUILDD_MASTER_STATE_DIRECTORY"] = str(FARM)
    os.chdir(TOP)
    tell(f"$ export PATH={shown(STATE / 'bin')}:$PATH BUILDD_MASTER_STATE_DIRECTORY={shown(FARM)}")
    had_user = has_user()
    try:
        with farm():
            ensure_chroot(clock)
            build(clock)
            look()
    finally:
        if not had_user and has_user():
            USER_ADDED.touch()
    remains = list(left_behind())
    if remains:
        raise Trouble("left behind:\n" + "\n".join(remains))
    tell()
    tell("Time:")
    for line in clock.lines():
        tell(line)
    tell()
    tell(f"The packages: {shown(OUTPUT)}/   All else: {shown(FARM)}/   No process and no mount is left.")
    for line in added():
        tell(line)


def end(number: int, _frame: object) -> NoReturn:
    """Stop everything in order, once: what comes after the first ^C is ignored until that is done."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> None:
    """Run the demonstration; ^C and SIGTERM stop everything in order."""
    for each in STOPPING:
        signal.signal(each, end)
    try:
        tale(Clock())
    except Trouble as trouble:
        sys.exit(f"demo: {trouble}")


if __name__ == "__main__":
    main()

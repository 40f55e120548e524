"""Runs one command of a build in namespaces of its own, and kills it with all that it started.

`slave.isolation.namespace_init` is the other half: process 1 of those namespaces.  A command ends when that process ends; the
kernel then kills the rest of the process namespace, whatever sessions it made.  Mounts live in a private mount
namespace and die with it.  If the daemon is killed, `--pdeathsig` and `--kill-child` kill what it ran; whatever might
slip through carries `MARKER` in its environment, and the next start of the daemon finds it (`slave.isolation.leftovers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slave.errors import SandboxBroken
from slave.isolation import leftovers, subordinate_ids
from slave.isolation.limits import Allowance, LimitReached

CODE = Path(__file__).parents[2]  #: where Python finds the room `slave`
#: Runs `slave.isolation.namespace_init`; nothing else of ours is to be found once it runs
INIT = (
    "import os, sys; sys.path.insert(0, sys.argv[1]); from slave.isolation.namespace_init import main; del sys.path[0]; "
    "os.umask(0o022); sys.exit(main())"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READ_BYTES = 64 * 1024
TAIL_BYTES = 512 * 1024  #: of a command's output kept for those who look for words in it
KILL_AGAIN_SECONDS = 0.05
LINUX32 = frozenset({"i386", "armhf", "armel"})  #: architectures that a 64-bit kernel runs with a 32-bit personality


@dataclass(frozen=True, slots=True)
class PutFile:
    """A file to have inside before the command runs."""

    path: str  #: absolute, as seen inside
    text: str = ""  #: one or more lines, without the last line feed
    source: Path | None = None  #: a file of the host; its content instead of `text`
    mode: int = 0o644
    owner: int = 0  #: user and group id
    keep: bool = False  #: add `text` as a line if the file lacks it, rather than replace the file


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and what it may have."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  #: besides PATH; nothing else is in the environment
    cwd: str = "/"
    network: bool = False
    user: int | None = None  #: user and group id; None: root (of a chroot), the slave's user (of the host)
    directories: tuple[tuple[str, int], ...] = ()  #: made before: absolute path, owner
    files: tuple[PutFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int  #: exit status; 128 + signal number if a signal ended it
    output: str  #: at most the last `TAIL_BYTES` of what it printed


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where the commands of one build run."""

    root: Path | None  #: the tree of the chroot; None: on the host, with its files
    state_directory: Path  #: marks whose processes they are
    hostname: str = "builder"
    linux32: bool = False
    namespace: int | None = None  #: descriptor of the mount namespace in which `root` is; None: our own
    users: int | None = None  #: descriptor of the user namespace that owns that one; None: our own, or a new one
    mapped: bool = False  #: in a user namespace: an ordinary user is root there, with his subordinate ids
    allowance: Allowance | None = None  #: what the commands may take; None: anything

    async def run(self, command: Command, output: Callable[[bytes], None]) -> Ran:
        """Run `command` to its end.  Cancelled, nothing of it is left when this returns.

        Args:
            command: what to run.
            output: called with what the command prints, in order; may raise, which kills the command.

        Raises:
            SandboxBroken: namespaces, mounts or files could not be set up; the command did not run.
            LimitReached: the command took more than it may.
        """
        argv = self._argv(command)
        ready, ready_inside = os.pipe()
        with os.fdopen(ready, "rb", buffering=0) as told:
            try:
                process = await start(argv, self.state_directory, pass_fds=(ready_inside,))
            finally:
                os.close(ready_inside)
            try:
                tail = await self._follow(process, self._order(command, ready_inside), output)
                code = await process.wait()
                self._hear((told.read(READ_BYTES) or b"").decode(), code, tail)
            finally:
                if process.returncode is None:
                    await asyncio.shield(kill(process, self.state_directory))
        return Ran(code, tail)

    def _hear(self, report: str, code: int, tail: str) -> None:
        """Take what process 1 has said, now that nothing runs any more.

        Raises:
            SandboxBroken, LimitReached: as `run`.
        """
        said = dict(line.partition(" ")[::2] for line in report.splitlines())
        if "ready" not in said:
            raise SandboxBroken(tail.strip() or f"unshare ended with {code}")
        if self.allowance is None:
            return
        if "base" in said:
            self.allowance.disk_base = int(said["base"])
        passed = said.get("passed") or (self.allowance.heard(code, tail) if code else None)
        if passed:
            raise LimitReached(passed)

    async def _follow(self, process: asyncio.subprocess.Process, order: bytes, output: Callable[[bytes], None]) -> str:
        if process.stdin is None or process.stdout is None:
            raise SandboxBroken("the command has no pipes")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it ended early: its output says why
            process.stdin.write(order)
            await process.stdin.drain()
        process.stdin.close()
        tail: deque[bytes] = deque(maxlen=TAIL_BYTES // READ_BYTES)
        piece = b""
        while chunk := await self._read(process.stdout):
            output(chunk)
            piece += chunk
            if len(piece) >= READ_BYTES:
                tail.append(piece)
                piece = b""
        return (b"".join(tail) + piece).decode(errors="replace")

    async def _read(self, stdout: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(None if self.allowance is None else self.allowance.silent_seconds):
                return await stdout.read(READ_BYTES)
        except TimeoutError as late:
            raise LimitReached("silent_seconds") from late

    def _argv(self, command: Command) -> tuple[str, ...]:
        if self.root is None:
            as_we_are = () if self.mapped or os.geteuid() == 0 else ("--user", "--map-current-user")
            namespaces: tuple[str, ...] = (*as_we_are, "--mount-proc")
        else:
            namespaces = ("--ipc", "--uts", *(() if command.network else ("--net",)))
        # by our own table of descriptors, so that no command inherits one
        ours = f"/proc/{os.getpid()}/fd"
        owner = () if self.users is None else (f"--user={ours}/{self.users}",)
        mounts = () if self.namespace is None else ("nsenter", *owner, f"--mount={ours}/{self.namespace}")
        rights = entering() if self.mapped and self.users is None else ()
        return (
            *("setpriv", "--pdeathsig", "KILL", *rights, *mounts),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *namespaces,
            *(sys.executable, "-I", "-S", "-B", "-c", INIT, str(CODE)),
        )

    def _order(self, command: Command, ready: int) -> bytes:
        """Return what `slave.isolation.namespace_init` reads; the keys are those of its `Order`."""
        chroot = self.root is not None
        files_too = not chroot or command.user is not None  # apt's files and those it installs are not the package's
        marker = {} if chroot else {leftovers.MARKER: str(self.state_directory)}
        order = {
            "root": str(self.root) if chroot else None,
            "network": command.network or not chroot,
            "hostname": self.hostname if chroot else "",
            "directories": command.directories,
            "files": [
                {
                    "path": file.path,
                    "mode": file.mode,
                    "owner": file.owner if chroot else -1,
                    "text": file.text if file.source is None else None,
                    "source": str(file.source or ""),
                    "keep": file.keep,
                }
                for file in command.files
            ],
            "argv": command.argv,
            "env": {"PATH": PATH, **command.env, **marker},
            "cwd": command.cwd,
            "user": command.user if chroot else None,
            "bounded": chroot,
            "no_new_privileges": chroot and command.user is not None,
            "linux32": self.linux32,
            "mapped": self.mapped,
            "allowed": None if self.allowance is None else self.allowance.order(files_too=files_too),
            "ready": ready,
        }
        return json.dumps(order).encode()


def entering() -> tuple[str, ...]:
    """Return what makes a command root of a user namespace.

    Raises:
        SandboxBroken: it can't be, all of a sudden.
    """
    found = subordinate_ids.entering()
    if found is None:
        raise SandboxBroken("no subordinate ids, or no newuidmap and newgidmap to map them")
    return found


async def start(
    argv: tuple[str, ...], state_directory: Path, *, cwd: Path | None = None, pass_fds: tuple[int, ...] = ()
) -> asyncio.subprocess.Process:
    """Start a marked process with pipes.  Cancelled, it waits until the process is there, and kills it."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=cwd,
            pass_fds=pass_fds,
            env={"PATH": PATH, "LC_ALL": "C", leftovers.MARKER: str(state_directory)},
            start_new_session=True,
            limit=READ_BYTES,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # asyncio itself, cancelled in the middle of this, may wait for ever
        await kill(await starting, state_directory)
        raise


async def kill(process: asyncio.subprocess.Process, state_directory: Path) -> None:
    """Kill process 1 of the namespace; `unshare` ends once the kernel has ended the whole namespace."""
    end = asyncio.ensure_future(_end(process))
    while not end.done():  # whom we find first may be one that maps ids, and gone already
        for pid in leftovers.children(process.pid) or (process.pid,):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        leftovers.kill(state_directory)  # a child that `unshare` had only just forked does not die with it
        await asyncio.wait({end}, timeout=KILL_AGAIN_SECONDS)
    await leftovers.gone(state_directory)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdout is not None:
        while await process.stdout.read(READ_BYTES):  # a full pipe must not keep us from seeing the end
            pass
    await process.wait()

"""Run a command as the unprivileged user that the farm's state belongs to.

As root, the master and its database run as a system user of their own.  That user must reach the checkout, the
interpreter and the state directory even where these lie below a home of mode 0700 (a clone in root's home, an
interpreter installed there): the command gets a private mount namespace in which every closed ancestor is covered by
an empty tmpfs, and only what the command needs is bound back, *at the same path*.  Nothing outside that namespace
changes, and it goes with its last process.

Used as a program it replaces itself by the command: `python unprivileged.py --user U --reach PATH … -- COMMAND …`.
It imports the standard library only, since it runs before anything else is reachable.  `docs/adr/0002` has the reasons.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

_ROOMS = ("actors", "buildd_master", "certificates", "host", "protocol", "storage", "web")  #: a master's
FARM_USER = "buildd-master"  #: system user that master and database run as, when started as root

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 0x40000, 0x1000
_PR_SET_PDEATHSIG = 1


class CannotRunUnprivileged(Exception):
    """The user can't be made, or can't reach what the command needs; the text says what to do."""


def ensure_user(name: str = FARM_USER) -> bool:
    """Make the system user `name` (no home, no shell) unless it is there.

    Returns:
        True if this call made it.

    Raises:
        CannotRunUnprivileged: `useradd` failed, with its words.
    """
    if _known(name):
        return False
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", "--comment", "build farm master", name]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        message = f"can't make the system user {name}: {error.strerror}: useradd; install the package passwd"
        raise CannotRunUnprivileged(message) from error
    if made.returncode != 0 and not _known(name):
        message = f"can't make the system user {name}: {made.stderr.strip()}; make it by hand: {' '.join(command)}"
        raise CannotRunUnprivileged(message)
    return made.returncode == 0


def give_directory(directory: Path, user: str) -> None:
    """Make `directory` (and what is missing above it), mode 0700, owned by `user`.

    Raises:
        CannotRunUnprivileged: it belongs to somebody else already.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0:
        return
    account = pwd.getpwnam(user)
    owner = directory.stat().st_uid
    if owner not in {0, account.pw_uid}:
        message = f"{directory} belongs to uid {owner}, not to {user}: choose another state directory, or chown it"
        raise CannotRunUnprivileged(message)
    if owner == 0 and any(directory.iterdir()):
        message = f"{directory} is not empty and belongs to root: choose another state directory, or chown it to {user}"
        raise CannotRunUnprivileged(message)
    os.chown(directory, account.pw_uid, account.pw_gid)
    directory.chmod(0o700)


def interpreter_paths() -> tuple[Path, ...]:
    """Return what a Python child needs to reach: virtual environment, installation, and this project's code."""
    code = Path(__file__).resolve().parent.parent
    return tuple(dict.fromkeys(Path(p).resolve() for p in (sys.prefix, sys.base_prefix, code)))


def keep_bytecode() -> None:
    """Compile what of our code is not compiled yet, as Python does by itself: the user may not write there."""
    from importlib.util import cache_from_source  # noqa: PLC0415 - this module runs commands, and that can't wait

    code = Path(__file__).resolve().parent.parent
    files = [file for room in _ROOMS for file in (code / room).rglob("*.py")]
    if sys.dont_write_bytecode or all(Path(cache_from_source(str(file))).exists() for file in files):
        return
    import compileall  # noqa: PLC0415 - seldom needed

    for file in files:
        compileall.compile_file(str(file), quiet=2)


def command_as(
    user: str | None, command: list[str], *, reach: tuple[Path, ...], die_with_parent: bool, whole: bool = False
) -> list[str]:
    """Return the argv that runs `command` as `user`.

    Args:
        user: None to stay who we are (then `reach` has no effect).
        reach: directories and files that `user` must see.
        die_with_parent: the command gets SIGINT when the thread that started it ends.
        whole: instead, it is killed with all that it has started, also when we are told to end.
    """
    wrapper = [sys.executable, "-I", str(Path(__file__).resolve())]
    if user is not None:
        wrapper += ["--user", user]
        wrapper += [word for path in reach for word in ("--reach", str(path))]
    if die_with_parent:
        wrapper += ["--die-with-parent"]
    if whole:
        wrapper += ["--whole"]
    return [*wrapper, "--", *command]


def become(user: str, reach: tuple[Path, ...]) -> None:
    """Make this process `user`, who reaches `reach`; there is no way back.

    What the parent's death means for this process (`PR_SET_PDEATHSIG`) is forgotten by the kernel.

    Raises:
        CannotRunUnprivileged: `user` can't reach what it must; the process may have mounts of its own by now.
    """
    account = pwd.getpwnam(user)
    groups = set(os.getgrouplist(account.pw_name, account.pw_gid))
    _open_ways(list(reach), account, groups)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
    try:
        here = Path.cwd()
    except OSError:
        here = Path("/")
    os.chdir(here if os.access(here, os.R_OK | os.X_OK) else "/")


def closed_to_others(paths: tuple[Path, ...]) -> Path | None:
    """Return the first directory on the way to `paths` that an ordinary user can't enter; None if there is none."""
    for path in paths:
        for directory in (*reversed(path.absolute().parents), path.absolute()):
            if directory.is_dir() and not directory.stat().st_mode & stat.S_IXOTH:
                return directory
    return None


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _traversable(directory: Path, account: pwd.struct_passwd, groups: set[int]) -> bool:
    status = directory.stat()
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _closed_ancestor(path: Path, account: pwd.struct_passwd, groups: set[int]) -> Path | None:
    for ancestor in reversed(path.parents):
        if not _traversable(ancestor, account, groups):
            return ancestor
    if path.is_dir() and not _traversable(path, account, groups):
        message = f"{path} is closed to the user {account.pw_name}: chmod -R go+rX {path}"
        raise CannotRunUnprivileged(message)
    return None


def _checked(result: int, doing: str) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        message = f"can't {doing}: {reason}; run the farm as an ordinary user, or from a directory open to all users"
        raise CannotRunUnprivileged(message)


def _open_ways(paths: list[Path], account: pwd.struct_passwd, groups: set[int]) -> None:
    """Cover closed ancestors in a private mount namespace, and bind `paths` back where they were."""
    ways: dict[Path, list[Path]] = {}
    for path in sorted({path.resolve() for path in paths}):
        closed = _closed_ancestor(path, account, groups)
        if closed is not None:
            ways.setdefault(closed, []).append(path)
    if not ways:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_CLONE_NEWNS), "make a private mount namespace")
    _checked(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    for closed, inside in ways.items():
        held = [(path, os.open(path, os.O_PATH)) for path in inside]
        options = b"mode=0711,size=1m"
        _checked(libc.mount(b"tmpfs", os.fsencode(closed), b"tmpfs", 0, options), f"cover {closed}")
        for path, descriptor in held:
            if any(other in path.parents for other, _ in held):
                continue  # bound back with the directory that it lies in
            path.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                path.mkdir(exist_ok=True)
            else:
                path.touch()
            source = f"/proc/self/fd/{descriptor}".encode()
            _checked(libc.mount(source, os.fsencode(path), None, _MS_BIND | _MS_REC, None), f"bind {path}")
        for _, descriptor in held:
            os.close(descriptor)
    for path in paths:  # a closed directory between the cover and the path is seen only now
        closed_still = _closed_ancestor(path.resolve(), account, groups)
        if closed_still is not None:
            message = f"{closed_still} is closed to the user {account.pw_name}: chmod go+x {closed_still}"
            raise CannotRunUnprivileged(message)


def _ask_for_end(parent: int) -> None:
    """Have the kernel send SIGINT when the parent dies; it may have died before.  A change of user would undo this."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(0)


def _lead(command: list[str], parent: int) -> int:
    """Run `command` and return its exit code; when the parent dies, or we are told to end, kill all that it has started.

    For programs that start others and do not end them: those die as one process group.
    """
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # until there is a group to kill
    _ask_for_end(parent)
    process = subprocess.Popen(command, process_group=0, preexec_fn=_unblock)  # noqa: PLW1509 - there is one thread

    def end(_number: int, _frame: object) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        sys.stderr.write(f"{command[0]} was told to end\n")
        os._exit(1)

    for number in ends:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    return process.wait()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def main() -> None:
    """Become the user, then the command; errors are one line and exit code 71."""
    parser = argparse.ArgumentParser(description="Run a command as an unprivileged user.")
    parser.add_argument("--user")
    parser.add_argument("--reach", type=Path, action="append", default=[])
    parser.add_argument("--die-with-parent", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    parent = os.getppid()
    try:
        if arguments.user is not None:
            become(arguments.user, tuple(arguments.reach))
        if arguments.die_with_parent:
            if arguments.whole:
                sys.exit(_lead(arguments.command, parent))
            _ask_for_end(parent)
        os.execvp(arguments.command[0], arguments.command)  # noqa: S606 - this is what the program is for
    except (CannotRunUnprivileged, KeyError, OSError) as error:
        sys.stderr.write(f"buildd-master: can't run as {arguments.user}: {error}\n")
        sys.exit(71)


if __name__ == "__main__":
    main()

"""Process 1 of the namespaces a build's command runs in: mounts, turns the root around, gives up rights, runs, reaps.

Standard library only; `slave.isolation.sandbox` starts it below `unshare` and writes the order as JSON to its standard input.  It
writes lines to descriptor `ready`: `ready` just before the command starts (without it the set-up failed and the command
never ran), `passed LIMIT` when it took more than it may.  When it ends, the kernel kills what is left in the process
namespace.

The root is *pivoted*, so that nothing of the host can be reached, and files are put in afterwards: a symbolic link that
a package planted leads nowhere but into its own chroot.  docs/adr/0030 says why this is not `chroot` on a command line.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import sys
from typing import TypedDict, cast

from slave.isolation.namespace_watch import Allowed, Watch

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MNT_DETACH = 2
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PER_LINUX32 = 8
COULD_NOT_RUN = 127  #: exit status, as shells have it
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

#: Capabilities that root keeps in a chroot: what installing packages takes.  CAP_ numbers of linux/capability.h:
#: chown, dac_override, dac_read_search, fowner, fsetid, kill, setgid, setuid, net_bind_service, net_raw, sys_chroot,
#: audit_write, setfcap.  Not among them: sys_admin, mknod, sys_module, sys_ptrace, net_admin, setpcap, ...
KEPT_CAPABILITIES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 10, 13, 18, 29, 31})
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
#: What of /proc root could harm the host through; made unreadable or read-only, for good (no CAP_SYS_ADMIN).
PROC_MASKED = ("kcore", "sysrq-trigger", "timer_list", "keys", "latency_stats", "sched_debug")
PROC_READ_ONLY = ("sys", "irq", "bus", "fs", "acpi", "scsi")


class FileOrder(TypedDict):
    """A file to have inside before the command runs."""

    path: str  #: absolute, as seen inside
    mode: int
    owner: int  #: user and group; -1: as we are
    text: str | None  #: what it says; None: the content of `source`
    source: str  #: a path on the host
    keep: bool  #: True: append `text` unless the file has that line already (passwd); False: replace


class Order(TypedDict):
    """What to do."""

    root: str | None  #: the tree to run in; None: the host's own
    network: bool  #: the host's network; without it the loopback device is brought up
    hostname: str
    directories: list[tuple[str, int]]  #: absolute path, owner
    files: list[FileOrder]
    argv: list[str]
    env: dict[str, str]
    cwd: str
    user: int | None  #: user and group id; None: as we are
    bounded: bool  #: give up all capabilities but `KEPT_CAPABILITIES`
    no_new_privileges: bool
    linux32: bool  #: a 32-bit personality
    mapped: bool  #: we are root of a user namespace only
    allowed: Allowed | None  #: what it may take; None: anything
    ready: int  #: descriptor


libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError that says `what` failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, in this mount namespace only."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    check(libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), f"mount {source} on {target}")


def bind_read_only(path: str) -> None:
    """Make `path` read-only in place."""
    mount(path, path, flags=MS_BIND | MS_REC)
    mount("", path, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def enter(root: str, *, mapped: bool, network: bool) -> None:
    """Make `root` the root, with /proc and a small /dev, and let go of the host's tree.

    Root of a user namespace makes no devices, and so gets the host's, which it can use but not change; /sys shows the
    devices of a network, and can be mounted only by who owns that.
    """
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    mount(root, root, flags=MS_BIND)
    os.chdir(root)
    for name in ("proc", "dev"):
        if not stat.S_ISDIR(os.lstat(name).st_mode):
            raise NotADirectoryError(20, f"/{name} of the chroot is no directory")
    mount("proc", "./proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("dev", "./dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k")
    for name, number in DEVICES.items():
        if mapped:
            os.close(os.open(f"dev/{name}", os.O_CREAT | os.O_EXCL, 0o600))
            mount(f"/dev/{name}", f"./dev/{name}", flags=MS_BIND)
        else:
            os.mknod(f"dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(*number))
            os.chmod(f"dev/{name}", 0o666)  # noqa: S103 - what these devices have everywhere
    for name, target in LINKS.items():
        os.symlink(target, f"dev/{name}")
    os.mkdir("dev/pts")
    os.mkdir("dev/shm")
    mount("devpts", "./dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    mount("shm", "./dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    if os.path.isdir("sys") and not os.path.islink("sys") and not (mapped and network):
        mount("sysfs", "./sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in PROC_READ_ONLY:
        if os.path.isdir(f"proc/{name}"):
            bind_read_only(f"./proc/{name}")
    for name in PROC_MASKED:
        if os.path.exists(f"proc/{name}"):
            mount("./dev/null", f"./proc/{name}", flags=MS_BIND)
    here = b"."
    check(libc.pivot_root(here, here), "pivot_root")
    check(libc.umount2(here, MNT_DETACH), "let go of the host's root")
    os.chdir("/")


def bring_loopback_up() -> None:
    """Give the network namespace its 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anchor:
        name = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(anchor, SIOCGIFFLAGS, name))[1]
        fcntl.ioctl(anchor, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def put(order: FileOrder, source: int | None) -> None:
    """Put one file in; never through a symbolic link in its last component."""
    path, text = order["path"], order["text"]
    if order["keep"] and os.path.isfile(path) and not os.path.islink(path):
        with open(path, "r+", encoding="utf-8", errors="surrogateescape") as kept:
            lines = kept.read().splitlines()
            if text is not None and text not in lines:
                kept.write(f"{text}\n")
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    if source is None:
        os.write(target, f"{text}\n".encode() if text else b"")
    else:
        while os.sendfile(target, source, None, 1 << 24) > 0:  # from where source stands
            pass
    if order["owner"] >= 0:
        os.fchown(target, order["owner"], order["owner"])
    os.fchmod(target, order["mode"])
    os.close(target)


def give_up_rights(order: Order) -> None:
    """Keep no more than the command may have."""
    if order["bounded"]:
        number = 0
        while libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
            if number not in KEPT_CAPABILITIES:
                check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
            number += 1
        os.setgroups([])
    if order["user"] is not None:
        os.setresgid(order["user"], order["user"], order["user"])
        os.setresuid(order["user"], order["user"], order["user"])
    if order["no_new_privileges"]:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def reaped(child: int) -> int | None:
    """Reap all that have ended; return the wait status of `child`, None while it runs."""
    while True:
        gone, status = os.waitpid(-1, os.WNOHANG)
        if gone == child:
            return status
        if gone == 0:
            return None


def run(order: Order, watch: Watch | None) -> int:
    """Run the command, reap what it leaves behind, return its exit status; say so if it passed a limit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            os.setsid()
            if watch is not None:
                watch.bind()
            give_up_rights(order)
            os.write(order["ready"], b"ready\n")
            os.close(order["ready"])
            os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - an argv is what we have
        except OSError as wrong:
            os.write(2, f"{order['argv'][0]}: {wrong.strerror}\n".encode())
        os._exit(COULD_NOT_RUN)
    while True:
        status = reaped(child)
        passed = watch.look(over=status is not None) if watch is not None else None
        if passed is not None:
            os.write(order["ready"], f"passed {passed}\n".encode())
            return -signal.SIGKILL  # what the kernel now does to the rest
        if status is not None:
            return os.waitstatus_to_exitcode(status)
        rest = watch.rest if watch is not None else None
        if rest is None:
            signal.sigwait({signal.SIGCHLD})
        else:
            signal.sigtimedwait({signal.SIGCHLD}, rest)


def main() -> int:
    """Do what the order on standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 has only the signals it asked for: none
    order = cast("Order", json.loads(sys.stdin.buffer.read()))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        sources = [
            None if file["text"] is not None else os.open(file["source"], os.O_RDONLY) for file in order["files"]
        ]
        if order["hostname"]:
            socket.sethostname(order["hostname"])
        if not order["network"]:
            bring_loopback_up()
        if order["root"] is not None:
            enter(order["root"], mapped=order["mapped"], network=order["network"])
        watch = None if order["allowed"] is None else Watch(order["allowed"])
        base = watch.begin() if watch is not None else None
        if base is not None:
            os.write(order["ready"], f"base {base}\n".encode())
        for path, owner in order["directories"]:
            os.makedirs(path, mode=0o755, exist_ok=True)
            if owner >= 0:
                os.chown(path, owner, owner, follow_symlinks=False)
        for file, source in zip(order["files"], sources, strict=True):
            put(file, source)
            if source is not None:
                os.close(source)
        os.chdir(order["cwd"])
        if order["linux32"]:
            check(0 if libc.personality(PER_LINUX32) >= 0 else -1, "32-bit personality")
    except OSError as wrong:
        where = f" ({wrong.filename})" if wrong.filename else ""
        os.write(2, f"buildd-slave: the sandbox could not be set up: {wrong.strerror}{where}\n".encode())
        return 1
    code = run(order, watch)
    return code if code >= 0 else 128 - code

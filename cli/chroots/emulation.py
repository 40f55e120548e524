"""Whether this machine runs programs of another architecture: by itself, or by an emulator that its kernel starts.

`arch-test` tries it; what the kernel was told stands in the directory of binfmt_misc, if that is mounted.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.errors import NotReachable
from cli.packages import host_apt

#: how QEMU calls architectures; those that are not here it calls as Debian does
_QEMU = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armel": "arm",
    "armhf": "arm",
    "loong64": "loongarch64",
    "ppc64el": "ppc64le",
}
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_INSTALL = "apt-get install arch-test qemu-user-static binfmt-support"


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of this machine, as to one architecture that is not its own."""

    runs: bool | None  #: whether a program of it was seen to run; None: there is no `arch-test` to try
    emulator: bool  #: QEMU's for it is installed
    flags: str | None  #: with which the kernel starts that; None: it was not told to


def obstacle(architecture: str, machine: Machine) -> str:
    """Return why a chroot of the architecture can't be run, with the command that mends it; empty if it can."""
    can_not = f"this machine can't run programs for {architecture}"
    if machine.runs is None:
        return f"whether this machine runs programs for {architecture} is tried by arch-test: run `{_INSTALL}` as root"
    if not machine.runs and not machine.emulator:
        return f"{can_not}: run `{_INSTALL}` as root"
    if not machine.runs:
        name = f"qemu-{qemu_name(architecture)}"
        return (
            f"{can_not}: the emulator is there, but the kernel was not told; as root, run "
            f"`mount -t binfmt_misc binfmt_misc {_BINFMT}; update-binfmts --enable {name}`"
        )
    if machine.flags is not None and "F" not in machine.flags:
        name = f"qemu-{qemu_name(architecture)}"
        return (
            f"the emulator {name} is registered without the flag F, and is not found from inside a chroot: run "
            f"`{_INSTALL}` as root, then `update-binfmts --disable {name}` and `--enable {name}`"
        )
    return ""


def check_runnable(architecture: str) -> None:
    """Refuse an architecture whose programs this machine can't run.

    Raises:
        NotReachable: what is missing, and the command that mends it.
    """
    if architecture != host_apt.architecture() and (words := obstacle(architecture, _look(architecture))):
        raise NotReachable(words)


def qemu_name(architecture: str) -> str:
    """Return how QEMU calls an architecture."""
    return _QEMU.get(architecture, architecture)


def _look(architecture: str) -> Machine:
    runs = None
    if shutil.which("arch-test") is not None:
        runs = subprocess.run(["arch-test", architecture], check=False, capture_output=True).returncode == 0
    name = f"qemu-{qemu_name(architecture)}"
    flags = None
    if (registered := _BINFMT / name).exists():
        lines = registered.read_text(encoding="ascii", errors="replace").splitlines()
        flags = next((line.partition(":")[2].strip() for line in lines if line.startswith("flags:")), "")
    return Machine(runs, emulator=shutil.which(f"{name}-static") is not None, flags=flags)

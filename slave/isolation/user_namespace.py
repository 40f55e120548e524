"""Becomes root of a user namespace that has all ids, then the command: `user_namespace.py UID GID COMMAND …`.

A script of its own, standard library only; `slave.isolation.subordinate_ids` says when and with which ids.  unshare(1) maps them as
well, but the process that waits to do that waits for ever if unshare is killed meanwhile; ours ends.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x1000_0000
COULD_NOT = 71


def map_ids(target: int, reading: int, maps: dict[str, tuple[int, str]], count: str) -> bool:
    """Have both kinds of ids mapped for `target` once it says so; False if it ended, or newuidmap refuses."""
    if os.read(reading, 1) == b"":
        return False
    for program, (own, first) in maps.items():
        inside_outside_count = ("0", str(own), "1", "1", first, count)
        if os.spawnlp(os.P_WAIT, program, program, str(target), *inside_outside_count) != 0:  # noqa: S606 - an argv
            return False
    return True


def main() -> None:
    """Do what the command line says; exit code 71 and a line if it can't be done."""
    users, groups, count, *command = sys.argv[1:]
    maps = {"newuidmap": (os.getuid(), users), "newgidmap": (os.getgid(), groups)}
    target = os.getpid()
    reading, writing = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.close(writing)
        os._exit(0 if map_ids(target, reading, maps, count) else COULD_NOT)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit(f"no user namespace can be made: {os.strerror(ctypes.get_errno())}")
    os.write(writing, b"U")
    if os.waitpid(mapper, 0)[1] != 0:
        sys.exit("the subordinate ids cannot be mapped")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.execvp(command[0], command)  # noqa: S606 - this is what the program is for


if __name__ == "__main__":
    main()

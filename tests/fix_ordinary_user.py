"""An ordinary user of this machine, made for the tests and removed after them.  Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from host.unprivileged import command_as, interpreter_paths


@dataclass(frozen=True, slots=True)
class OrdinaryUser:
    """Somebody with a login name."""

    name: str

    def gets(self, directory: Path) -> None:
        """Give a directory away, with all that is in it."""
        subprocess.run(["chown", "-R", f"{self.name}:", str(directory)], check=True)

    def command(self, *argv: str, reach: Path) -> list[str]:
        """Return the argv that runs a command as this user, who sees `reach` and this checkout wherever they lie."""
        return command_as(self.name, list(argv), reach=(reach, *interpreter_paths()), die_with_parent=True)


def _made(name: str, *options: str) -> Iterator[OrdinaryUser]:
    if os.geteuid() != 0:
        pytest.skip("root makes users")
    subprocess.run(["useradd", "--no-create-home", *options, name], check=True)
    try:
        yield OrdinaryUser(name)
    finally:
        subprocess.run(["userdel", name], check=True)


@pytest.fixture(scope="session")
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Somebody with subordinate ids, as `useradd` gives them."""
    yield from _made(f"buildd-test-{os.getpid()}")


@pytest.fixture(scope="session")
def poor_user() -> Iterator[OrdinaryUser]:
    """Somebody without subordinate ids."""
    yield from _made(f"buildd-poor-{os.getpid()}", "--key", "SUB_UID_COUNT=0", "--key", "SUB_GID_COUNT=0")

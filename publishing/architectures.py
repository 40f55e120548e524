"""dpkg's table of architectures, as this machine has it."""

from __future__ import annotations

from functools import cache

from debian.debian_support import DpkgArchTable


@cache
def architecture_table() -> DpkgArchTable:
    """Return the table, read once.

    Raises:
        OSError: the machine has no dpkg.
    """
    return DpkgArchTable.load_arch_table()

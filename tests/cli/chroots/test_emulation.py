"""What a machine is told that is to run programs of another architecture."""

from __future__ import annotations

import pytest

from cli.chroots.emulation import Machine, obstacle

INSTALL = "run `apt-get install arch-test qemu-user-static binfmt-support` as root"
CASES = [
    (Machine(runs=True, emulator=False, flags=None), ""),  # by itself, as i386 on amd64
    (Machine(runs=True, emulator=True, flags="PF"), ""),
    (Machine(runs=None, emulator=True, flags="PF"), INSTALL),
    (Machine(runs=False, emulator=False, flags=None), f"can't run programs for arm64: {INSTALL}"),
    (Machine(runs=False, emulator=True, flags=None), "update-binfmts --enable qemu-aarch64"),
    (Machine(runs=True, emulator=True, flags="P"), "without the flag F"),
]


@pytest.mark.parametrize(("machine", "words"), CASES)
def test_what_is_missing_comes_with_the_command_that_mends_it(machine: Machine, words: str) -> None:
    said = obstacle("arm64", machine)
    assert words in said
    assert bool(said) == bool(words)
    assert "\n" not in said

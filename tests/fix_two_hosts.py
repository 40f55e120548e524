"""Two hosts on this machine: a network namespace each, with a cable between them, and nothing else on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SLAVE_ADDRESS, MASTER_ADDRESS = "10.213.0.1", "10.213.0.2"


@dataclass(frozen=True, slots=True)
class Host:
    """One of the two."""

    name: str  #: of its network namespace
    address: str

    def here(self, *command: str) -> list[str]:
        """Return what runs a command there."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *command]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """The slave's and the master's; they see each other and nobody else."""
    if os.geteuid() != 0:
        pytest.skip("a network is made as root")
    pair = Host(f"bd{os.getpid()}s", SLAVE_ADDRESS), Host(f"bd{os.getpid()}m", MASTER_ADDRESS)
    made = []
    try:
        for host in pair:
            _ip("netns", "add", host.name)
            made.append(host)
            _ip("-n", host.name, "link", "set", "lo", "up")
        _ip(
            "link",
            "add",
            "cable",
            "netns",
            pair[0].name,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            pair[1].name,
        )
        for host in pair:
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.name, "link", "set", "cable", "up")
        yield pair
    finally:
        for host in made:
            _ip("netns", "delete", host.name)

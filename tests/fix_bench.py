"""A place for a benchmark's farm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a socket; the farm's user may pass through it."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        Path(place).chmod(0o755)
        yield Path(place)

"""How a test waits: for a fact, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

PATIENCE: Final = 60.0  #: seconds until a fact that does not come is a failure: many, for machines that are busy


def wait_until(
    fact: Callable[[], T],
    what: str | Callable[[], object] = "",
    *,
    seconds: float = PATIENCE,
    meanwhile: Callable[[], object] = lambda: time.sleep(0.01),
) -> T:
    """Return what `fact` returns, as soon as that is true.

    Args:
        fact: is looked at again and again.
        what: is waited for; or what tells, when nothing came, how things stand.
        seconds: until the test fails.
        meanwhile: is done between two looks.
    """
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s still not so: {what() if callable(what) else what or fact}")
        meanwhile()
    return found
